"""Plots over time as inline SVG: small, sharp in print, and readable in light and dark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from qnodeos.dashboard.markup import Html, tag

WIDTH, HEIGHT = 620, 200
BARS_WIDTH, BARS_LEFT = 1220, 210
LEFT, RIGHT, TOP, BOTTOM = 60, 30, 10, 26
COLUMNS = 600
"""So many instants at most are drawn; of more, the lowest and highest of each column."""

GAP = 5.0
"""A line is broken where so many usual steps are missing."""

_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or with `points` dots; `low` and `high` are a band about it, or error bars."""

    name: str
    time_s: Values
    value: Values
    low: Values | None = None
    high: Values | None = None
    points: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a value lies on the paper."""

    from_s: float
    until_s: float
    low: float
    high: float

    def x(self, time_s: float) -> float:
        """Across."""
        share = (time_s - self.from_s) / max(self.until_s - self.from_s, 1e-9)
        return LEFT + (WIDTH - LEFT - RIGHT) * share

    def y(self, value: float) -> float:
        """Down."""
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def plot(
    title: str,
    unit: str,
    series: Sequence[Series],
    from_s: float,
    until_s: float,
    *,
    from_zero: bool = False,
) -> Html:
    """A figure with its caption; "" where no series has a value."""
    shown = [each for each in map(_finite, series) if len(each.time_s)]
    if not shown:
        return Html("")
    frame = Frame(from_s, until_s, *_range(shown, from_zero))
    marks = [mark for number, each in enumerate(shown) for mark in _marks(each, number, frame)]
    drawing = tag(
        "svg",
        *_axes(frame),
        *marks,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}, {unit}",
    )
    names = [tag("span", each.name, class_=f"key s{number}") for number, each in enumerate(shown)]
    return tag(
        "figure", tag("figcaption", tag("b", title), f" {unit} " if unit else " ", *names), drawing
    )


def bars(
    rows: Sequence[tuple[str, Sequence[tuple[float, float, str, str]]]],
    from_s: float,
    until_s: float,
) -> Html:
    """A row a thing, with what was wrong from when to when: (from, until, state, why)."""
    height = 22 * len(rows) + BOTTOM
    width, left = BARS_WIDTH, BARS_LEFT
    per_s = (width - left - RIGHT) / max(until_s - from_s, 1e-9)
    marks = []
    for number, (name, spans) in enumerate(rows):
        y = 22 * number
        marks.append(tag("text", name, x=left - 8, y=y + 15, text_anchor="end"))
        marks.append(
            tag("rect", x=left, y=y + 4, width=width - left - RIGHT, height=14, class_="good")
        )
        for begin_s, end_s, state, why in spans:
            x = left + (begin_s - from_s) * per_s
            long = max((end_s - begin_s) * per_s, 2.0)
            about = tag("title", f"{clock(begin_s)} to {clock(end_s)}: {state} {why}")
            marks.append(
                tag(
                    "rect",
                    about,
                    x=f"{x:.1f}",
                    y=y + 4,
                    width=f"{long:.1f}",
                    height=14,
                    class_="bad",
                )
            )
    for at_s, text in _ticks_s(from_s, until_s):
        x = left + (at_s - from_s) * per_s
        marks.append(tag("text", text, x=f"{x:.1f}", y=height - 6, text_anchor="middle"))
    return tag(
        "svg", *marks, viewBox=f"0 0 {width} {height}", role="img", aria_label="what was wrong"
    )


def clock(time_s: float) -> str:
    """An instant, UTC."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S}"


def thinned(each: Series) -> Series:
    """At most two instants a column: where a column's lowest and highest values are."""
    if each.points or len(each.time_s) <= 2 * COLUMNS:
        return each
    edges = np.linspace(0, len(each.time_s), COLUMNS + 1).astype(int)
    kept: list[int] = []
    for begin, end in itertools.pairwise(edges):
        part = each.value[begin:end]
        kept += sorted({begin + int(part.argmin()), begin + int(part.argmax())})
    at = np.array(kept)
    low = each.low[at] if each.low is not None else None
    high = each.high[at] if each.high is not None else None
    return Series(each.name, each.time_s[at], each.value[at], low, high)


def _finite(each: Series) -> Series:
    good = np.isfinite(each.value)
    low = each.low[good] if each.low is not None else None
    high = each.high[good] if each.high is not None else None
    return Series(each.name, each.time_s[good], each.value[good], low, high, each.points)


