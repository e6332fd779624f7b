import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from link_layer.matching import DELAYS_PS, delays_clear_of, match_tags, outcome_counts

Ints = NDArray[np.int64]
tags = st.lists(st.integers(0, 10**6), max_size=60).map(
    lambda values: np.array(sorted(values), dtype=np.int64)
)


@given(tags, tags, st.integers(1, 50_000))
def test_matches_are_near_and_each_tag_is_used_once(a: Ints, b: Ints, window_ps: int) -> None:
    found = match_tags(a, b, window_ps, delays_ps=(-50_000, 50_000))
    low, high = -(window_ps // 2), -(window_ps // 2) + window_ps - 1
    assert high - low + 1 == window_ps
    for delay, (ia, ib) in zip(
        (0, -50_000, 50_000), ((found.local, found.remote), *found.delayed), strict=True
    ):
        gaps = b[ib] - a[ia] - delay
        assert np.all((low <= gaps) & (gaps <= high))
        assert len(np.unique(ia)) == len(np.unique(ib)) == len(ia) == len(ib)


def test_pairs_are_found_and_chance_is_estimated() -> None:
    rng = np.random.default_rng(4)
    pairs = rng.uniform(0, 1e12, 3000)
    a = np.sort(np.concatenate((pairs, rng.uniform(0, 1e12, 200_000))).astype(np.int64))
    b = np.sort(
        np.concatenate((pairs + rng.normal(0, 800, 3000), rng.uniform(0, 1e12, 150_000))).astype(
            np.int64
        )
    )
    found = match_tags(a, b, 6000)
    chance = len(a) * len(b) * 6000 / 1e12
    assert found.accidentals == pytest.approx(chance, rel=0.12)
    assert len(found) - found.accidentals == pytest.approx(3000, rel=0.05)


@pytest.mark.parametrize(("seen_a", "seen_b"), [(0.5, 0.4), (0.9, 0.2), (0.05, 0.05)])
def test_chance_is_told_right_where_many_photons_have_a_partner(
    seen_a: float, seen_b: float
) -> None:
    """Whose tag is whose is known here; half of a window of 400 ns is a good part of the wait."""
    rng = np.random.default_rng(17)
    length_ps, window_ps = 4 * 10**12, 400_000
    emitted = np.sort(rng.integers(0, length_ps, 200_000))
    ends = []
    for seen in (seen_a, seen_b):
        pairs = np.flatnonzero(rng.random(emitted.size) < seen)
        alone = rng.integers(0, length_ps, 40_000)
        times = np.concatenate([emitted[pairs] + rng.integers(-300, 300, pairs.size), alone])
        whose = np.concatenate([pairs, -1 - np.arange(alone.size)])
        order = np.argsort(times, kind="stable")
        ends.append((times[order], whose[order]))
    (a, of_a), (b, of_b) = ends
    found = match_tags(a, b, window_ps, delays_clear_of(window_ps))
    by_chance = int(np.count_nonzero(of_a[found.local] != of_b[found.remote]))
    plain = sum(len(one) for one, _ in found.delayed) / len(found.delayed)
    assert found.accidentals == pytest.approx(by_chance, abs=5 * np.sqrt(by_chance))
    if max(seen_a, seen_b) > 0.2:
        assert plain > by_chance + 8 * np.sqrt(by_chance)


@pytest.mark.parametrize("window_ps", [1, 6_000, 100_000, 100_001, 600_000, 1_000_000])
def test_delayed_windows_are_clear_of_every_window_that_may_be_configured(window_ps: int) -> None:
    delays_ps = delays_clear_of(window_ps)
    assert len(delays_ps) == len(DELAYS_PS)
    tags = np.array([0, 10**7])
    found = match_tags(tags, tags, window_ps, delays_ps)
    assert len(found) == 2
    assert found.accidentals == 0


def test_outcomes_are_counted_local_by_remote() -> None:
    a = np.array([0, 100, 200, 300], dtype=np.int64)
    found = match_tags(a, a + 1, 10, delays_ps=())
    local = np.array([0, 0, 1, 1], dtype=np.uint8)
    remote = np.array([0, 1, 1, 1], dtype=np.uint8)
    counts = outcome_counts((found.local, found.remote), local, remote)
    assert counts.tolist() == [[1, 1], [0, 2]]
    assert found.accidentals == 0
    nothing = np.empty(0, dtype=np.int64)
    assert outcome_counts((nothing, nothing), local, remote).tolist() == [[0, 0], [0, 0]]


def test_windows_that_cannot_be_are_refused() -> None:
    a = np.array([0], dtype=np.int64)
    with pytest.raises(ValueError, match="overlaps"):
        match_tags(a, a, 6000, delays_ps=(5999,))
    with pytest.raises(ValueError, match="at least 1"):
        match_tags(a, a, 0)
