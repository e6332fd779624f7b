from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from timing.acquire import Acquisition
from timing.clock import ClockModel, ClockState
from timing.comb import REACH, Expected, comb_counts, estimated_period, resolved, shifted
from timing.pulsed import Pulsed
from timing.reacquire import AcquisitionInput, Search
from timing.track import ClockTracker

PERIOD = 12_500.0
JITTER = 300.0


@given(st.integers(-6, 6), st.integers(0, 2**32 - 1))
def test_the_peak_that_stands_out_is_found(shift: int, seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(20, 2 * REACH + 1)
    counts[REACH + shift] += 150
    answer = resolved(counts, PERIOD, JITTER)
    assert answer.told
    assert answer.shift == shift
    assert answer.log_ratio <= min(answer.log_ratios)


def test_a_cavitys_envelope_has_its_top_in_the_middle() -> None:
    rng = np.random.default_rng(1)
    away = np.abs(np.arange(-REACH, REACH + 1) - 2)
    wrong = 0
    for _ in range(200):
        answer = resolved(rng.poisson(15 + 900 * np.exp(-away / 3)), PERIOD, JITTER)
        wrong += answer.told and answer.shift != 2
    assert wrong == 0
    assert answer.told


def test_what_cannot_be_told_is_said() -> None:
    rng = np.random.default_rng(2)
    answers = [resolved(rng.poisson(40, 2 * REACH + 1), PERIOD, JITTER) for _ in range(300)]
    assert not any(answer.told for answer in answers)
    assert "more light tells" in max(answers, key=lambda a: a.log_ratio).reason
    weak = np.full(2 * REACH + 1, 40)
    weak[REACH] += 15
    assert not resolved(weak, PERIOD, JITTER).told
    blurred = resolved(weak, 700.0, JITTER)
    assert not blurred.told
    assert "run into each other" in blurred.reason
    edge = np.full(2 * REACH + 1, 40)
    edge[-1] += 400
    assert "still rises" in resolved(edge, PERIOD, JITTER).reason


def test_a_clock_carried_on_decides_where_counts_do_not() -> None:
    weak = np.full(2 * REACH + 1, 40)
    weak[REACH] += 15
    weak[REACH + 1] += 15
    known = resolved(weak, PERIOD, JITTER, Expected(PERIOD, 800.0))
    assert known.told
    assert known.shift == 1
    assert not resolved(weak, PERIOD, JITTER, Expected(PERIOD, 20_000.0)).told


def pulses(seed: int, pairs: int, jitter_ps: float = 200.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    place = rng.integers(0, int(1e12 / PERIOD), (2, 20_000))
    place[1, :pairs] = place[0, :pairs]
    times = np.rint(place * PERIOD + rng.normal(0, jitter_ps, place.shape)).astype(np.int64)
    return np.sort(times[0]), np.sort(times[1])


def test_the_period_is_found_in_the_tags() -> None:
    a, b = pulses(3, 400)
    period = estimated_period(a, b, JITTER)
    assert period is not None
    assert period == pytest.approx(PERIOD, rel=2e-4)
    rng = np.random.default_rng(4)
    flat = np.sort(rng.integers(0, 10**12, 20_000))
    other = np.sort(np.concatenate((flat[:400], rng.integers(0, 10**12, 19_600))))
    assert estimated_period(flat, other, JITTER) is None


@pytest.mark.parametrize("period", [PERIOD, "estimate"])
def test_an_acquisition_on_the_wrong_peak_is_put_right(period: Any) -> None:
    a, b = pulses(5, 400)
    right = ClockModel(0, 0, 0.0, 0.0, ((100.0, 0.0), (0.0, 1e-22)))
    found = Acquisition(shifted(right, 3, PERIOD), 400.0, 400.0, JITTER, 9.0, -9.0, 0, 10**12)
    request = AcquisitionInput(a, b, Search(), 0)
    put, pulsed = Pulsed.of(request, found, period, None)
    assert pulsed is not None
    assert pulsed.told
    assert put.model.offset_whole_ps == pytest.approx(0, abs=5)
    assert put.model.covariance == found.model.covariance


def test_without_pairs_no_peak_is_trusted() -> None:
    a, b = pulses(6, 0)
    right = ClockModel(0, 0, 0.0, 0.0, ((100.0, 0.0), (0.0, 1e-22)))
    found = Acquisition(right, 400.0, 400.0, JITTER, 9.0, -9.0, 0, 10**12)
    _, pulsed = Pulsed.of(AcquisitionInput(a, b, Search(), 0), found, PERIOD, None)
    tracker = ClockTracker(found, window_ps=4000, pulsed=pulsed)
    assert tracker.state is ClockState.TRACKING
    assert not tracker.trusted
    assert tracker.comb is not None
    assert "more light tells" in tracker.comb.reason


def test_a_slip_by_one_period_is_noticed_and_undone(source: Callable[..., Any]) -> None:
    """Accidental peaks of bright pulses carry a tracker along as well as the true one."""
    light = source(7, pairs_cps=4e3, singles_cps=(2e5, 2e5), sigma_ps=200.0, period_ps=PERIOD)
    model = ClockModel(0, 0, 0.0, 0.0, ((400.0, 0.0), (0.0, 1e-20)))
    found = Acquisition(model, 4000.0, 4000.0, 200.0, 9.0, -9.0, -(10**12), 0)
    tracker = ClockTracker(found, window_ps=4000, pulsed=Pulsed(PERIOD))
    offsets = []
    for k in range(60):
        step = PERIOD if k >= 20 else 0.0
        tracker.update(*light.span(k * 0.1, lambda t, step=step: step + 0 * t))
        offsets.append(tracker.model.offset_whole_ps)
    assert tracker.statistics().slips == 1
    assert tracker.statistics().missed == 0
    assert abs(offsets[19]) < 100
    assert abs(offsets[-1] - PERIOD) < 100
    assert tracker.comb is not None
    assert tracker.comb.told


def test_counts_are_those_of_each_peak() -> None:
    a = np.arange(10, dtype=np.int64) * 10**9
    b = np.sort(np.concatenate((a, a + 12_500, a + 25_000)))
    counts = comb_counts(b, a, PERIOD, JITTER, reach=3)
    assert counts.tolist() == [0, 0, 0, 10, 10, 10, 0]
