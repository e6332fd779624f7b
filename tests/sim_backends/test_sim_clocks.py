import numpy as np
import pytest

from sim_backends.clocks import FreeRunningClock

S = 10**12


def clock(seed: int = 1, *, white_fm_1s: float = 1e-11, skew_ppm: float = 0.0) -> FreeRunningClock:
    return FreeRunningClock(
        skew_ppm=skew_ppm,
        white_fm_1s=white_fm_1s,
        power_on_s=-2.5,
        rng=np.random.default_rng(seed),
    )


def test_quiet_clock_is_offset_and_skew() -> None:
    quiet = clock(white_fm_1s=0.0, skew_ppm=3.0)
    assert quiet.read_ps(0) == 2_500_000_000_000 + 7_500_000
    assert quiet.read_ps(10 * S) == 12_500_000_000_000 + 37_500_000
    # A week on, single picoseconds are still right.
    week = 604_800 * S
    assert quiet.read_ps(week + 1_000_000) - quiet.read_ps(week) == 1_000_003


def test_allan_deviation_is_that_of_white_frequency_noise() -> None:
    noisy = clock()
    tau0_s, count = 0.01, 20_000
    at = (np.arange(count) * round(tau0_s * S)).astype(np.int64)
    # In pieces, as a running lab asks for it, since only the last seconds are remembered.
    x = np.concatenate([noisy.phase_noise_ps(part) for part in np.array_split(at, 400)])
    for m in (1, 10, 100):
        second = x[2 * m :] - 2 * x[m:-m] + x[: -2 * m]
        tau_s = m * tau0_s
        sigma = np.sqrt(np.mean(second**2) / 2) / S / tau_s
        expected = 1e-11 / np.sqrt(tau_s)
        # 200 s give some 200 s / tau independent differences: 4 standard errors (2/3 of them used).
        assert sigma == pytest.approx(expected, rel=4 * np.sqrt(tau_s / 200.0 / 2) * 1.5)


def test_readings_do_not_depend_on_when_it_is_looked_at() -> None:
    often, seldom = clock(7), clock(7)
    for step in range(500):
        often.read_ps(step * S // 50)
    assert often.read_ps(10 * S) == seldom.read_ps(10 * S)
    assert often.read_ps(9 * S) == seldom.read_ps(9 * S)
    assert clock(8).read_ps(10 * S) != seldom.read_ps(10 * S)


def test_many_readings_equal_single_ones_and_stay_sorted() -> None:
    at = np.sort(np.random.default_rng(3).integers(0, 3 * S, 500))
    one = clock(4, skew_ppm=-4.6)
    many = one.read_many_ps(at)
    assert np.all(np.diff(many) >= 0)
    assert [one.read_ps(int(t)) for t in at[:20]] == many[:20].tolist()


def test_a_long_silence_is_bridged() -> None:
    walks = []
    for seed in range(60):
        silent = clock(seed)
        silent.read_ps(0)
        walks.append(float(silent.phase_noise_ps(np.array([10_000 * S]))[0]))
    # A standard deviation of 1e-11 sqrt(10000 s) = 1 ns; 60 samples know it to 9 %.
    assert np.std(walks) == pytest.approx(1000.0, rel=0.37)
