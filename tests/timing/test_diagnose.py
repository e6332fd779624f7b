"""Each thing that can be wrong with two recordings is recognised and named; good ones are left."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timing.acquire import Search
from timing.clock import ClockModel
from timing.diagnose import (
    apart_ps,
    clock_step,
    confirmed_unit,
    examine,
    same_stream,
    silences,
    suspected_unit,
    swapped,
    wide_peak,
)

Make = Callable[..., Any]
TEN_S = 10**13
SEARCH = Search(max_offset_ps=10**12, max_skew=15e-6, most_s=0.5)


def light(rate_cps: float = 2e4, span_s: float = 10.0, seed: int = 1, start_ps: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    count = rng.poisson(rate_cps * span_s)
    return np.sort(rng.integers(0, round(span_s * 1e12), count)) + start_ps


def kinds(a: Any, b: Any, max_offset_ps: int = TEN_S) -> list[str]:
    return [finding.kind for finding in examine(a, b, max_offset_ps)]


@pytest.mark.parametrize("start_s", [-9.0, 0.0, 15.0])
@pytest.mark.parametrize("rates", [(2e4, 2e4), (1e5, 5e3), (1e3, 3e4)])
def test_nothing_is_said_of_good_recordings(rates: Any, start_s: float) -> None:
    a, b = light(rates[0]), light(rates[1], 13.0, seed=2, start_ps=round(start_s * 1e12))
    assert kinds(a, b) == []


def test_an_empty_recording() -> None:
    nothing = np.empty(0, np.int64)
    (finding,) = examine(light(), nothing, TEN_S, ("near", "far"))
    assert (finding.kind, finding.fatal) == ("empty", True)
    assert finding.text.startswith("far holds no tags")
    assert kinds(nothing, nothing) == ["empty", "empty"]


@pytest.mark.parametrize("shift", [0, 1, -(10**12)])
def test_one_file_given_twice(shift: int) -> None:
    a = light()
    assert same_stream(a, a + shift) == shift
    (finding,) = examine(a, a + shift, TEN_S)
    assert (finding.kind, finding.fatal) == ("same", True)
    assert ("ps apart" in finding.text) == (shift != 0)
    moved = a.copy()
    moved[len(a) // 2] += 1
    assert same_stream(a, moved) is None
    assert kinds(a, moved) == []


@pytest.mark.parametrize("start_s", [25.0, -33.0])
def test_recordings_of_different_times(start_s: float) -> None:
    a, b = light(), light(seed=2, start_ps=round(start_s * 1e12))
    (finding,) = examine(a, b, TEN_S)
    assert (finding.kind, finding.fatal) == ("no-overlap", True)
    least_s = int(finding.text.split("allow offsets of ")[1].split()[0])
    assert apart_ps(a, b) < least_s * 10**12
    assert kinds(a, b, least_s * 10**12) == []


@pytest.mark.parametrize("unit", [1000, 10**6, 10**9])
@pytest.mark.parametrize("which", [0, 1])
def test_another_unit_is_suspected_from_spans_and_counts(unit: int, which: int) -> None:
    streams = [light(3e4), light(1e4, 12.0, seed=2)]
    streams[which] = streams[which] // unit
    assert suspected_unit(*streams) == (which, unit)
    findings = examine(*streams, TEN_S)
    assert findings[0].kind == "unit"
    assert f"{'AB'[which]}'s times look like they are in units of" in findings[0].text
    assert f"multiply its times by {unit}" in findings[0].text


@given(st.floats(1e2, 1e5), st.floats(1e2, 1e5), st.floats(1.0, 30.0), st.floats(1.0, 30.0))
def test_other_rates_and_lengths_are_no_other_unit(
    rate_a: float, rate_b: float, span_a: float, span_b: float
) -> None:
    a = np.linspace(0, span_a * 1e12, max(2, round(rate_a * span_a / 100))).astype(np.int64)
    b = np.linspace(0, span_b * 1e12, max(2, round(rate_b * span_b / 100))).astype(np.int64)
    assert not any(finding.kind == "unit" for finding in examine(a, b, TEN_S))


@pytest.mark.parametrize(("unit", "words"), [(1000, "1 ns"), (125, "125 ps"), (80, "80 ps")])
@pytest.mark.parametrize("which", [0, 1])
def test_another_unit_is_proved_by_the_photons(
    lab: Make, unit: int, words: str, which: int
) -> None:
    # The finer the unit, the more of the timing is left after the times were cut to it.
    truth = lab(3, span_s=3.0, offset_ps=2 * 10**11, skew=3e-6)
    streams = [truth.local_ps, truth.remote_ps]
    streams[which] = streams[which] // unit
    finding = confirmed_unit(*streams, SEARCH)
    assert finding is not None
    assert f"{'AB'[which]}'s times are in units of {words}, not 1 ps" in finding.text
    assert finding.fatal
    assert confirmed_unit(truth.local_ps, truth.remote_ps, SEARCH) is None


def test_what_only_looks_like_another_unit_is_not_proved() -> None:
    assert confirmed_unit(light(), light(seed=2) // 1000, SEARCH) is None


def test_silences_are_told_and_chance_is_not() -> None:
    for seed in range(20):
        assert silences(light(5e3, 20.0, seed)) == []
    a = light(5e3, 20.0)
    cut = a[(a < 4 * 10**12) | (a > 45 * 10**11)]
    ((start, stop),) = silences(cut)
    assert start < 4 * 10**12 < 45 * 10**11 < stop
    (finding,) = examine(cut, light(seed=2), TEN_S)
    assert finding.kind == "silence"
    assert not finding.fatal
    assert "A is silent once, 0.5 s in all, longest 0.5 s from 3.99982 s on" in finding.text


def test_bursts_are_no_silence() -> None:
    rng = np.random.default_rng(4)
    # Swings of the rate by 20 within a second.
    rates = 5e4 / (1 + 19 * (np.arange(100) % 10 < 5))
    parts = [
        np.sort(rng.integers(0, 10**11, rng.poisson(rate / 10))) + k * 10**11
        for k, rate in enumerate(rates)
    ]
    assert silences(np.concatenate(parts)) == []


def model(offset_ps: int, skew: float, epoch_s: float, sigma_ps: float = 20.0) -> ClockModel:
    return ClockModel(round(epoch_s * 1e12), offset_ps, 0.0, skew, ((sigma_ps**2, 0), (0, 1e-24)))


def test_a_clock_that_steps_and_one_that_wanders() -> None:
    before = model(5000, 1e-6, 1.0)
    # A second later the same clock stands a microsecond farther.
    same = model(5000 + 1_000_000, 1e-6, 2.0)
    at_ps = 15 * 10**11
    assert clock_step(before, same, at_ps, 1e-11) is None
    stepped = model(5000 + 1_000_000 - 7000, 1e-6, 2.0)
    step = clock_step(before, stepped, at_ps, 1e-11)
    assert step is not None
    assert step[0] == pytest.approx(-7000, abs=2)
    assert 20 < step[1] < 60
    # A clock of 1e-9 may wander 1 ns in a second: 7 ns are not enough to tell, 70 are.
    assert clock_step(before, stepped, at_ps, 2e-9) is None
    assert clock_step(before, model(5000 + 930_000, 1e-6, 2.0), at_ps, 2e-9) is not None


def test_swapped_files_are_named_where_the_sign_is_expected() -> None:
    finding = swapped(-0.2001, 0.2, ("x", "y"))
    assert finding is not None
    assert "x and y look swapped: the offset is -0.200100 s" in finding.text
    assert swapped(0.2001, 0.2) is None
    assert swapped(0.05, 0.2) is None
    assert swapped(0.0, 0.0) is None


def test_a_peak_too_wide_for_detectors_is_told() -> None:
    assert wide_peak(1000.0) is None
    finding = wide_peak(4.6e6)
    assert finding is not None
    assert "4,600.0 ns wide" in finding.text
