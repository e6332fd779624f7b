import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from timing.acquire import Acquisition, NoCorrelation, Search, acquire, can_support
from timing.search import Streams, steps

Make = Callable[..., Any]
WIDE = Search(max_offset_ps=10**18)


@pytest.mark.parametrize(
    ("seed", "offset_ps", "skew", "zero_ps"),
    [
        (1, 1_234_567_890_123, 7.7e-6, 0),
        (2, -1_876_543_210_987, -7.7e-6, 0),
        (3, 134_217_728_000, 14.2e-6, 17_300_000_000_000),
        (4, -3, -14.4e-6, -4_900_000_000_000),
        (5, 10**17 + 1, 0.3e-6, 10**16),
    ],
)
def test_a_clock_of_either_sign_is_found_within_its_stated_error(
    lab: Make, seed: int, offset_ps: int, skew: float, zero_ps: int
) -> None:
    truth = lab(seed, offset_ps=offset_ps, skew=skew, remote_zero_ps=zero_ps)
    found = acquire(truth.local_ps, truth.remote_ps, WIDE)
    assert isinstance(found, Acquisition), found
    model = found.model
    at_ps = model.epoch_ps
    assert abs(truth.error_ps(model, at_ps)) < 4.5 * model.uncertainty_ps(at_ps)
    assert abs(model.skew - skew) < 4.5 * model.skew_uncertainty
    # The bound for N pairs of this jitter; two ticks of 2 ns alone make 816 ps.
    assert model.uncertainty_ps(at_ps) == pytest.approx(830 / np.sqrt(3000), rel=0.1)
    assert found.jitter_ps == pytest.approx(825, rel=0.06)
    assert found.pair_rate_cps == pytest.approx(3000, rel=0.1)
    assert found.false_alarm_probability < 1e-100
    assert pickle.loads(pickle.dumps(found)) == found


def test_taggers_that_share_a_tick_do_not_pretend_to_be_perfect(lab: Make) -> None:
    truth = lab(6, offset_ps=2000 * 77, skew=0.0)
    found = acquire(truth.local_ps, truth.remote_ps)
    assert isinstance(found, Acquisition), found
    assert found.jitter_ps >= 2000 / np.sqrt(6)
    assert abs(truth.error_ps(found.model, found.model.epoch_ps)) < 200


def test_fine_taggers_and_weak_contrast(lab: Make) -> None:
    truth = lab(
        7,
        rates_cps=(2e5, 2e5),
        pairs_cps=5e3,
        jitter_ps=300,
        tick_ps=1,
        offset_ps=-765_432_101_234,
        skew=-9.1e-6,
    )
    found = acquire(truth.local_ps, truth.remote_ps)
    assert isinstance(found, Acquisition), found
    assert abs(truth.error_ps(found.model, found.model.epoch_ps)) < 25
    assert found.jitter_ps == pytest.approx(300, rel=0.05)


