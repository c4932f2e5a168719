"""Draws bars and lines as SVG: two kinds of chart are all that the figures need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Bar", "Line", "bar_chart", "line_chart", "ticks_linear", "ticks_logarithmic"]

WIDTH = 760
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 72, 48, 64, 52
BAR_HEIGHT, BAR_GAP, LABEL_WIDTH, VALUE_WIDTH = 20, 8, 230, 150
PLOT_HEIGHT, LEGEND_ROW = 300, 18
COLOURS = ("#0b6e99", "#c4561c", "#4a7c2b", "#7b4fa3", "#8a6d00", "#b0325f", "#4d5b6a")
INK, FAINT = "#24292f", "#d0d7de"
_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
    'role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="12" fill="' + INK + '">\n'
    '<rect width="100%" height="100%" fill="#ffffff"/>\n'
    '<text x="16" y="24" font-size="15" font-weight="600">{title}</text>\n'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar, with the range over the rounds.

    Attributes:
        label: What stands beside it.
        value: How long it is.
        low: The least of the rounds.
        high: The most of the rounds.
        marked: Whether it is drawn in the colour of what the page is about.
    """

    label: str
    value: float
    low: float
    high: float
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line.

    Attributes:
        label: What the legend says.
        points: Places on it, as (x, y).
    """

    label: str
    points: Sequence[tuple[float, float]]


def bar_chart(title: str, bars: Sequence[Bar], *, unit: str) -> str:
    """Return horizontal bars from zero, each with its range as a thin line and its figure beside it."""
    first = MARGIN_TOP - 22
    height = first + len(bars) * (BAR_HEIGHT + BAR_GAP) + 12
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    most = max((bar.high for bar in bars), default=1.0) or 1.0
    parts = [_HEAD.format(width=WIDTH, height=height, title=escape(title))]
    for place, bar in enumerate(bars):
        top = first + place * (BAR_HEIGHT + BAR_GAP)
        middle = top + BAR_HEIGHT / 2
        length, low, high = (room * value / most for value in (bar.value, bar.low, bar.high))
        colour = COLOURS[0] if bar.marked else "#9fb3c1"
        parts.append(
            f'<text x="{LABEL_WIDTH - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar.label)}</text>\n'
            f'<rect x="{LABEL_WIDTH}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>\n'
            f'<line x1="{LABEL_WIDTH + low:.1f}" x2="{LABEL_WIDTH + high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" '
            f'stroke="{INK}" stroke-width="1.5"/>\n'
            f'<text x="{LABEL_WIDTH + max(length, high) + 8:.1f}" y="{middle + 4:.1f}">'
            f"{_figure(bar.value)}{escape(unit)}</text>\n"
        )
    return "".join(parts) + "</svg>\n"


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]],
    y_logarithmic: bool = False,
) -> str:
    """Return lines over a common ground.

    Args:
        title: What stands above.
        lines: What is drawn; all figures are positive.
        x_label: What the places from left to right are.
        y_label: What the heights are.
        x_ticks: Places that are named; the x of points are such places, or lie between.
        y_logarithmic: Whether each step up is ten times as much; else heights begin at zero.
    """
    values = [y for line in lines for _, y in line.points]
    ticks = (ticks_logarithmic if y_logarithmic else ticks_linear)(min(values), max(values))
    height = MARGIN_TOP + PLOT_HEIGHT + MARGIN_BOTTOM + LEGEND_ROW * math.ceil(len(lines) / 3)
    across = _scale([x for x, _ in x_ticks], MARGIN_LEFT, WIDTH - MARGIN_RIGHT)
    transform: Callable[[float], float] = math.log10 if y_logarithmic else float
    up = _scale([transform(tick) for tick in ticks], MARGIN_TOP + PLOT_HEIGHT, MARGIN_TOP)
    parts = [_HEAD.format(width=WIDTH, height=height, title=escape(title))]
    parts += [_level(up(transform(tick)), _figure(tick)) for tick in ticks]
    parts += [_upright(across(x), text) for x, text in x_ticks]
    for place, line in enumerate(lines):
        colour = COLOURS[place % len(COLOURS)]
        points = [(across(x), up(transform(y))) for x, y in line.points]
        parts.append(
            f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" '
            f'stroke="{colour}" stroke-width="2"/>\n'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>\n' for x, y in points]
    parts.append(_words(42, 16, y_label))
    parts.append(_words(MARGIN_TOP + PLOT_HEIGHT + 38, MARGIN_LEFT, x_label))
    return "".join(parts + _legend([line.label for line in lines])) + "</svg>\n"


def ticks_linear(_least: float, most: float) -> list[float]:
    """Return round figures from zero to beyond *most*."""
    step = 10.0 ** math.floor(math.log10(most or 1.0))
    for factor in (0.2, 0.5, 1.0, 2.0):
        if most / (step * factor) <= 6:
            step *= factor
            break
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def ticks_logarithmic(least: float, most: float) -> list[float]:
    """Return powers of ten from below *least* to beyond *most*, at least two."""
    first = math.floor(math.log10(least))
    last = max(first + 1, math.ceil(math.log10(most)))
    return [10.0**power for power in range(first, last + 1)]


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return lambda value: start + (value - low) / width * (end - start)


def _level(y: float, text: str) -> str:
    return (
        f'<line x1="{MARGIN_LEFT}" x2="{WIDTH - MARGIN_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{FAINT}"/>\n'
        f'<text x="{MARGIN_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>\n'
    )


def _upright(x: float, text: str) -> str:
    bottom = MARGIN_TOP + PLOT_HEIGHT
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="{INK}"/>\n'
        f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(text)}</text>\n'
    )


def _words(y: float, x: float, text: str) -> str:
    return f'<text x="{x}" y="{y}" fill="#57606a">{escape(text)}</text>\n'


def _legend(labels: Sequence[str]) -> list[str]:
    top = MARGIN_TOP + PLOT_HEIGHT + MARGIN_BOTTOM + 6
    column = (WIDTH - MARGIN_LEFT) / 3
    parts = []
    for place, label in enumerate(labels):
        x, y = MARGIN_LEFT + (place % 3) * column, top + (place // 3) * LEGEND_ROW
        parts.append(
            f'<rect x="{x:.1f}" y="{y - 9}" width="12" height="10" fill="{COLOURS[place % len(COLOURS)]}"/>\n'
            f'<text x="{x + 18:.1f}" y="{y}">{escape(label)}</text>\n'
        )
    return parts


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
