import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from timing.acquire import Acquisition, NoCorrelation, Search, acquire, can_support

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
    assert 200 < found.detectable_pair_rate_cps < 1500


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
    support = can_support(200e3, 200e3, 4e3, 1.0)
    assert support.signal_to_noise == pytest.approx(0.7 * 0.02 * np.sqrt(1 / 4e-6))
    assert 6.5 < support.needed < 8.5
    assert not can_support(200e3, 200e3, 1e3, 1.0).sufficient
    assert can_support(25e3, 15e3, 3e3, 0.5).sufficient
    # A longer record does not help where the skew is unresolved; a narrower bin does.
    assert can_support(2e5, 2e5, 1e3, 9.0).signal_to_noise == pytest.approx(
        can_support(2e5, 2e5, 1e3, 1.0).signal_to_noise
    )
