"""Two whole recordings on one timescale."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from timing.acquire import NoCorrelation, Search
from timing.clock import ClockModel
from timing.offline import find, synchronise
from timing.offline_measure import SyncedFiles, composed
from timing.stability import stability

Make = Callable[..., Any]
SEARCH = Search(max_offset_ps=10**12, max_skew=15e-6, most_s=0.5)


def synced(*arguments: Any, **options: Any) -> SyncedFiles:
    result = synchronise(*arguments, **options)
    assert isinstance(result, SyncedFiles), result
    return result


@pytest.mark.parametrize("sign", [1, -1])
def test_offset_skew_and_jitter_come_out_at_the_bound(lab: Make, sign: int) -> None:
    truth = lab(
        1,
        span_s=6.0,
        offset_ps=sign * 300_000_000_123,
        skew=sign * 4e-6,
        tick_ps=1,
        remote_zero_ps=7 * 10**12,
    )
    told: list[float] = []
    found = synced(
        truth.local_ps, truth.remote_ps, SEARCH, clock_noise_1s=1e-11, progress=told.append
    )
    line = found.line
    sigma_ps = line.uncertainty_ps(line.epoch_ps)
    # Cramer-Rao: 120 ps over the root of 18 000 pairs.
    assert 0.8 < sigma_ps / (120 / np.sqrt(18_000)) < 1.6
    assert abs(truth.error_ps(line, line.epoch_ps)) < 4 * sigma_ps
    assert abs(line.skew - truth.skew) < 4 * line.skew_uncertainty < 1e-11
    assert found.jitter_ps == pytest.approx(120, rel=0.04)
    assert found.pair_rate_cps == pytest.approx(3000, rel=0.03)
    assert found.accidentals == pytest.approx(25e3 * 15e3 * found.window_ps / 1e12 * 6, rel=0.5)
    assert found.tracked_s > 5.8
    assert found.common_s == pytest.approx(6.0, abs=0.01)
    assert found.residual_rms_ps == pytest.approx(120 / np.sqrt(300), rel=0.3)
    assert found.steps == []
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert found.counts.sum() > found.pairs


def test_mapped_tags_lie_on_their_partners_and_say_which_they_are(lab: Make) -> None:
    truth = lab(2, span_s=4.0, offset_ps=-(10**11), skew=-9e-6, clock_noise_1s=1e-10)
    parts: list[Any] = []
    found = synced(
        truth.local_ps,
        truth.remote_ps,
        SEARCH,
        clock_noise_1s=1e-10,
        mapped=lambda times, places: parts.append((times, places)),
    )
    times = np.concatenate([part[0] for part in parts])
    places = np.concatenate([part[1] for part in parts])
    assert len(np.unique(places)) == len(places) > 0.95 * len(truth.remote_ps)
    assert np.all(np.diff(times) >= 0)
    local_of = dict(zip(truth.local_pair.tolist(), truth.local_ps.tolist(), strict=True))
    number = truth.remote_pair[places]
    away = np.array(
        [
            time - local_of[pair]
            for time, pair in zip(times.tolist(), number.tolist(), strict=True)
            if pair >= 0 and pair in local_of
        ]
    )
    # Two taggers of 2 ns steps and 120 ps of jitter.
    assert np.median(np.abs(away)) < 1000
    assert found.losses == 0


@pytest.mark.parametrize("step_ps", [5e6, 8e10])
def test_a_clock_that_steps_in_the_middle_is_followed_and_told(lab: Make, step_ps: float) -> None:
    truth = lab(3, span_s=12.0, offset_ps=10**11, skew=2e-6, tick_ps=1, step_ps=step_ps)
    found = synced(truth.local_ps, truth.remote_ps, SEARCH, clock_noise_1s=1e-10)
    (step,) = found.steps
    jump_ps = -step_ps * (1 + truth.skew)
    assert step.step_ps == pytest.approx(jump_ps, abs=6 * step.sigma_ps)
    assert step.sigma_ps < 1000
    assert step.local_ps == pytest.approx(10**11 + 6 * 10**12, abs=0.3e12)
    assert found.tracked_s > 9
    assert {point.segment for point in found.points} == {0, 1}
    # Line and residual are those of one segment, not of a line through the step.
    assert abs(found.line.skew - truth.skew) < 1e-10
    assert found.residual_rms_ps < 20
    known = [p.offset_ps for p in found.points if np.isfinite(p.offset_ps)]
    assert np.abs(known).max() < 200


def test_light_that_comes_late_and_goes_is_found_where_it_is(lab: Make) -> None:
    truth = lab(4, span_s=12.0, offset_ps=-(10**11), tick_ps=1)

    def dark(times: Any, numbers: Any) -> Any:
        """Pairs only in the middle; elsewhere each end counts on alone."""
        at = times - times[0]
        rng = np.random.default_rng(len(times))
        off = ((at < 4e12) | (at > 9e12)) & (numbers >= 0)
        moved = times.copy()
        moved[off] = rng.integers(times[0], times[-1], int(off.sum()))
        return np.sort(np.where(off & (rng.random(len(times)) < 0.5), times, moved))

    a = dark(truth.local_ps, truth.local_pair)
    b = dark(truth.remote_ps, truth.remote_pair)
    found = synced(a, b, SEARCH, clock_noise_1s=1e-10)
    assert abs(truth.error_ps(found.line, found.line.epoch_ps)) < 20
    assert found.tracked_s > 4.5


def test_no_correlation_says_what_would_have_been_seen(lab: Make) -> None:
    truth, other = lab(5, span_s=3.0), lab(6, span_s=3.0)
    result = synchronise(truth.local_ps, other.remote_ps, SEARCH)
    assert isinstance(result, NoCorrelation)
    assert "expected at least" in result.reason
    assert 100 < result.detectable_pair_rate_cps < 3000
    nothing = np.empty(0, np.int64)
    assert isinstance(synchronise(nothing, other.remote_ps, SEARCH), NoCorrelation)
    assert isinstance(synchronise(truth.local_ps, nothing, SEARCH), NoCorrelation)
    assert isinstance(find(truth.local_ps[:1], other.remote_ps, SEARCH), NoCorrelation)


def test_the_residual_of_steady_clocks_averages_down_as_white_phase(lab: Make) -> None:
    truth = lab(7, span_s=20.0, skew=1e-6, tick_ps=1)
    found = synced(truth.local_ps, truth.remote_ps, SEARCH, clock_noise_1s=1e-11)
    phase = found.phase(0.1)
    points = stability(phase, 0.1, "tdev", gaps="skip")
    # 300 pairs a step of 120 ps each; TDEV of white phase falls with the root of tau.
    assert points[0].deviation * 1e12 == pytest.approx(120 / np.sqrt(300), rel=0.2)
    slope = np.polyfit(*np.log([(p.tau_s, p.deviation) for p in points[:5]]).T, 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.2)


def test_few_pairs_are_followed_in_longer_spans(lab: Make) -> None:
    truth = lab(
        9,
        span_s=20.0,
        rates_cps=(2e5, 5e3),
        pairs_cps=60.0,
        offset_ps=10**8,
        skew=5e-8,
        tick_ps=1,
    )
    narrow = Search(max_offset_ps=10**9, max_skew=1e-7, most_s=0.5)
    found = synced(truth.local_ps, truth.remote_ps, narrow, clock_noise_1s=1e-12)
    assert found.pair_rate_cps == pytest.approx(60, rel=0.2)
    assert found.tracked_s > 17
    line = found.line
    assert abs(truth.error_ps(line, line.epoch_ps)) < 4 * line.uncertainty_ps(line.epoch_ps) < 25


def test_a_record_of_a_fraction_of_a_second_is_enough(lab: Make) -> None:
    truth = lab(8, span_s=0.2, offset_ps=5 * 10**9, skew=1e-6, tick_ps=1)
    found = synced(truth.local_ps, truth.remote_ps, SEARCH, clock_noise_1s=1e-11)
    line = found.line
    assert abs(truth.error_ps(line, line.epoch_ps)) < 5 * line.uncertainty_ps(line.epoch_ps) < 50
    assert found.tracked_s > 0.15


@pytest.mark.parametrize("skew", [1e-4, -3e-5])
def test_two_maps_in_a_row_are_one(skew: float) -> None:
    first = ClockModel(10**13, -(5 * 10**12), 0.25, skew)
    then = ClockModel(4 * 10**12, 12_345, 0.5, -7e-9, ((4.0, 0.0), (0.0, 1e-24)))
    both = composed(first, then)
    times = np.arange(5) * 10**12 + 8 * 10**12
    apart = both.to_local(times) - then.to_local(first.to_local(times))
    assert np.abs(apart).max() <= 1
    assert both.covariance == then.covariance