def test_a_third_of_a_second_and_records_that_only_half_overlap(lab: Make) -> None:
    short = lab(8, span_s=0.33, offset_ps=55, skew=3e-6)
    assert isinstance(acquire(short.local_ps, short.remote_ps), Acquisition)
    whole = lab(9, span_s=1.2, offset_ps=-(10**12), skew=-5e-6)
    early = whole.local_ps[: len(whole.local_ps) * 2 // 3]
    late = whole.remote_ps[len(whole.remote_ps) // 3 :]
    found = acquire(early, late, WIDE)
    assert isinstance(found, Acquisition), found
    assert abs(whole.error_ps(found.model, found.model.epoch_ps)) < 150
    assert found.remote_start_ps >= late[0]


def test_a_long_record_uses_all_its_pairs(lab: Make) -> None:
    truth = lab(10, span_s=3.0, offset_ps=400_000_000_000, skew=2e-6)
    found = acquire(truth.local_ps, truth.remote_ps)
    assert isinstance(found, Acquisition), found
    assert found.pairs > 7000
    assert abs(truth.error_ps(found.model, found.model.epoch_ps)) < 45


@pytest.mark.parametrize("seed", range(20, 25))
def test_unrelated_streams_are_refused_with_what_would_have_been_found(
    lab: Make, seed: int
) -> None:
    truth = lab(seed, pairs_cps=0.0)
    found = acquire(truth.local_ps, truth.remote_ps, WIDE)
    assert isinstance(found, NoCorrelation)
    assert "no peak" in found.reason
    assert found.signal_to_noise < 7
    assert 100 < found.detectable_pair_rate_cps < 1000


def test_a_clock_outside_the_search_is_not_found_wrongly(lab: Make) -> None:
    far = lab(30, offset_ps=1_500_000_000_000, span_s=0.5)
    found = acquire(far.local_ps, far.remote_ps, Search(max_offset_ps=5 * 10**11))
    assert isinstance(found, NoCorrelation)
    assert "overlap" in found.reason


def test_a_clock_that_steps_is_refused(lab: Make) -> None:
    truth = lab(31, offset_ps=77, skew=1e-6, step_ps=3e6)
    found = acquire(truth.local_ps, truth.remote_ps)
    assert isinstance(found, NoCorrelation)
    assert "clock steps" in found.reason


def test_too_few_tags_are_named() -> None:
    found = acquire(np.arange(3, dtype=np.int64), np.empty(0, dtype=np.int64))
    assert isinstance(found, NoCorrelation)
    assert "3 local and 0 remote" in found.reason


def test_the_rule_for_what_data_can_carry() -> None:
    """Issue 4's rule: SNR = 0.7 p_eff sqrt(T/r_eff)."""
    narrow = Search(max_offset_ps=10**12, max_skew=1e-5)
    support = can_support(200e3, 200e3, 4e3, 1.0, narrow)
    last = steps(Streams(10**12, 10**12, 200_000, 200_000), narrow)[-1]
    assert support.signal_to_noise == pytest.approx(0.7 * 0.02 * last.sensitivity)
    assert last.sensitivity == pytest.approx(np.sqrt(last.block_ps / last.bin_ps))
    assert 6 < support.needed < 8
    assert support.sufficient
    assert "can support" in support.advice


def test_what_cannot_be_found_is_said_beforehand_with_what_would_do() -> None:
    narrow = Search(max_offset_ps=10**9, max_skew=1e-7)
    weak = can_support(1e6, 5e3, 40, 0.5, narrow)
    assert not weak.sufficient
    assert f"{weak.needed_pair_rate_cps:.3g} pairs/s" in weak.advice
    assert f"{weak.needed_span_s:.3g} s" in weak.advice
    assert can_support(1e6, 5e3, weak.needed_pair_rate_cps * 1.001, 0.5, narrow).sufficient
    assert can_support(1e6, 5e3, 40, weak.needed_span_s, narrow).sufficient
    # Where the skew is unresolved, no record is long enough: the search has to be narrower.
    hopeless = can_support(1e6, 5e3, 20, 60.0, Search(max_offset_ps=10**13, max_skew=1e-4))
    assert not hopeless.sufficient
    assert "narrower range" in hopeless.advice


def test_a_search_about_a_centre_finds_a_clock_far_from_zero(lab: Make) -> None:
    truth = lab(11, offset_ps=3_000_000_000_000, skew=80e-6)
    near = Search(
        max_offset_ps=10**8, max_skew=1e-6, centre_offset_ps=3_000_040_000_000, centre_skew=80.5e-6
    )
    found = acquire(truth.local_ps, truth.remote_ps, near)
    assert isinstance(found, Acquisition), found
    assert abs(truth.error_ps(found.model, found.model.epoch_ps)) < 80
    elsewhere = Search(max_offset_ps=10**8, max_skew=1e-6, centre_offset_ps=0, centre_skew=80.5e-6)
    assert isinstance(acquire(truth.local_ps, truth.remote_ps, elsewhere), NoCorrelation)


def test_few_pairs_against_many_singles_are_found_in_a_narrow_search(lab: Make) -> None:
    """The corner of issue 4, smaller: 40 pairs/s, 200 kcps against 2 kcps, 20 s, +-0.1 ms."""
    truth = lab(
        12,
        span_s=20.0,
        rates_cps=(2e5, 2e3),
        pairs_cps=40.0,
        jitter_ps=300.0,
        tick_ps=1,
        offset_ps=-71_234_567,
        skew=-0.8e-7,
    )
    narrow = Search(max_offset_ps=10**8, max_skew=1e-7)
    found = acquire(truth.local_ps, truth.remote_ps, narrow)
    assert isinstance(found, Acquisition), found
    at_ps = found.model.epoch_ps
    assert abs(truth.error_ps(found.model, at_ps)) < 4.5 * found.model.uncertainty_ps(at_ps)
    assert found.pair_rate_cps == pytest.approx(40, rel=0.2)


def test_records_that_share_only_their_ends_are_found(lab: Make) -> None:
    whole = lab(13, span_s=6.0, offset_ps=2_000_000_000_000, skew=-9e-6)
    early = whole.local_ps[: len(whole.local_ps) // 2]
    late = whole.remote_ps[len(whole.remote_ps) * 5 // 12 :]
    found = acquire(early, late, Search(max_offset_ps=10**13, max_skew=1e-5))
    assert isinstance(found, Acquisition), found
    assert abs(whole.error_ps(found.model, found.model.epoch_ps)) < 250
    assert found.remote_start_ps >= late[0]
    assert found.remote_stop_ps <= late[0] + 10**12


def test_the_line_is_followed_only_as_far_as_the_clock_keeps_to_it(lab: Make) -> None:
    straight = lab(14, span_s=8.0, offset_ps=5, skew=1e-6)
    found = acquire(straight.local_ps, straight.remote_ps, Search(10**12, 1e-5))
    assert isinstance(found, Acquisition)
    assert found.remote_stop_ps - found.remote_start_ps > 7.9e12
    wanders = lab(14, span_s=8.0, offset_ps=5, skew=1e-6, clock_noise_1s=3e-9)
    found = acquire(wanders.local_ps, wanders.remote_ps, Search(10**12, 1e-5))
    assert isinstance(found, Acquisition), found
    assert found.jitter_ps < 2000
