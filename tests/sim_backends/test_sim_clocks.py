import numpy as np
import pytest

from sim_backends.clock_noise import CLASSES, ColouredFrequency, resolved
from sim_backends.clocks import FreeRunningClock
from sim_backends.lab_parts import ClockNoise

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


def adev(phase_s: np.ndarray, tau0_s: float, m: int) -> float:
    """Overlapping Allan deviation, written out anew (Riley, NIST SP 1065, equation 11)."""
    second = phase_s[2 * m :] - 2 * phase_s[m:-m] + phase_s[: -2 * m]
    return float(np.sqrt(np.mean(second**2) / 2) / (m * tau0_s))


def phase_s(noise: ClockNoise, seconds: float, tau0_s: float, seed: int) -> np.ndarray:
    one = FreeRunningClock(
        skew_ppm=0.0,
        white_fm_1s=0.0,
        power_on_s=0.0,
        rng=np.random.default_rng(seed),
        noise=noise,
    )
    at = (np.arange(round(seconds / tau0_s)) * round(tau0_s * S)).astype(np.int64)
    # In pieces, since only the last seconds are remembered.
    pieces = np.array_split(at, max(1, round(seconds / 2)))
    return np.concatenate([one.phase_noise_ps(part) for part in pieces]) / S


def expected_adev(noise: ClockNoise, tau_s: float) -> float:
    """Sum of the power laws; white phase noise of independent readings is sqrt(3) sigma / tau."""
    kinds = resolved(noise)
    return float(
        np.sqrt(
            (kinds.white_fm_1s or 0.0) ** 2 / tau_s
            + (kinds.flicker_fm or 0.0) ** 2
            + (kinds.random_walk_fm_1s or 0.0) ** 2 * tau_s
            + 3 * ((kinds.white_pm_ps or 0.0) * 1e-12) ** 2 / tau_s**2
        )
    )


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_allan_deviation_of_each_class(name: str) -> None:
    noise = ClockNoise.model_validate({"clock_class": name})
    phase = phase_s(noise, 1000.0, 0.02, 5)
    for tau_s in (0.1, 1.0, 10.0):
        sigma = adev(phase, 0.02, round(tau_s / 0.02))
        # Degrees of freedom of flicker noise, the least of them, are about 5 N^2/(4m (N + 3m)) with
        # N the values and m the factor (SP 1065, table 5): 4 standard errors, and 3 % that the
        # sum of relaxing processes ripples.
        degrees = 1.25 * 1000.0 / tau_s
        allowed = 4 / np.sqrt(2 * degrees) + 0.03
        assert sigma == pytest.approx(expected_adev(noise, tau_s), rel=allowed)


@pytest.mark.parametrize(
    ("noise", "slope"),
    [
        (ClockNoise(white_pm_ps=50.0), -1.0),
        (ClockNoise(white_fm_1s=1e-11), -0.5),
        (ClockNoise(flicker_fm=1e-11), 0.0),
        (ClockNoise(random_walk_fm_1s=1e-11), 0.5),
    ],
)
def test_each_noise_has_its_slope_and_level(noise: ClockNoise, slope: float) -> None:
    phase = phase_s(noise, 1000.0, 0.02, 9)
    short, long = adev(phase, 0.02, 5), adev(phase, 0.02, 250)
    # 5 s in 1000 s: some 250 degrees of freedom, 4.5 % a standard error.
    assert np.log(long / short) / np.log(50) == pytest.approx(slope, abs=0.05)
    assert short == pytest.approx(expected_adev(noise, 0.1), rel=0.08)


def test_other_noise_leaves_the_white_frequency_noise_as_it_is() -> None:
    plain, both = clock(3), FreeRunningClock(
        skew_ppm=0.0,
        white_fm_1s=1e-11,
        power_on_s=-2.5,
        rng=np.random.default_rng(3),
        noise=ClockNoise(aging_per_day=8.64e-6),
    )  # fmt: skip
    # Frequency changes by 1e-10 a second: half of it times t^2.
    assert both.read_ps(10 * S) - plain.read_ps(10 * S) == pytest.approx(0.5e-10 * 100 * S, abs=1)


def test_long_silences_of_coloured_noise_are_bridged() -> None:
    noise = ClockNoise(flicker_fm=1e-11, random_walk_fm_1s=1e-13)
    jumped, walked = [], []
    for seed in range(120):
        for steps, found in ((1, jumped), (40, walked)):
            rng = np.random.default_rng([steps, seed])
            coloured = ColouredFrequency(
                flicker_fm=1e-11, random_walk_fm_1s=1e-13, step_s=1.0, rng=rng
            )
            found.append(sum(coloured.jump_s(2000 // steps) for _ in range(steps)))
    # Two standard deviations known to 6.5 % each.
    assert np.std(jumped) == pytest.approx(np.std(walked), rel=4 * 0.065 * np.sqrt(2))
    assert noise.flicker_fm == 1e-11


def test_the_jump_is_the_sum_of_its_steps() -> None:
    stepped, jumped = [], []
    for seed in range(400):
        rng = np.random.default_rng([7, seed])
        one = ColouredFrequency(flicker_fm=1e-11, random_walk_fm_1s=1e-11, step_s=1.0, rng=rng)
        stepped.append(float(one.phase_steps_s(500).sum()))
        jumped.append(one.jump_s(500))
    # The second follows the first: after 500 s more, the walk's share has the variance of
    # q (500^3/3 + 500 * 500^2) where the first has q 500^3/3.
    first, second = np.std(stepped), np.std(jumped)
    assert second / first == pytest.approx(2.0, rel=4 * np.sqrt(2) / np.sqrt(2 * 400) + 0.05)
