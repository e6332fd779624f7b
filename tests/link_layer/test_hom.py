"""The Hong-Ou-Mandel visibility of counts. Seeds are fixed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.hom import HomCounts, HomSettings, hom_figures

BINNED = HomSettings(((1,), (2,)), window_ps=100_000, apart_ps=400_000)
POLARIZED = HomSettings(((1, 2), (3, 4)), window_ps=100_000)


@pytest.mark.parametrize("visibility", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("pairs", "accidental"), [(60, 0.0), (400, 0.1), (3000, 0.02)])
def test_the_intervals_cover_the_truth(visibility: float, pairs: int, accidental: float) -> None:
    """95 % of them, within what 1000 runs tell (4 standard errors: 2.8 %)."""
    rng = np.random.default_rng([pairs, round(10 * visibility)])
    runs, covered, within = 1000, 0, 0
    each_floor = accidental * pairs
    for _ in range(runs):
        found = hom_figures(
            HomCounts(
                int(rng.poisson(pairs * (1 - visibility) + each_floor)),
                int(rng.poisson(pairs + 2 * each_floor)),
                int(rng.poisson(6 * each_floor)),
                6.0,
            ),
            rng,
        )
        assert found is not None
        covered += found.low <= visibility <= found.high
        within += abs(found.visibility - visibility) < found.error
    # With nothing to count at all (no dip left, no darks) the interval is on one side only.
    empty = visibility == 1.0 and not accidental
    assert covered / runs > 0.95 - 0.028
    assert empty or covered / runs < 0.95 + 0.028
    assert empty or abs(within / runs - 0.68) < 0.07


@given(same=st.integers(0, 10_000), different=st.integers(5, 10_000), floor=st.integers(0, 1000))
def test_the_figures_are_of_the_counts(same: int, different: int, floor: int) -> None:
    counts = HomCounts(same, different, floor, 6.0)
    found = hom_figures(counts, np.random.default_rng(1))
    each = floor / 6.0
    if different - 2 * each <= 4 * math.sqrt(different + floor / 9):
        assert found is None  # it could be accidentals only
        return
    assert found is not None
    assert found.visibility == pytest.approx(1 - (same - each) / (different - 2 * each))
    assert found.coincidences == same + different
    assert found.low < found.high
    assert found.error > 0


def test_nothing_is_said_of_nothing() -> None:
    assert hom_figures(HomCounts(0, 0, 0, 6.0), np.random.default_rng(1)) is None


def test_more_counts_are_a_smaller_error() -> None:
    rng = np.random.default_rng(2)
    few = hom_figures(HomCounts(10, 100, 0, 6.0), rng)
    many = hom_figures(HomCounts(1000, 10_000, 0, 6.0), rng)
    assert few is not None
    assert many is not None
    assert many.visibility == few.visibility
    assert few.error / many.error == pytest.approx(10, rel=0.1)
    # Of a ratio of two Poisson numbers: r sqrt(1/a + 1/b).
    assert many.error == pytest.approx(0.1 * math.sqrt(1e-3 + 1e-4), rel=0.05)


@pytest.mark.parametrize("settings", [BINNED, POLARIZED])
@pytest.mark.parametrize("delay_ps", [0, 49_000, 399_000, -355_000, 200_000, -200_000, 70_000])
def test_each_coincidence_counts_as_its_kind(settings: HomSettings, delay_ps: int) -> None:
    place = np.argmin(np.abs(settings.delay_ps - delay_ps))
    for number, pair in enumerate(settings.pairs):
        histograms = {each: np.zeros(settings.bins, np.int64) for each in settings.pairs}
        histograms[pair][place] = 1
        counts = settings.counts(histograms)
        inside = abs(delay_ps) < 50_000
        side = bool(settings.apart_ps) and abs(abs(delay_ps) - 400_000) < 50_000
        same = inside and number < 2
        different = side or (inside and number >= 2)
        between = not inside and not side and abs(delay_ps) <= settings.delay_ps[-1]
        if abs(delay_ps) > settings.delay_ps[-1] + settings.bin_ps:
            continue  # out of the histogram
        assert (counts.same, counts.different, counts.floor) == (same, different, between)


@pytest.mark.parametrize("settings", [BINNED, POLARIZED])
def test_a_flat_histogram_is_all_accidentals(settings: HomSettings) -> None:
    flat = {each: np.full(settings.bins, 7, np.int64) for each in settings.pairs}
    counts = settings.counts(flat)
    each = counts.floor / counts.floor_windows
    assert counts.same == pytest.approx(each)
    assert counts.different == pytest.approx(each * counts.different_windows)
    assert settings.delay_ps[settings.bins // 2] == pytest.approx(0, abs=0.5)


@given(window_ps=st.integers(1000, 20_000), resolution_ps=st.integers(1, 5000))
def test_every_bin_has_as_many_steps_of_the_tagger(window_ps: int, resolution_ps: int) -> None:
    settings = HomSettings(((1,), (2,)), window_ps, 3 * window_ps, resolution_ps)
    most = settings.low_ps + settings.bins * settings.bin_ps
    steps = resolution_ps * np.arange(
        -(-settings.low_ps // resolution_ps) - 1, most // resolution_ps + 2
    )
    inside = (steps >= settings.low_ps) & (steps < most)
    counts = np.bincount((steps[inside] - settings.low_ps) // settings.bin_ps)
    assert set(counts.tolist()) == {settings.bin_ps // resolution_ps}
    assert counts.size == settings.bins
    # As far to the one side as to the other: no delay is in the middle of the middle bin.
    assert steps[inside][0] == -steps[inside][-1]
