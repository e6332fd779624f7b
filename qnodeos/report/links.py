"""A link in the report: the figures that count, and how they went over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qnodeos.dashboard.markup import MISSING, Html, si, tag, with_error
from qnodeos.report.gather import Figures, NodeRecord
from qnodeos.report.svg import Series, Values, plot

RATE_WINDOWS = 300
"""Rates out of counters are taken over so many windows at most."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of some figures of a link: lines by label."""

    title: str
    unit: str
    lines: dict[str, str]
    from_zero: bool = True


PLOTS = (
    Plot(
        "Coincidences",
        "/s",
        {"coincidences": "coincidences_cps", "accidentals": "accidentals_cps"},
    ),
    Plot("Singles", "/s", {"here": "singles_local_cps", "far end": "singles_remote_cps"}),
    Plot(
        "Clock",
        "ps",
        {
            "uncertainty": "clock_uncertainty_ps",
            "residual": "clock_residual_ps",
            "bound": "clock_bound_ps",
        },
    ),
    Plot("Skew", "ppm", {"far clock against ours": "skew_ppm"}, from_zero=False),
    Plot(
        "Correlators",
        "",
        {"XX": "correlator_xx", "YY": "correlator_yy", "ZZ": "correlator_zz"},
        from_zero=False,
    ),
    Plot("OK after the herald", "ms", {"median": "ok_p50_ms", "99 %": "ok_p99_ms"}),
    Plot(
        "Correction after the herald",
        "ms",
        {"median": "correction_p50_ms", "99 %": "correction_p99_ms"},
    ),
)


def link_card(record: NodeRecord, name: str) -> Html:
    """Figures and plots of one link."""
    part = record.parts[f"link-{name}"]
    times = part.times()
    span = (record.from_s, record.until_s)
    plots = [_fidelity(record, part, name)]
    rates = [
        Series(counter.replace("_", " "), *_rate(times, column))
        for counter in ("heralds", "delivered", "test_rounds")
        if (column := part.of(counter)) is not None
    ]
    plots.append(plot("Pairs", "/s", rates, *span, from_zero=True))
    for each in PLOTS:
        series = [
            Series(label, times, column)
            for label, figure in each.lines.items()
            if (column := part.of(figure)) is not None
        ]
        plots.append(plot(each.title, each.unit, series, *span, from_zero=each.from_zero))
    return tag(
        "div",
        tag("h3", f"Link {name}"),
        _kpis(part, record.until_s - record.from_s),
        tag("div", *(each for each in plots if each), class_="plots"),
        class_="card",
    )


def _fidelity(record: NodeRecord, part: Figures, name: str) -> Html:
    series = []
    if (value := part.of("fidelity")) is not None:
        low, high = part.of("fidelity_low"), part.of("fidelity_high")
        series.append(Series("from test rounds, 95 %", part.times(), value, low, high))
    verified = [
        (each.time_s, *each.data["fidelity"][:1], *each.data["interval"])
        for each in record.results
        if each.app == f"verify:{name}" and "interval" in each.data
    ]
    if verified:
        times, value, low, high = np.array(verified, dtype=np.float64).T
        series.append(Series("verified", times, value, low, high, points=True))
    return plot("Fidelity", "", series, record.from_s, record.until_s)


def _rate(time_s: Values, counter: Values) -> tuple[Values, Values]:
    """How fast a counter grows, at the middles of windows; a restart sets it to zero."""
    good = np.isfinite(counter)
    time_s, counter = time_s[good], counter[good]
    every = max(1, len(time_s) // RATE_WINDOWS)
    steps = np.diff(counter)
    total = np.concatenate(([0.0], np.where(steps >= 0, steps, counter[1:]).cumsum()))
    at, grown = time_s[::every], total[::every]
    if len(at) < 2:
        return np.empty(0), np.empty(0)
    return (at[1:] + at[:-1]) / 2, np.diff(grown) / np.diff(at)


def _kpis(part: Figures, span_s: float) -> Html:
    delivered = part.gained("delivered")
    fidelity, error = part.last("fidelity"), part.last("fidelity_error")
    low, high = part.last("fidelity_low"), part.last("fidelity_high")
    told = [
        ("pairs delivered", f"{delivered:,.0f}"),
        ("mean rate", si(delivered / span_s, "/s") if span_s > 0 else MISSING),
        ("fidelity at the end", with_error(fidelity, error)),
        ("95 % of it", f"{low:.4f} to {high:.4f}" if low and high else MISSING),
        ("time ready", _share(part.of("ready"))),
    ]
    clock = part.words.get("clock")
    if clock:
        told.append(("clock", clock[-1][1]))
        told.append(("clock lost", f"{part.gained('clock_losses'):,.0f} times"))
    if part.of("heralds") is not None:
        told.append(("heralds", f"{part.gained('heralds'):,.0f}"))
    if (p99 := part.last("ok_p99_ms")) is not None:
        told.append(("OK after herald, 99 %", f"{p99:.3g} ms"))
    for name, words in (("tag_losses", "batches after a loss"), ("tag_overflows", "overflows")):
        if part.of(name) is not None:
            told.append((words, f"{part.gained(name):,.0f}"))
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in told),
        class_="kpis",
    )


def _share(flags: Values | None) -> str:
    if flags is None or not np.isfinite(flags).any():
        return MISSING
    return f"{100 * float(np.nanmean(flags)):.1f} %"
