"""The guard of count rates against scipy's Poisson distribution, and on drawn counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from link_layer.guard import S_PER_YEAR, FlashBand, RateGuard, improbability, means


@given(st.integers(0, 3000), st.floats(0.5, 2000.0))
def test_the_bound_is_one(count: int, mean: float) -> None:
    tail = poisson.cdf(count, mean) if count <= mean else poisson.sf(count - 1, mean)
    assert tail <= improbability(count, mean) * (1 + 1e-9)


@pytest.mark.parametrize("rate_cps", [200.0, 10_000.0])
def test_false_alarms_are_not_more_than_stated_at_either_edge(rate_cps: float) -> None:
    """Stated so often (1 window in 50) that they can be counted."""
    windows, stated = 20_000, 0.02
    guard = RateGuard(200.0, 10_000.0, window_s=1.0, false_alarms_per_year=stated * S_PER_YEAR)
    counts = np.random.default_rng(1).poisson(rate_cps, windows)
    alarms = sum(guard.add(1.0, int(count)) and bool(guard.trouble) for count in counts)
    # A test of one side has half of it; the bound is not tight, but alarms do come.
    assert 0 < alarms <= windows * stated / 2 + 4 * np.sqrt(windows * stated / 2)


def test_a_blinded_and_a_flooded_detector_are_told() -> None:
    guard = RateGuard(100.0, 1e6, window_s=1.0, false_alarms_per_year=0.01)
    assert guard.can_tell
    assert not guard.add(0.5, 0)
    assert guard.add(0.5, 3)
    assert "fewer than its dark counts" in guard.trouble
    assert guard.add(1.0, 20_000)
    assert guard.trouble == ""
    assert guard.add(1.0, 1_020_000)
    assert "more than it may have" in guard.trouble


def test_too_few_dark_counts_can_tell_nothing() -> None:
    assert not RateGuard(5.0, 1e6, window_s=1.0, false_alarms_per_year=0.01).can_tell


@given(st.integers(0, 3000), st.sampled_from([0.05, 1e-3, 1e-9]))
def test_the_means_are_those_at_which_a_count_becomes_improbable(count: int, limit: float) -> None:
    least, most = means(count, limit)
    assert least <= count < most
    assert improbability(count, most) == pytest.approx(limit, rel=1e-3)
    if count:
        assert improbability(count, least) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize(("light_cps", "added_cps"), [(200.0, 10_000.0), (30_000.0, 20_000.0)])
def test_flashes_at_either_edge_of_the_band_raise_no_more_alarms_than_stated(
    light_cps: float, added_cps: float
) -> None:
    stated, flashes, seconds = 0.02, 10_000, 0.5
    band = FlashBand(10_000.0, 20_000.0, stated)
    rng = np.random.default_rng(2)
    before = rng.poisson(light_cps * seconds, flashes).tolist()
    lit = rng.poisson((light_cps + added_cps) * seconds, flashes).tolist()
    alarms = sum(
        band.trouble(b, seconds, n, seconds) != "" for b, n in zip(before, lit, strict=True)
    )
    assert alarms <= flashes * stated + 4 * np.sqrt(flashes * stated)


def test_a_flash_that_is_not_seen_or_seen_too_well_is_told() -> None:
    band = FlashBand(10_000.0, 20_000.0, 1e-9)
    assert band.trouble(10_000, 0.5, 17_500, 0.5) == ""
    assert band.trouble(10_000, 0.5, 10_050, 0.5).startswith("a flash added 100 cps")
    assert band.trouble(10_000, 0.5, 30_000, 0.5).startswith("a flash added 40000 cps")
    assert band.can_tell(10_000, 0.5, 0.5)
    assert not FlashBand(100.0, 200.0, 1e-9).can_tell(10_000, 0.5, 0.5)
