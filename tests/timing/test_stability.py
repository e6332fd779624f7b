"""Stability measures against the published reference sets.

NBS14: NBS Monograph 140, annex 8.E, and its phase values; the 1000 points and all deviations: W. J.
Riley, NIST Special Publication 1065 (2008), tables 30 to 32.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timing.chi_squared import chi_squared_quantile, gamma_share
from timing.noise_type import degrees_of_freedom, noise_exponent
from timing.stability import averaging_factors, phase_of_frequency, stability

NBS14_FREQUENCY = np.array([892, 809, 823, 798, 671, 644, 883, 903, 677], float)
NBS14 = {
    "adev": (91.22945, 85.95287),
    "mdev": (91.22945, 74.78849),
    "tdev": (52.67135, 86.35831),
}
THOUSAND = {
    "adev": (2.922319e-01, 9.159953e-02, 3.241343e-02),
    "mdev": (2.922319e-01, 6.172376e-02, 2.170921e-02),
    "tdev": (1.687202e-01, 3.563623e-01, 1.253382e00),
}


def thousand_points():
    """The frequency values of the larger set: n -> 16807 n mod 2^31 - 1, over the modulus."""
    n, values = 1234567890, []
    for _ in range(1000):
        values.append(n / 2147483647)
        n = 16807 * n % 2147483647
    return np.array(values)


def test_the_reference_sets_are_what_is_published():
    points = thousand_points()
    # Table 31: mean, and standard deviation of the sample, for averaging factor 1.
    assert points.mean() == pytest.approx(4.897745e-01, rel=1e-6)
    assert points.std(ddof=1) == pytest.approx(2.884664e-01, rel=1e-6)
    phase = phase_of_frequency(NBS14_FREQUENCY - NBS14_FREQUENCY.mean(), 1.0)
    assert phase == pytest.approx(
        [
            0,
            103.11111,
            123.22222,
            157.33333,
            166.44444,
            48.55555,
            -96.33333,
            -2.22222,
            111.88889,
            0,
        ],
        abs=2e-5,
    )


@pytest.mark.parametrize("kind", ["adev", "mdev", "tdev"])
def test_nbs14(kind):
    points = stability(phase_of_frequency(NBS14_FREQUENCY, 1.0), 1.0, kind, [1, 2])
    assert [point.tau_s for point in points] == [1.0, 2.0]
    assert [point.deviation for point in points] == pytest.approx(NBS14[kind], rel=6e-7)


@pytest.mark.parametrize("kind", ["adev", "mdev", "tdev"])
def test_the_thousand_points(kind):
    points = stability(phase_of_frequency(thousand_points(), 1.0), 1.0, kind, [1, 10, 100])
    assert [point.deviation for point in points] == pytest.approx(THOUSAND[kind], rel=4e-7)


def test_the_unit_and_the_spacing_scale_as_they_should():
    phase = phase_of_frequency(thousand_points(), 1.0)
    for kind, power in (("adev", -1), ("mdev", -1), ("tdev", 0)):
        one = stability(phase, 1.0, kind, "decade")
        other = stability(phase, 0.1, kind, "decade")
        assert [p.tau_s for p in other] == pytest.approx([p.tau_s / 10 for p in one])
        for a, b in zip(one, other, strict=True):
            assert b.deviation == pytest.approx(a.deviation * 0.1**power)


def test_offset_and_skew_are_no_noise_and_drift_is_a_slope():
    t = np.arange(1000.0)
    assert max(p.deviation for p in stability(5e3 + 7e-6 * t, 1.0, "adev")) < 1e-12
    # x = D t^2 / 2 gives ADEV = D tau / sqrt 2.
    for point in stability(0.5 * 3e-9 * t**2, 1.0, "adev"):
        assert point.deviation == pytest.approx(3e-9 * point.tau_s / math.sqrt(2))


def by_definition(x, m, kind):
    """Straight from the sums of SP 1065, term by term; a gap leaves its terms out."""
    n, squares = len(x), []
    if kind == "adev":
        squares = [(x[k + 2 * m] - 2 * x[k + m] + x[k]) ** 2 for k in range(n - 2 * m)]
    else:
        for j in range(n - 3 * m + 1):
            inner = sum(x[k + 2 * m] - 2 * x[k + m] + x[k] for k in range(j, j + m))
            squares.append((inner / m) ** 2)
    known = [s for s in squares if math.isfinite(s)]
    if not known:
        return None
    value = math.sqrt(sum(known) / len(known) / 2) / m
    return value * m / math.sqrt(3) if kind == "tdev" else value


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.floats(-100, 100), st.just(math.nan)), min_size=3, max_size=40),
    st.sampled_from(["adev", "mdev", "tdev"]),
    st.integers(1, 12),
)
def test_every_term_that_a_gap_does_not_touch_counts(values, kind, factor):
    x = np.array(values)
    points = stability(x, 1.0, kind, [factor], gaps="skip")
    possible = factor in averaging_factors(len(x), [factor], kind)
    expected = by_definition(values, factor, kind) if possible else None
    if expected is None:
        assert points == []
    else:
        assert points[0].deviation == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_gaps_are_refused_unless_told():
    x = np.arange(20.0) ** 2
    x[[4, 7]] = np.nan
    with pytest.raises(ValueError, match=r"phase\[4\] is a gap, one of 2"):
        stability(x, 1.0)
    with pytest.raises(ValueError, match=r"frequency\[4\] is not known"):
        phase_of_frequency(x, 1.0)


@pytest.mark.parametrize(
    ("phase", "tau0_s", "options"),
    [
        (np.zeros((3, 3)), 1.0, {}),
        (np.zeros(9), 0.0, {}),
        (np.zeros(9), 1.0, {"confidence": 1.0}),
        (np.zeros(9), 1.0, {"taus": "weekly"}),
    ],
)
def test_bad_arguments_are_named(phase, tau0_s, options):
    with pytest.raises(ValueError, match="found"):
        stability(phase, tau0_s, **options)


def test_the_rows_of_averaging_factors():
    assert averaging_factors(1000, "octave", "adev") == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert averaging_factors(1001, "decade", "tdev") == [1, 2, 5, 10, 20, 50, 100, 200]
    assert averaging_factors(10, "all", "mdev") == [1, 2, 3]
    assert averaging_factors(2, "all", "adev") == []


# Confidence.


def noise(alpha, points, seed):
    """Phase noise of a spectrum S_y ~ f^alpha, even alpha."""
    white = np.random.default_rng(seed).normal(size=points)
    for _ in range((2 - alpha) // 2):
        white = np.cumsum(white)
    return white


@pytest.mark.parametrize("alpha", [2, 0, -2])
@pytest.mark.parametrize("factor", [1, 10])
def test_the_kind_of_noise_is_told(alpha, factor):
    # Averaged phase noise stays white; slower noise is the same at any factor.
    told = [noise_exponent(noise(alpha, 4000, seed), factor) for seed in range(20)]
    assert told.count(alpha) >= 18


def test_a_short_record_does_not_tell_its_noise():
    assert noise_exponent(noise(0, 29, 1), 1) is None
    assert noise_exponent(noise(0, 300, 1), 11) is None


@pytest.mark.parametrize("points", [101, 1001])
@pytest.mark.parametrize("factor", [1, 5, 20])
def test_degrees_of_freedom_agree_with_the_simple_formulas(points, factor):
    # SP 1065, table 5: of the overlapping Allan variance, good to some per cent.
    n, m = points, factor
    white_fm = (3 * (n - 1) / (2 * m) - 2 * (n - 2) / n) * 4 * m**2 / (4 * m**2 + 5)
    found = degrees_of_freedom(0, n, m, modified=False)
    assert found == pytest.approx(white_fm, rel=0.12)
    white_pm = (n + 1) * (n - 2 * m) / (2 * (n - m))
    assert degrees_of_freedom(2, n, m, modified=False) == pytest.approx(white_pm, rel=0.12)
    walk = (n - 2) / m * ((n - 1) ** 2 - 3 * m * (n - 1) + 4 * m**2) / (n - 3) ** 2
    assert degrees_of_freedom(-2, n, m, modified=False) == pytest.approx(walk, rel=0.12)


@pytest.mark.parametrize("alpha", [2, 1, 0, -1, -2])
@pytest.mark.parametrize("modified", [False, True])
def test_degrees_of_freedom_fall_smoothly_and_stay_above_one(alpha, modified):
    found = [degrees_of_freedom(alpha, 1000, m, modified=modified) for m in (1, 10, 99, 101, 300)]
    assert all(a > b for a, b in itertools.pairwise(found))
    assert found[-1] > 0.9
    assert found[2] == pytest.approx(found[3], rel=0.1)
    with pytest.raises(ValueError, match="expected at least"):
        degrees_of_freedom(alpha, 1000, 600, modified=modified)


@pytest.mark.parametrize("kind", ["adev", "mdev"])
@pytest.mark.parametrize("alpha", [2, 0, -2])
def test_the_interval_holds_the_truth_as_often_as_it_says(kind, alpha):
    factor, runs, points = 8, 400, 200
    found = [
        stability(noise(alpha, points, seed), 1.0, kind, [1, 2, 4, factor])[-1]
        for seed in range(runs)
    ]
    truth = math.sqrt(np.mean([p.deviation**2 for p in found]))
    inside = sum(p.low <= truth <= p.high for p in found) / runs
    assert inside == pytest.approx(0.683, abs=0.08)


@pytest.mark.parametrize(
    ("share", "degrees", "value"),
    [
        # Tables of the chi-squared distribution.
        (0.95, 1, 3.841459),
        (0.05, 10, 3.940299),
        (0.95, 10, 18.307038),
        (0.025, 3, 0.215795),
        (0.975, 100, 129.561197),
        (0.005, 1, 0.0000392704),
    ],
)
def test_chi_squared_as_tabulated(share, degrees, value):
    assert chi_squared_quantile(share, degrees) == pytest.approx(value, rel=2e-6)


def test_chi_squared_of_two_degrees_is_exponential():
    for share in (0.001, 0.16, 0.5, 0.84, 0.999):
        expected = -2 * math.log(1 - share)
        assert chi_squared_quantile(share, 2) == pytest.approx(expected, rel=1e-9)
    assert gamma_share(3.0, 0.0) == 0.0
    for share, degrees in ((0.0, 3), (1.0, 3), (0.5, 0), (0.5, math.inf)):
        with pytest.raises(ValueError, match="expected a share between 0 and 1"):
            chi_squared_quantile(share, degrees)
