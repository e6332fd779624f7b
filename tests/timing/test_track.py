from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from timing.acquire import Acquisition
from timing.clock import ClockModel, ClockState
from timing.track import ClockTracker

Make = Callable[..., Any]
NOISE = 1.5e-11


def tracker_for(truth: Any, window_ps: int = 6000, skew_error: float = 0.0) -> ClockTracker:
    """As after a good acquisition of the second before the stream."""
    model = ClockModel(
        epoch_ps=truth.remote_zero_ps,
        offset_whole_ps=truth.offset_ps,
        offset_ps=0.0,
        skew=truth.skew + skew_error,
        covariance=((20.0**2, 0.0), (0.0, (60e-12) ** 2)),
    )
    found = Acquisition(model, 3000.0, 3000.0, 830.0, 30.0, -100.0, -(10**12), 0)
    return ClockTracker(found, window_ps=window_ps, clock_noise_1s=NOISE)


def spans(truth: Any, step_ps: int = 10**11) -> Iterator[tuple[Any, Any, int, int]]:
    """Both ends' tags cut into equal spans of remote time."""
    zero = truth.remote_zero_ps
    stop = int(truth.remote_ps[-1])
    for start in range(zero, stop - step_ps, step_ps):
        past = start + step_ps
        low, high = np.searchsorted(truth.remote_ps, [start, past])
        edges = [start + truth.offset_ps, past + truth.offset_ps]
        first, last = np.searchsorted(truth.local_ps, edges)
        yield truth.local_ps[first:last], truth.remote_ps[low:high], start, past


def test_it_stays_within_its_bound_and_knows_its_error(lab: Make) -> None:
    """Clocks without noise of their own: the filter must do as well as for noisy ones."""
    errors, stated = [], []
    for seed in range(4):
        truth = lab(seed, span_s=5.0, skew=-6e-6, offset_ps=10**12, remote_zero_ps=4 * 10**15)
        tracker = tracker_for(truth, skew_error=40e-12)
        for local, remote, start, stop in spans(truth):
            assert tracker.update(local, remote, start, stop) is not None
            assert tracker.state is ClockState.TRACKING
            errors.append(truth.error_ps(tracker.model, stop))
            stated.append(tracker.uncertainty_ps(stop))
    late = np.array(errors)
    assert np.sqrt(np.mean(late**2)) < 1.5 * tracker.bound_ps()
    assert np.all(np.abs(late) < 5 * np.array(stated))
    statistics = tracker.statistics()
    assert statistics.batches == len(errors) // 4
    assert statistics.missed == statistics.outliers == 0
    assert statistics.bound_ps == pytest.approx(
        1e12 * np.sqrt(830e-12 * NOISE / np.sqrt(3000)), 0.02
    )
    assert statistics.residual_ps < 3 * statistics.bound_ps
    assert statistics.pair_rate_cps == pytest.approx(3000, rel=0.1)


def test_noisy_clocks_are_followed_as_the_filter_expects(lab: Make) -> None:
    truth = lab(11, span_s=12.0, clock_noise_1s=NOISE, skew=2e-6)
    tracker = tracker_for(truth)
    for span in spans(truth):
        tracker.update(*span)
    statistics = tracker.statistics()
    assert tracker.state is ClockState.TRACKING
    assert 0.6 < statistics.consistency < 1.6
    assert statistics.residual_ps < 2 * statistics.bound_ps


def test_dark_times_are_held_over_then_lost(lab: Make) -> None:
    truth = lab(12, span_s=1.0)
    tracker = tracker_for(truth, window_ps=2000)
    for span in spans(truth):
        tracker.update(*span)
    nothing = np.empty(0, dtype=np.int64)
    before = tracker.uncertainty_ps(10**12)
    states = []
    for k in range(10, 300):
        tracker.update(nothing, nothing, k * 10**11, (k + 1) * 10**11)
        states.append(tracker.state)
        at_ps = k * 10**11 + 5 * 10**10
        assert (tracker.state is ClockState.LOST) == (3 * tracker.uncertainty_ps(at_ps) > 1000)
        if tracker.state is ClockState.LOST:
            break
    assert states[0] is ClockState.HOLDOVER
    assert states[-1] is ClockState.LOST
    assert tracker.uncertainty_ps(k * 10**11) > 5 * before
    assert not tracker.trusted


def test_after_holdover_the_peak_is_found_again(lab: Make) -> None:
    truth = lab(13, span_s=4.0, skew=3e-6)
    tracker = tracker_for(truth)
    for local, remote, start, stop in spans(truth):
        dark = 10**12 < start < 3 * 10**12
        tracker.update(local[:0] if dark else local, remote[:0] if dark else remote, start, stop)
        if dark:
            assert tracker.state is ClockState.HOLDOVER
    assert tracker.state is ClockState.TRACKING
    assert abs(truth.error_ps(tracker.model, tracker.model.epoch_ps)) < 60


def test_a_clock_that_jumps_far_is_lost_though_the_light_is_there(lab: Make) -> None:
    truth = lab(14, span_s=6.0, step_ps=1e9)
    tracker = tracker_for(truth)
    history = []
    for span in spans(truth):
        tracker.update(*span)
        history.append(tracker.state)
    assert history[25] is ClockState.TRACKING
    assert ClockState.HOLDOVER in history
    assert history[-1] is ClockState.LOST


def test_a_small_jump_is_first_an_outlier_then_a_loss(lab: Make) -> None:
    truth = lab(15, span_s=4.0, step_ps=1500)
    tracker = tracker_for(truth)
    for span in spans(truth):
        tracker.update(*span)
    assert tracker.statistics().outliers == 5
    assert tracker.state is ClockState.LOST


def test_a_burst_of_background_does_not_pull_the_clock(lab: Make) -> None:
    truth = lab(16, span_s=2.0)
    rng = np.random.default_rng(16)
    tracker = tracker_for(truth)
    for k, (local, remote, start, stop) in enumerate(spans(truth)):
        if k % 3 == 1:
            burst = rng.integers(start, stop, 40_000)
            remote = np.sort(np.concatenate((remote, burst)))
        tracker.update(local, remote, start, stop)
        assert abs(truth.error_ps(tracker.model, tracker.model.epoch_ps)) < 80
    assert tracker.state is ClockState.TRACKING


def test_in_doubt_the_peak_must_show_again(lab: Make) -> None:
    truth = lab(17, span_s=1.5)
    batches = list(spans(truth))
    tracker = tracker_for(truth)
    tracker.update(*batches[0])
    tracker.doubt()
    assert tracker.state is ClockState.HOLDOVER
    assert not tracker.trusted
    tracker.update(*batches[1])
    assert tracker.state is ClockState.TRACKING
    assert tracker.trusted
    tracker.doubt()
    for local, remote, start, stop in batches[2:4]:
        tracker.update(local + 134_217_728_000, remote, start, stop)
    assert tracker.state is ClockState.LOST


def test_unrelated_tags_are_no_peak(lab: Make) -> None:
    truth = lab(18, span_s=2.0, pairs_cps=0.0)
    tracker = tracker_for(truth)
    assert all(tracker.update(*span) is None for span in spans(truth))
    assert tracker.statistics().missed == tracker.statistics().batches > 15


def test_few_pairs_bound_the_clock_by_their_number(lab: Make) -> None:
    model = ClockModel(0, 0, 0.0, 0.0)
    few = Acquisition(model, 3000.0, 100.0, 830.0, 30.0, -100.0, -(10**12), 0)
    assert ClockTracker(few, window_ps=6000).bound_ps() == pytest.approx(83.0)
