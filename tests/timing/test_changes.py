"""Path or clock: what moved, as far as the data tell."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from timing.acquire import Acquisition
from timing.changes import Change, judged_both_ways
from timing.clock import ClockModel, ClockState
from timing.clock_class import white_noise
from timing.track import ClockTracker

Make = Callable[..., Any]


def followed(source: Make, offset: Any, *, span_s: float = 60.0, **told: Any) -> ClockTracker:
    """A tracker after an offset was followed; it is looked for again when lost."""
    model = ClockModel(0, 0, 0.0, 0.0, ((20.0**2, 0.0), (0.0, (60e-12) ** 2)))
    found = Acquisition(model, 2000.0, 2000.0, 300.0, 30.0, -100.0, -(10**12), 0)
    tracker = ClockTracker(found, window_ps=4000, noise=white_noise(5e-12, 5e-14))
    light = source(1)
    reference = told.get("reference")
    for k in range(round(span_s * 10)):
        if k == told.get("interrupted"):
            tracker.doubt()
        span = light.span(k * 0.1, offset)
        if tracker.state is ClockState.LOST:
            tracker.look_again(*span)
        else:
            tracker.update(*span)
        if reference is not None and k % 10 == 5:
            value = float(reference(np.array([k * 0.1]))[0])
            tracker.observe_reference(round(value), 25.0, k * 10**11)
    assert tracker.state is ClockState.TRACKING
    return tracker


def step(size_ps: float) -> Any:
    return lambda t: np.where(t > 10.0, size_ps, 0.0)


@pytest.mark.parametrize("size_ps", [-1500.0, 12_000.0])
def test_the_offset_alone_moves_with_the_path(source: Make, size_ps: float) -> None:
    (change,) = followed(source, step(size_ps)).changes
    assert change.kind == "path"
    assert change.step_ps == pytest.approx(size_ps, abs=4 * change.step_sigma_ps)
    assert abs(change.skew_step) < 3 * change.skew_sigma
    assert change.significance > 20
    assert 10.0 <= change.at_ps * 1e-12 < 13.0


@pytest.mark.parametrize("skew", [3e-10, -5e-9])
def test_the_skew_moves_with_the_clock(source: Make, skew: float) -> None:
    tracker = followed(source, lambda t: np.where(t > 10.0, skew * 1e12 * (t - 10.0), 0.0))
    assert {change.kind for change in tracker.changes} == {"clock"}
    assert sum(c.skew_step for c in tracker.changes) == pytest.approx(skew, rel=0.2)
    assert tracker.model.skew == pytest.approx(skew, abs=2e-11)


def test_a_slow_path_is_followed_without_a_word(source: Make) -> None:
    """A nanosecond a minute is a fibre in the sun, ten times over."""
    tracker = followed(source, lambda t: 500.0 * np.sin(t / 30.0))
    assert tracker.changes == ()
    assert tracker.statistics().outliers == 0


def test_nothing_happens_nothing_is_said(source: Make, walk: Make) -> None:
    assert followed(source, walk(3, 61, 5e-12)).changes == ()


def test_after_an_interruption_a_counter_may_have_jumped(source: Make) -> None:
    (change,) = followed(source, step(1500.0), interrupted=101).changes
    assert change.kind == "cannot tell"
    assert "interrupted" in change.reason
    assert change.step_ps == pytest.approx(1500, abs=150)


@pytest.mark.parametrize(("clock_moves", "kind"), [(True, "clock"), (False, "path")])
def test_a_reference_tells(source: Make, clock_moves: bool, kind: str) -> None:
    moved = step(1500.0)
    reference = moved if clock_moves else lambda t: 0.0 * t
    tracker = followed(source, moved, reference=reference)
    (change,) = tracker.changes
    assert change.kind == kind
    assert "reference" in change.reason


def seen(step_ps: float, skew: float = 0.0) -> Change:
    return Change("cannot tell", 0, step_ps, 30.0, skew, 1e-12, abs(step_ps) / 30, "")


def test_light_both_ways_tells_path_from_clock() -> None:
    assert judged_both_ways(seen(1500), seen(1480)).kind == "path"
    assert judged_both_ways(seen(1500), seen(1480)).step_ps == pytest.approx(1490)
    assert judged_both_ways(seen(1500), seen(-1480)).kind == "clock"
    assert judged_both_ways(seen(1500), seen(-1480)).step_ps == pytest.approx(1490)
    assert judged_both_ways(seen(20, 1e-10), seen(-20, -1e-10)).kind == "clock"
    assert judged_both_ways(seen(1500), seen(0)).kind == "cannot tell"
    assert judged_both_ways(seen(20), seen(10)).kind == "cannot tell"
