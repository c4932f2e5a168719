"""The plots are well-formed and draw what they are given."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.svg import Bar, Line, bar_chart, line_chart, ticks_linear, ticks_logarithmic

SVG = "{http://www.w3.org/2000/svg}"
BARS = [
    Bar(label="one", value=50, low=40, high=60, marked=True),
    Bar(label="<two> & more", value=100, low=90, high=100),
]


def test_bars_are_as_long_as_their_figures() -> None:
    """Twice the figure is twice the length."""
    root = ET.fromstring(bar_chart("rates", BARS, unit="/s"))
    first, second = (float(bar.attrib["width"]) for bar in root.findall(f"{SVG}rect")[1:])
    assert second == 2 * first


def test_names_are_escaped() -> None:
    """A name with angle brackets is text, not markup."""
    root = ET.fromstring(bar_chart("a < b", BARS, unit="/s"))
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert {"a < b", "<two> & more"} <= set(texts)


def test_everything_drawn_lies_within_the_picture() -> None:
    """No point of a line is outside, on either kind of scale."""
    lines = [Line(label="one", points=[(0, 0.3), (1, 12.0), (2, 900.0)]), Line(label="two", points=[(0, 5), (2, 7)])]
    for logarithmic in (False, True):
        text = line_chart(
            "curves",
            lines,
            x_label="x",
            y_label="y",
            x_ticks=[(0, "a"), (1, "b"), (2, "c")],
            y_logarithmic=logarithmic,
        )
        root = ET.fromstring(text)
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.findall(f"{SVG}circle")]
        assert len(dots) == 5
        assert all(0 < x < width and 0 < y < height for x, y in dots)


def test_more_is_drawn_higher() -> None:
    """Height grows with the figure, which in a picture is a smaller y."""
    text = line_chart(
        "up", [Line(label="", points=[(0, 1), (1, 3)])], x_label="", y_label="", x_ticks=[(0, "0"), (1, "1")]
    )
    low, high = (float(dot.attrib["cy"]) for dot in ET.fromstring(text).findall(f"{SVG}circle"))
    assert high < low


def test_ticks_reach_around_the_figures() -> None:
    """The first tick is at or below the least figure and the last at or above the most, at few round places."""
    assert ticks_linear(3, 94_000) == [0, 20_000, 40_000, 60_000, 80_000, 100_000]
    assert ticks_logarithmic(0.26, 6.2) == [0.1, 1.0, 10.0]
    assert ticks_logarithmic(1, 1) == [1.0, 10.0]
