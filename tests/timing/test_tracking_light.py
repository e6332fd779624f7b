"""The tracker in light that changes, bursts, fades and has tails."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from timing.acquire import Acquisition
from timing.clock import ClockModel, ClockState
from timing.clock_class import declared_noise, white_noise
from timing.track import STATED, ClockTracker

Make = Callable[..., Any]
NOISE = white_noise(1.5e-11, 2e-13)


def tracker_for(jitter_ps: float = 300.0, pairs_cps: float = 2000.0, **options: Any) -> Any:
    whole = options.pop("offset_ps", 0)
    model = ClockModel(0, whole, 0.0, 0.0, ((20.0**2, 0.0), (0.0, (60e-12) ** 2)))
    found = Acquisition(model, pairs_cps, pairs_cps, jitter_ps, 30.0, -100.0, -(10**12), 0)
    return ClockTracker(found, window_ps=4000, **{"noise": NOISE, **options})


def error_ps(tracker: ClockTracker, offset: Any, at_ps: int) -> float:
    whole, rest = tracker.predicted(at_ps).shift_ps(np.array([at_ps]))
    return float(whole + rest[0] - offset(np.array([at_ps * 1e-12]))[0])


def test_over_seeds_innovations_and_errors_are_as_stated(source: Make, walk: Make) -> None:
    consistencies, normalised, ratios = [], [], []
    for seed in range(5):
        light, offset = source(seed), walk(50 + seed, 25, 1.5e-11, 2e-13)
        tracker = tracker_for()
        errors = []
        for k in range(240):
            tracker.update(*light.span(k * 0.1, offset))
            at_ps = round((k + 0.5) * 1e11)
            if k > 40:
                errors.append(error_ps(tracker, offset, at_ps))
                sigma = tracker.uncertainty_ps(at_ps) / STATED
                normalised.append(errors[-1] / sigma)
        consistencies.append(tracker.statistics().consistency)
        ratios.append(np.sqrt(np.mean(np.square(errors))) / tracker.bound_ps())
    assert np.mean(consistencies) == pytest.approx(1, abs=0.12)
    assert np.mean(np.square(normalised)) == pytest.approx(1, abs=0.25)
    assert np.max(np.abs(normalised)) < 3 * STATED
    assert np.mean(ratios) < 1.2


def test_too_quiet_a_class_is_noticed_and_the_stated_error_grows(source: Make, walk: Make) -> None:
    light, offset = source(1), walk(51, 30, 1.5e-10)
    tracker = tracker_for(noise=white_noise(2e-11, 2e-13))
    worst = []
    for k in range(280):
        tracker.update(*light.span(k * 0.1, offset))
        at_ps = round((k + 0.5) * 1e11)
        if k > 100:
            worst.append(abs(error_ps(tracker, offset, at_ps)) / tracker.uncertainty_ps(at_ps))
    assert tracker.statistics().consistency > 2
    assert np.quantile(worst, 0.99) < 3


@pytest.mark.parametrize("declared", [1.5e-12, 1.5e-10])
def test_the_noise_is_estimated_from_the_data(source: Make, walk: Make, declared: float) -> None:
    light, offset = source(2), walk(52, 60, 1.5e-11)
    tracker = tracker_for(noise=white_noise(declared, 2e-13), estimate_noise=True)
    for k in range(600):
        tracker.update(*light.span(k * 0.1, offset))
    assert tracker.noise.white_fm_1s == pytest.approx(1.5e-11, rel=0.5)
    assert tracker.statistics().consistency == pytest.approx(1, abs=0.25)


def test_a_hundredth_of_the_light_is_enough_to_track(source: Make, walk: Make) -> None:
    light, offset = source(3), walk(53, 60, 1.5e-11, 2e-13)
    tracker = tracker_for()
    states, worst = [], 0.0
    for k in range(500):
        tracker.update(*light.span(k * 0.1, offset, light=0.01 if 100 <= k < 400 else 1.0))
        states.append(tracker.state)
        at_ps = round((k + 0.5) * 1e11)
        worst = max(worst, abs(error_ps(tracker, offset, at_ps)) / tracker.uncertainty_ps(at_ps))
    assert ClockState.LOST not in states
    dim = Counter(states[100:400])
    assert dim[ClockState.TRACKING] > 150
    assert set(states[402:]) == {ClockState.TRACKING}
    assert worst < 3


def test_bursts_of_dark_counts_do_not_move_the_clock(source: Make, walk: Make) -> None:
    light, offset = source(4), walk(54, 30, 1.5e-11, 2e-13)
    tracker = tracker_for()
    for k in range(250):
        tracker.update(*light.span(k * 0.1, offset, burst_cps=2e6 if k % 5 == 3 else 0.0))
        assert tracker.state is ClockState.TRACKING
        at_ps = round((k + 0.5) * 1e11)
        assert abs(error_ps(tracker, offset, at_ps)) < 4 * tracker.uncertainty_ps(at_ps)


@pytest.mark.parametrize("tail_ps", [250.0, -250.0])
def test_detectors_with_tails_bias_nothing_in_the_end(source: Make, tail_ps: float) -> None:
    light = source(5, sigma_ps=150.0, tail_ps=tail_ps)
    tracker = tracker_for(jitter_ps=290.0, noise=white_noise(1e-12))
    errors = []
    for k in range(400):
        tracker.update(*light.span(k * 0.1, lambda t: 0.0 * t))
        if k > 250:
            errors.append(error_ps(tracker, lambda t: 0.0 * t, round((k + 0.5) * 1e11)))
    statistics = tracker.statistics()
    assert statistics.tail_ps == pytest.approx(tail_ps, rel=0.15)
    assert statistics.jitter_ps == pytest.approx(np.hypot(150, 250), rel=0.05)
    # A Gaussian fit would be off by some 15 ps.
    assert abs(np.mean(errors)) < 5


def test_the_window_widens_with_the_uncertainty_and_ends_with_it(source: Make) -> None:
    light = source(6)
    tracker = tracker_for(noise=declared_noise("ocxo", "ocxo"))
    for k in range(50):
        tracker.update(*light.span(k * 0.1, lambda t: 0.0 * t))
    windows = []
    for k in range(50, 5000, 10):
        tracker.idle(k * 10**11)
        windows.append(tracker.window_ps(k * 10**11))
        if tracker.state is ClockState.LOST:
            break
    assert windows[0] == pytest.approx(4000, rel=0.01)
    assert windows == sorted(windows)
    assert 4000 + 6 * 500 < windows[-2] <= 8000
    assert tracker.state is ClockState.LOST
    assert not tracker.trusted


def test_a_lost_clock_is_found_where_it_should_be(source: Make, walk: Make) -> None:
    light, offset = source(7), walk(57, 700, 1.5e-11, 1e-13)
    tracker = tracker_for(noise=declared_noise("ocxo", "ocxo"))
    for k in range(100):
        tracker.update(*light.span(k * 0.1, offset))
    tracker.idle(600 * 10**12)
    assert tracker.state is ClockState.LOST
    assert tracker.update(*light.span(600.0, offset)) is None
    assert tracker.look_again(*light.span(600.1, offset))
    assert not tracker.trusted
    tracker.update(*light.span(600.2, offset))
    assert tracker.state is ClockState.TRACKING
    assert tracker.trusted
    at_ps = 600_250_000_000_000
    assert abs(error_ps(tracker, offset, at_ps)) < 3 * tracker.uncertainty_ps(at_ps)
    assert tracker.statistics().recoveries == 1


def test_nothing_is_found_again_where_there_are_no_pairs(source: Make) -> None:
    light = source(8, pairs_cps=0.0, singles_cps=(2e5, 2e5))
    tracker = tracker_for()
    tracker.idle(3600 * 10**12)
    assert tracker.state is ClockState.LOST
    found = [tracker.look_again(*light.span(3600 + k * 0.1, lambda t: 0 * t)) for k in range(50)]
    assert not any(found)


def test_a_reference_holds_the_clock_in_the_dark(source: Make, walk: Make) -> None:
    offset = walk(59, 400, 1e-10, 1e-12)
    trackers = []
    for referenced in (False, True):
        light = source(9)
        tracker = tracker_for(noise=white_noise(1e-10, 1e-12), offset_ps=40_000)
        for k in range(200):
            tracker.update(*light.span(k * 0.1, lambda t: offset(t) + 40_000))
            # The path, 40 ns, is no part of what a reference knows.
            if referenced and k % 10 == 0:
                value = offset(np.array([k * 0.1]))[0]
                assert tracker.observe_reference(round(value), 900.0, k * 10**11)
        for second in range(20, 300):
            if referenced:
                value = offset(np.array([float(second)]))[0]
                tracker.observe_reference(round(value), 900.0, second * 10**12)
        trackers.append(tracker)
    alone, held = trackers
    end_ps = 300 * 10**12
    assert held.uncertainty_ps(end_ps) < 0.1 * alone.uncertainty_ps(end_ps)
    error = error_ps(held, lambda t: offset(t) + 40_000, end_ps)
    assert abs(error) < 3 * held.uncertainty_ps(end_ps)
    assert not held.observe_reference(10**9, 900.0, end_ps)


def test_a_clock_that_locks_wanders_less_from_then_on(source: Make) -> None:
    light = source(10)
    tracker = tracker_for(noise=declared_noise("quartz", "quartz"))
    for k in range(50):
        tracker.update(*light.span(k * 0.1, lambda t: 0.0 * t))
    free_ps = tracker.uncertainty_ps(65 * 10**12)
    tracker.set_noise(declared_noise("white_rabbit", "white_rabbit"), pulled=1e-9)
    assert tracker.uncertainty_ps(65 * 10**12) > 0.1 * free_ps
    for k in range(50, 150):
        tracker.update(*light.span(k * 0.1, lambda t: 0.0 * t))
    assert tracker.uncertainty_ps(75 * 10**12) < 0.02 * free_ps
