"""A picture of allowed and denied over time, as SVG that stands in a page by itself.

A column is a stack: allowed below, denied on top. What a column says is shown when it is pointed at,
by style alone: the page runs no script.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sluicegate.replay.wording import clock_time, width_text

if TYPE_CHECKING:
    from sluicegate.replay.timeline import Timeline

__all__ = ["chart"]

_WIDTH, _HEIGHT = 960, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 14, 28
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM
_COLUMN_WIDTH_MAX = 48  # a log of a minute has few columns, and needs no walls
_SEEN_HEIGHT = 2  # the least that an eye finds
_TIP_WIDTH, _TIP_HEIGHT = 178, 62
_LABEL_HALF = 45
_LINES_MAX = 5
_TIMES_MAX = 8
_SECOND_US = 1_000_000
_MINUTE_SECONDS = 60
_DAY_SECONDS = 86_400
_TIME_STEPS_SECONDS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_419_200, 7_776_000, 31_536_000),
)


class _Scale(NamedTuple):
    top: int  # the value at the plot's upper edge
    column_width: float

    def y(self, value: float) -> float:
        return _TOP + _PLOT_HEIGHT * (1 - value / self.top)


def chart(timeline: Timeline, *, title: str) -> str:
    """Draw *timeline*.

    Args:
        timeline: The counts.
        title: What it shows, already escaped for HTML.
    """
    totals = [a + d for a, d in zip(timeline.allowed, timeline.denied, strict=True)]
    step = _step(max(totals))
    columns = len(totals)
    scale = _Scale(top=step * -(-max(totals) // step), column_width=min(_PLOT_WIDTH / columns, _COLUMN_WIDTH_MAX))
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">',
        *_value_lines(scale, step),
        *_time_marks(timeline, scale, columns),
        *(_stack(timeline, scale, index) for index in range(columns)),
        # Above all stacks, or their bars would hide what a neighbour says.
        *(_column(timeline, scale, index) for index in range(columns)),
        "</svg>",
    ]
    return "\n".join(parts)


def _step(most: int) -> int:
    """Return a round number of which a few lines reach up to *most*."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if factor * size * _LINES_MAX >= most:
                return factor * size
        size *= 10


def _value_lines(scale: _Scale, step: int) -> list[str]:
    lines = []
    for value in range(0, scale.top + 1, step):
        y = scale.y(value)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="axis" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    return lines


def _short(value: int) -> str:
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= size:
            size = 1000 if letter == "k" else size  # noqa: PLW2901 - from ten thousand on, thousands are counted
            return f"{value / size:g}{letter}"
    return f"{value:,}"


def _time_marks(timeline: Timeline, scale: _Scale, columns: int) -> list[str]:
    begin_us = timeline.start_us
    span_us = columns * timeline.width_us
    shown_us = span_us * (_PLOT_WIDTH / (scale.column_width * columns))
    step_us = next(
        (s * _SECOND_US for s in _TIME_STEPS_SECONDS if shown_us <= _TIMES_MAX * s * _SECOND_US),
        _TIME_STEPS_SECONDS[-1] * _SECOND_US * -(-span_us // (_TIME_STEPS_SECONDS[-1] * _SECOND_US * _TIMES_MAX)),
    )
    round_times = range(begin_us + -begin_us % step_us, begin_us + span_us, step_us)
    marks = []
    for at_us in round_times or (begin_us,):
        x = _LEFT + (at_us - begin_us) / timeline.width_us * scale.column_width
        anchor = "end" if x > _WIDTH - _LABEL_HALF else "middle"
        marks.append(f'<path class="tick" d="M{x:.1f} {_HEIGHT - _BOTTOM}v5"/>')
        marks.append(
            f'<text class="axis" x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{_label(at_us, step_us)}</text>'
        )
    return marks


def _label(at_us: int, step_us: int) -> str:
    day, month, year, time = clock_time(at_us).split()
    if step_us >= _DAY_SECONDS * _SECOND_US:
        return f"{day} {month} {year}"
    if step_us < _MINUTE_SECONDS * _SECOND_US:
        return time
    return f"{day} {month} {time[:5]}"


def _stack(timeline: Timeline, scale: _Scale, index: int) -> str:
    allowed, denied = timeline.allowed[index], timeline.denied[index]
    x = _LEFT + index * scale.column_width
    gap = min(1, scale.column_width / 8)
    width = scale.column_width - gap
    floor = scale.y(0)
    allowed_height = floor - scale.y(allowed)
    denied_height = max(floor - scale.y(denied), _SEEN_HEIGHT) if denied else 0
    bars = ""
    if allowed:
        bars += _bar("allowed", x, floor - allowed_height, width, allowed_height)
    if denied:
        bars += _bar("denied", x, max(floor - allowed_height - denied_height, 0), width, denied_height)
    return bars


def _column(timeline: Timeline, scale: _Scale, index: int) -> str:
    if not timeline.allowed[index] and not timeline.denied[index]:
        return ""
    x = _LEFT + index * scale.column_width
    hit = _bar("hit", x, _TOP, scale.column_width, _PLOT_HEIGHT)
    return f'<g class="column">{hit}{_tip(timeline, index, x + scale.column_width / 2)}</g>'


def _bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _tip(timeline: Timeline, index: int, middle: float) -> str:
    x = min(max(middle - _TIP_WIDTH / 2, 2), _WIDTH - _TIP_WIDTH - 2)
    at = f"{clock_time(timeline.start_us + index * timeline.width_us)}"
    rows = (
        f'<text class="when" x="{x + 10:.1f}" y="{_TOP + 17}">{at}</text>',
        f'<text x="{x + 10:.1f}" y="{_TOP + 34}">{timeline.allowed[index]:,} allowed</text>',
        f'<text class="bad" x="{x + 10:.1f}" y="{_TOP + 51}">{timeline.denied[index]:,} denied</text>',
    )
    box = f'<rect x="{x:.1f}" y="{_TOP}" width="{_TIP_WIDTH}" height="{_TIP_HEIGHT}" rx="6"/>'
    return f'<g class="tip">{box}{"".join(rows)}</g>'


def caption(timeline: Timeline) -> str:
    """Say what a column of the picture is."""
    return f"Each column is {width_text(timeline.width_us)}; times are UTC."