def _range(series: Sequence[Series], from_zero: bool) -> tuple[float, float]:
    """What the axis spans; wild tails (a thousandth) of a line do not squeeze the rest."""
    told = np.concatenate(
        [
            np.quantile(values[np.isfinite(values)], (0.001, 0.999))
            for each in series
            for values in (each.value, each.low, each.high)
            if values is not None and np.isfinite(values).any()
        ]
    )
    low, high = float(told.min()), float(told.max())
    if from_zero:
        low = min(low, 0.0)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return (low if from_zero and low == 0.0 else low - room), high + room


def _marks(whole: Series, number: int, frame: Frame) -> list[Html]:
    each = thinned(whole)
    x = [frame.x(t) for t in each.time_s]

    def clipped(values: Values) -> list[float]:
        return [min(max(frame.y(v), TOP), HEIGHT - BOTTOM) for v in values]

    y = clipped(each.value)
    if each.points:
        found = []
        for k, (across, down) in enumerate(zip(x, y, strict=True)):
            if each.low is not None and each.high is not None:
                top, bottom = clipped(np.array([each.high[k], each.low[k]]))
                found.append(
                    tag("path", d=f"M{across:.1f} {top:.1f}V{bottom:.1f}", class_=f"line s{number}")
                )
            found.append(
                tag("circle", cx=f"{across:.1f}", cy=f"{down:.1f}", r=3, class_=f"dot s{number}")
            )
        return found
    usual_s = float(np.median(np.diff(whole.time_s))) if len(whole.time_s) > 1 else 0.0
    far_s = GAP * max(usual_s, (frame.until_s - frame.from_s) / COLUMNS)
    cuts = [0, *(np.flatnonzero(np.diff(each.time_s) > far_s) + 1).tolist(), len(x)]
    found = []
    for begin, end in itertools.pairwise(cuts):
        part = slice(begin, end)
        if each.low is not None and each.high is not None:
            low, high = each.low[part], each.high[part]
            good = np.isfinite(low) & np.isfinite(high)
            across = np.array(x[part])[good].tolist()
            edge = [*zip(across, clipped(high[good]), strict=True)]
            edge += reversed([*zip(across, clipped(low[good]), strict=True)])
            if edge:
                found.append(tag("path", d=f"{_path(edge)}Z", class_=f"band s{number}"))
        line = [*zip(x[part], y[part], strict=True)]
        if len(line) == 1:
            line = [(line[0][0] - 1, line[0][1]), (line[0][0] + 1, line[0][1])]
        found.append(tag("path", d=_path(line), class_=f"line s{number}"))
    return found


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _axes(frame: Frame) -> list[Html]:
    found = []
    for value in _ticks(frame.low, frame.high):
        y = f"{frame.y(value):.1f}"
        found.append(tag("path", d=f"M{LEFT} {y}H{WIDTH - RIGHT}", class_="grid-line"))
        found.append(
            tag(
                "text",
                _number(value, frame.high - frame.low),
                x=LEFT - 6,
                y=y,
                dy="0.32em",
                text_anchor="end",
            )
        )
    for at_s, text in _ticks_s(frame.from_s, frame.until_s):
        x = f"{frame.x(at_s):.1f}"
        found.append(tag("path", d=f"M{x} {TOP}V{HEIGHT - BOTTOM}", class_="grid-line"))
        found.append(tag("text", text, x=x, y=HEIGHT - 8, text_anchor="middle"))
    return found


def _ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 4
    ten: float = 10.0 ** math.floor(math.log10(raw))
    step = next(k * ten for k in (1, 2, 2.5, 5, 10) if k * ten >= raw)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]


def _number(value: float, span: float) -> str:
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3) and span > abs(value) * 1e-3:
        return f"{value:.3g}".replace("-", "−")
    decimals = max(0, 1 - math.floor(math.log10(span)))
    text = f"{value:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return ("0" if text in ("-0", "") else text).replace("-", "−")


def _ticks_s(from_s: float, until_s: float) -> list[tuple[float, str]]:
    """Whole instants for the axis, with their words, UTC."""
    span_s = until_s - from_s
    step = next((s for s in _STEPS_S if span_s / s <= 6), 86400 * math.ceil(span_s / 6 / 86400))
    words = "%H:%M:%S" if step < 60 else "%H:%M" if span_s <= 86400 else "%d %H:%M"
    first = math.ceil(from_s / step)
    return [
        (k * step, datetime.fromtimestamp(k * step, UTC).strftime(words))
        for k in range(first, math.floor(until_s / step) + 1)
    ]
