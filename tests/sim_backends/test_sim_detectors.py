import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.detectors import DetectorBank, dead_time_mask
from sim_backends.lab import DetectorConfig

MS = 10**9


def bank(seed: int = 1, *, on: bool = True, **changes: float) -> DetectorBank:
    numbers = {
        "channels": 2,
        "efficiency": 0.8,
        "full_bias_ua": 20.0,
        "dark_cps": 0.0,
        "jitter_ps": 0.0,
        "dead_time_ns": 0.0,
    } | changes
    made = DetectorBank(DetectorConfig.model_validate(numbers), np.random.default_rng(seed))
    if on:
        made.enabled = True
        made.bias_ua = [20.0, 20.0]
    return made


@given(
    times=st.lists(st.integers(0, 2000), max_size=80).map(sorted),
    dead=st.integers(0, 300),
    last=st.none() | st.integers(-400, 0),
)
def test_dead_time_agrees_with_one_by_one(times: list[int], dead: int, last: int | None) -> None:
    expected, before = [], last
    for time in times:
        expected.append(before is None or time - before >= dead)
        if expected[-1]:
            before = time
    assert dead_time_mask(np.array(times, np.int64), dead, last).tolist() == expected


def test_dead_time_saturates_the_rate() -> None:
    detector = bank(dead_time_ns=60.0)
    rng = np.random.default_rng(5)
    rate_hz, steps = 10e6, 20
    for step in range(steps):
        times = rng.integers(step * MS, (step + 1) * MS, rng.poisson(rate_hz * 1e-3))
        clicks = detector.step(step * MS, (step + 1) * MS, [[times], []])
        assert np.all(np.diff(clicks[0]) >= 60_000)
    seen = detector.count_totals()[0]
    expected = rate_hz / (1 + rate_hz * 60e-9) * steps * 1e-3
    # Dead time makes counts more regular than Poisson, so this is more than 4 standard errors.
    assert abs(seen - expected) < 4 * np.sqrt(expected)


def test_efficiency_and_darks_follow_the_bias() -> None:
    detector = bank(dark_cps=200.0)
    assert detector.efficiency(0) == pytest.approx(0.8)
    assert detector.dark_cps(0) == pytest.approx(200.0)
    seen = []
    for bias_ua in (6.0, 10.0, 14.0, 18.0, 20.0, 22.0):
        detector.bias_ua[0] = bias_ua
        detector.trigger_mv[0] = 20.0
        seen.append((detector.efficiency(0), detector.dark_cps(0)))
    assert seen == sorted(seen)
    # Near the full bias the efficiency is flat while the darks are not.
    assert seen[-3][0] > 0.97 * 0.8
    assert seen[-3][1] < 0.5 * 200.0
    detector.bias_ua[0] = 22.5
    assert (detector.efficiency(0), detector.dark_cps(0)) == (0.0, 0.0)


def test_nothing_clicks_when_off_unbiased_or_above_the_pulse() -> None:
    detector = bank(on=False, dark_cps=1e6)
    assert detector.efficiency(0) == 0.0
    detector.enabled = True
    assert detector.efficiency(0) == 0.0
    detector.bias_ua[0] = 20.0
    assert detector.efficiency(0) == pytest.approx(0.8)
    detector.trigger_mv[0] = 400.0
    assert detector.efficiency(0) == 0.0
    assert [clicks.size for clicks in detector.step(0, 10 * MS, [[], []])] == [0, 0]


def test_dark_counts_are_poisson() -> None:
    detector = bank(3, dark_cps=2000.0)
    counts = np.array([detector.step(i * MS, (i + 1) * MS, [[], []])[0].size for i in range(2000)])
    mean = 2.0
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / counts.size)
    # Index of dispersion: chi-square with n - 1 degrees of freedom, 4 standard deviations.
    dispersion = np.sum((counts - counts.mean()) ** 2) / counts.mean()
    assert abs(dispersion - (counts.size - 1)) < 4 * np.sqrt(2 * (counts.size - 1))
    assert detector.count_totals()[0] == counts.sum()


def test_jitter_is_gaussian_about_the_latency_and_never_early() -> None:
    detector = bank(jitter_ps=80.0)
    photons = np.arange(20_000, dtype=np.int64) * 10_000
    clicks = detector.step(0, MS, [[photons], []])[0]
    late = clicks - photons
    assert late.min() >= 0
    assert abs(late.mean() - detector.latency_ps) < 4 * 80.0 / np.sqrt(late.size)
    assert abs(late.std() - 80.0) < 4 * 80.0 / np.sqrt(2 * late.size)


def test_light_under_way_clicks_in_its_own_step() -> None:
    detector = bank(jitter_ps=50.0)
    under_way = np.array([MS - 1, MS + 5_000], np.int64)
    assert detector.step(0, MS, [[under_way], []])[0].size == 0
    clicks = detector.step(MS, 2 * MS, [[], []])[0]
    assert clicks.size == 2
    assert clicks.min() >= MS - 1
