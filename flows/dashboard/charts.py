"""Trends drawn as SVG: across in per cent and down in pixels, so that text keeps its size at any width."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from xml.etree.ElementTree import Element, SubElement, tostring

from flows.dashboard.trends import Series, Trend, Unit

HEIGHT = 230
_TOP, _BOTTOM = 10, 24  # pixels around the plot
_LEFT, _RIGHT = 14.0, 99.5  # per cent of the width; six characters fit beside the plot on a phone
_LINES = 4  # of the grid
_LABELS = 5  # below the plot
_GAP = 5  # weeks without a value over which a line is still drawn
_WIDEST_BAR = 5.0

# Okabe and Ito's colours, told apart with any colour vision; the last is for what is left over.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#cc79a7", "#8b93a1")
_ALONE = (
    "text{font:12px system-ui,sans-serif;fill:#5b6570}.grid{stroke:#dde3e9}.hit{fill:none}"
    ".line{stroke-width:2;stroke:var(--tone)}.mark{fill:var(--tone)}.title{font-weight:600;fill:#1b1f24}"
    + "".join(f".c{index}{{--tone:{colour}}}" for index, colour in enumerate(PALETTE))
)
_ALONE_WIDTH, _HEAD = 760, 64


def chart(trend: Trend) -> str:
    """The trend as an SVG element for a page whose style sheet has its classes."""
    root = Element("svg", {"class": "chart", "width": "100%", "height": str(HEIGHT), "role": "img"})
    root.set("aria-label", f"{trend.title}, week by week")
    _draw(root, trend)
    return tostring(root, encoding="unicode")


def picture(trend: Trend) -> str:
    """The trend as a data URI of an SVG that stands alone, with its title and legend."""
    height = HEIGHT + _HEAD
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "width": str(_ALONE_WIDTH)})
    root.set("height", str(height))
    SubElement(root, "style").text = _ALONE
    SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#fff"})
    _text(root, "1.5%", 24, trend.title, "title")
    for index, series in enumerate(trend.series):
        at = 1.5 + index * 98 / max(len(trend.series), 4)
        SubElement(
            root,
            "rect",
            {"x": f"{at}%", "y": "38", "width": "10", "height": "10", "class": f"mark c{series.colour}"},
        )
        _text(root, f"{at + 2}%", 48, _short(series.name), "")
    plot = SubElement(root, "svg", {"y": str(_HEAD), "width": "100%", "height": str(HEIGHT)})
    _draw(plot, trend)
    return f"data:image/svg+xml;base64,{b64encode(tostring(root)).decode()}"


def _draw(root: Element, trend: Trend) -> None:
    low, high, ticks = _range(trend)
    for value, label in ticks:
        y = _down(value, low, high)
        SubElement(
            root,
            "line",
            {"class": "grid", "x1": f"{_LEFT}%", "x2": f"{_RIGHT}%", "y1": f"{y}", "y2": f"{y}"},
        )
        _text(root, f"{_LEFT - 0.8}%", y + 4, label, "", "end")
    _name_weeks(root, trend.weeks)
    if trend.stacked:
        _stack(root, trend, low, high)
    else:
        for series in trend.series:
            _line(root, series, low, high)
    _explain(root, trend)


def _stack(root: Element, trend: Trend, low: float, high: float) -> None:
    step = (_RIGHT - _LEFT) / len(trend.weeks)
    width = min(step * 0.8, _WIDEST_BAR)
    for at in range(len(trend.weeks)):
        below = 0.0
        for series in trend.series:
            value = series.values[at]
            if not value:
                continue
            top, bottom = _down(below + value, low, high), _down(below, low, high)
            below += value
            SubElement(
                root,
                "rect",
                {
                    "class": f"mark c{series.colour}",
                    "x": f"{_across(at, len(trend.weeks)) - width / 2:.2f}%",
                    "width": f"{width:.2f}%",
                    "y": f"{top:.1f}",
                    "height": f"{max(bottom - top, 0.5):.1f}",
                },
            )


def _line(root: Element, series: Series, low: float, high: float) -> None:
    weeks = len(series.values)
    points = [(at, value) for at, value in enumerate(series.values) if value is not None]
    group = SubElement(root, "g", {"class": f"c{series.colour}"})
    for (at, value), (to, other) in pairwise(points):
        if to - at > _GAP:
            continue
        ends = {
            "x1": f"{_across(at, weeks):.2f}%",
            "y1": f"{_down(value, low, high):.1f}",
            "x2": f"{_across(to, weeks):.2f}%",
            "y2": f"{_down(other, low, high):.1f}",
        }
        SubElement(group, "line", {"class": "line", **ends})
    for at, value in points:
        SubElement(
            group,
            "circle",
            {
                "class": "mark",
                "cx": f"{_across(at, weeks):.2f}%",
                "cy": f"{_down(value, low, high):.1f}",
                "r": "3" if weeks <= 30 else "1.8",
            },
        )


def _explain(root: Element, trend: Trend) -> None:
    """Over each week a column that shows nothing and says everything when it is pointed at."""
    step = (_RIGHT - _LEFT) / len(trend.weeks)
    for at, week in enumerate(trend.weeks):
        said = [f"{series.name}: {series.notes[at]}" for series in trend.series if series.notes[at]]
        if not said:
            continue
        column = SubElement(
            root,
            "rect",
            {
                "class": "hit",
                "x": f"{_across(at, len(trend.weeks)) - step / 2:.2f}%",
                "width": f"{step:.2f}%",
                "y": str(_TOP),
                "height": str(HEIGHT - _TOP - _BOTTOM),
            },
        )
        SubElement(column, "title").text = "\n".join([f"Week of {week:%-d %B %Y}", *reversed(said)])


def _name_weeks(root: Element, weeks: Sequence[date]) -> None:
    stride = math.ceil(len(weeks) / _LABELS)
    style = "%-d %b" if len(weeks) <= 26 else "%b ’%y"
    for at in range(stride // 2, len(weeks), stride):
        across = _across(at, len(weeks))
        anchor = "middle" if across < 92 else "end"  # or a narrow screen would cut it off
        where = across if anchor == "middle" else _RIGHT
        _text(root, f"{where:.2f}%", HEIGHT - 6, f"{weeks[at]:{style}}", "", anchor)


def _range(trend: Trend) -> tuple[float, float, list[tuple[float, str]]]:
    """The lowest and the highest value of the plot, and the round ones in between with their names."""
    if trend.stacked:
        sums = [sum(s.values[at] or 0 for s in trend.series) for at in range(len(trend.weeks))]
        low, high = 0.0, max(sums, default=0)
    else:
        values = [value for series in trend.series for value in series.values if value is not None]
        low, high = min(values, default=0), max(values, default=0)
    scale, name = _scale(trend.unit, high)
    step = _step((high - low) / scale or abs(high) / scale * 0.1 or 1, whole=trend.unit == "runs")
    first = math.floor(low / scale / step)
    last = max(math.ceil(high / scale / step), first + 1)
    ticks = [(at * step * scale, name(at * step)) for at in range(first, last + 1)]
    return first * step * scale, last * step * scale, ticks


def _step(span: float, *, whole: bool) -> float:
    power = 10.0 ** math.floor(math.log10(span / _LINES))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if span / (power * factor) <= _LINES)
    return max(1.0, math.ceil(step)) if whole else step


def _scale(unit: Unit, high: float) -> tuple[float, Callable[[float], str]]:
    """What the axis counts in, and how it names a value: seconds, minutes or hours, after the longest."""
    if unit == "seconds":
        scale, name = (3600, "h") if high > 80 * 60 else (60, "min") if high > 120 else (1, "s")
        return scale, lambda value: f"{value:g} {name}"
    if unit == "dollars":
        return (1000, lambda value: f"${value:g}k") if high > 8000 else (1, lambda value: f"${value:,.10g}")
    return 1, lambda value: f"{value:,.6g}"


def _across(at: int, weeks: int) -> float:
    return _LEFT + (at + 0.5) * (_RIGHT - _LEFT) / weeks


def _down(value: float, low: float, high: float) -> float:
    return round(HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)


def _text(root: Element, x: str, y: float, text: str, style: str, anchor: str = "start") -> None:
    kind = {"class": style} if style else {}
    SubElement(root, "text", {"x": x, "y": f"{y:g}", "text-anchor": anchor, **kind}).text = text


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
