"""What real detectors do besides counting. Fixed seeds; limits are 4 standard errors, or a
Kolmogorov distance of 2.23/sqrt(n), a chance of 1e-4."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.dead_time import recovery_mask
from sim_backends.detectors import DetectorBank
from sim_backends.lab import DetectorConfig

MS = 10**9
KOLMOGOROV = 2.23


def bank(seed: int = 1, **changes: float) -> DetectorBank:
    numbers = {
        "channels": 1,
        "efficiency": 0.8,
        "full_bias_ua": 20.0,
        "dark_cps": 0.0,
        "jitter_ps": 0.0,
        "dead_time_ns": 50.0,
    } | changes
    made = DetectorBank(DetectorConfig.model_validate(numbers), np.random.default_rng(seed))
    made.enabled = True
    made.bias_ua = [20.0]
    return made


def clicks(detector: DetectorBank, rate_hz: float, steps: int, seed: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    seen = []
    for step in range(steps):
        begin, end = step * MS, (step + 1) * MS
        times = rng.integers(begin, end, rng.poisson(rate_hz * 1e-3))
        seen.append(detector.step(begin, end, [[times]])[0])
    return np.concatenate(seen)


def distance(sample: np.ndarray, cdf: np.ndarray) -> float:
    """Kolmogorov's distance of a sorted sample from the values of a distribution at it."""
    n = sample.size
    return float(
        max(np.abs(cdf - np.arange(n) / n).max(), np.abs(cdf - np.arange(1, n + 1) / n).max())
    )


def test_waits_between_clicks_are_exponential_after_the_dead_time() -> None:
    seen = clicks(bank(), 5e6, 20)
    waits = np.sort(np.diff(seen))
    assert waits.min() >= 50_000
    cdf = 1 - np.exp(-(waits - 50_000) * 5e-6)
    assert distance(waits, cdf) < KOLMOGOROV / math.sqrt(waits.size)


def test_afterpulses_have_their_share_and_their_times() -> None:
    # Photons so far apart that whatever comes between is an after-pulse.
    detector = bank(afterpulse=0.05, afterpulse_ns=40.0)
    photons = np.arange(20_000, dtype=np.int64) * 5_000_000
    seen = detector.step(0, 100 * MS, [[photons]])[0]
    extra = np.setdiff1d(seen, photons)
    expected = photons.size * (0.05 + 0.05**2 + 0.05**3)
    assert abs(extra.size - expected) < 4 * math.sqrt(expected)
    first = np.sort((extra % 5_000_000) - 50_000)
    first = first[first < 50_000]  # those of after-pulses are later than twice the dead time
    cdf = (1 - np.exp(-first / 40_000)) / (1 - math.exp(-50_000 / 40_000))
    assert distance(first, cdf) < KOLMOGOROV / math.sqrt(first.size)
    assert np.all(np.diff(seen) >= 50_000)


def test_an_afterpulse_comes_in_the_step_it_is_due() -> None:
    detector = bank(afterpulse=0.5, afterpulse_ns=50.0)
    for step in range(200):
        begin, end = step * MS, (step + 1) * MS
        late = np.array([end - 1000], np.int64)
        seen = detector.step(begin, end, [[late]])[0]
        assert np.all((seen >= begin) & (seen < end))
    assert detector.count_totals()[0] > 200


def test_the_tail_of_the_jitter_is_exponential() -> None:
    detector = bank(jitter_ps=20.0, tail=0.3, tail_ps=400.0)
    photons = np.arange(50_000, dtype=np.int64) * 200_000
    late = detector.step(0, 11 * MS, [[photons]])[0] - photons - detector.latency_ps
    far = np.sort(late[late > 200])  # ten standard deviations: only the tail is there
    share = 0.3 * math.exp(-200 / 400 + 20**2 / (2 * 400**2))
    assert abs(far.size - share * photons.size) < 4 * math.sqrt(share * photons.size)
    assert (
        distance(far, 1 - np.exp(-(far - 200) / 400)) < KOLMOGOROV / math.sqrt(far.size) + 1 / 400
    )
    assert abs(late.mean() - 0.3 * 400) < 4 * math.sqrt(0.3 * 2 * 400**2) / math.sqrt(late.size)


@given(
    times=st.lists(st.integers(0, 3000), max_size=60).map(sorted),
    dead=st.integers(0, 200),
    recovery=st.floats(1.0, 300.0),
    last=st.none() | st.integers(-300, 0),
    seed=st.integers(0, 1000),
)
def test_recovery_agrees_with_one_by_one(
    times: list[int], dead: int, recovery: float, last: int | None, seed: int
) -> None:
    chances = np.random.default_rng(seed).random(len(times))
    expected, before = [], last
    for time, chance in zip(times, chances, strict=True):
        gap = math.inf if before is None else time - before
        lost = gap < dead or chance < math.exp(-max(gap - dead, 0.0) / recovery)
        expected.append(not lost)
        if not lost:
            before = time
    got = recovery_mask(np.array(times, np.int64), chances, dead, recovery, last)
    assert got.tolist() == expected


def test_recovery_slows_the_saturation() -> None:
    fast, slow = clicks(bank(), 1e7, 20), clicks(bank(recovery_ns=60.0), 1e7, 20)
    assert slow.size < 0.8 * fast.size
    # Hazard r (1 - e^(-t/R)) after the dead time: mean wait is its survival's integral.
    t = np.linspace(0, 3000, 300_001)
    hazard = 1e-2 * (t - 60.0 * (1 - np.exp(-t / 60.0)))
    mean_ns = 50.0 + float(np.trapezoid(np.exp(-hazard), t))
    waits = np.diff(slow) * 1e-3
    assert abs(waits.mean() - mean_ns) < 4 * waits.std() / math.sqrt(waits.size)


def test_strong_light_blinds_and_weak_light_is_seen_again() -> None:
    detector = bank(blinding_cps=1e7)
    detector.light_cps = [1e9]
    assert [clicks(detector, 1e5, 3).size, detector.count_totals()[0]] == [0, 0]
    detector.light_cps = [1e6]
    seen = clicks(detector, 0.0, 50).size
    expected = 0.8e6 / (1 + 0.8e6 * 50e-9) * 0.05
    assert abs(seen - expected) < 4 * math.sqrt(expected)


def test_a_latched_wire_counts_again_after_its_bias_was_low() -> None:
    detector = bank(latching=0.01)
    first = clicks(detector, 1e6, 50).size
    assert 0 < first < 2000  # a geometric number with mean 100
    assert detector.latched(0)
    assert detector.efficiency(0) == 0.0
    assert clicks(detector, 1e6, 5).size == 0
    detector.bias_ua[0] = 15.0
    assert detector.latched(0)
    detector.bias_ua[0] = 5.0
    assert not detector.latched(0)
    detector.bias_ua[0] = 20.0
    assert detector.efficiency(0) == pytest.approx(0.8)


def test_latching_takes_a_geometric_number_of_clicks() -> None:
    numbers = []
    for seed in range(300):
        detector = bank(seed, latching=0.02)
        photons = np.arange(5000, dtype=np.int64) * 100_000
        numbers.append(detector.step(0, MS, [[photons]])[0].size)
    assert abs(np.mean(numbers) - 50) < 4 * 50 / math.sqrt(300)
