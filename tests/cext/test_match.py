"""Matching in chunks and in threads gives what one walk over the whole gives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext import threads as in_parts
from cext.fold_match import FoldMatcher, match_folds
from cext.match import NearestMatcher, PairMatcher, match_pairs, nearest_pairs

small = st.lists(st.integers(-40, 40), max_size=25).map(lambda v: np.array(sorted(v), np.int64))
windows = st.tuples(st.integers(-30, 30), st.integers(-30, 30)).map(sorted)


def cuts(rng, n, pieces):
    return pairwise([0, *np.sort(rng.integers(0, n + 1, pieces)).tolist(), n])


def joined(found):
    return [np.concatenate([pair[side] for pair in found]).tolist() for side in (0, 1)]


def listed(pair):
    return [side.tolist() for side in pair]


@pytest.fixture(scope="module", autouse=True)
def _threads_for_short_streams():
    """Streams of any length are shared out, so that small examples are cut too."""
    before = in_parts.TAGS_A_THREAD
    in_parts.TAGS_A_THREAD = 1
    yield
    in_parts.TAGS_A_THREAD = before


@settings(max_examples=150, deadline=None)
@given(small, small, windows, st.integers(0, 2**32), st.sampled_from([1, 2]))
def test_pairs_do_not_depend_on_cuts_or_threads(a, b, window, seed, threads):
    rng = np.random.default_rng(seed)
    for whole, kind in ((match_pairs, PairMatcher), (nearest_pairs, NearestMatcher)):
        expected = listed(whole(a, b, *window))
        assert listed(whole(a, b, *window, threads=2)) == expected
        matcher = kind(*window, threads=threads)
        pieces = zip(cuts(rng, len(a), 4), cuts(rng, len(b), 4), strict=True)
        found = [matcher.push(a[i:j], b[k:m]) for (i, j), (k, m) in pieces]
        if kind is NearestMatcher:
            found.append(matcher.finish())
        assert joined(found) == expected
        assert matcher.pairs == len(expected[0])


streams = st.lists(small, min_size=2, max_size=4)


@settings(max_examples=150, deadline=None)
@given(streams, st.integers(0, 20), st.integers(0, 2**32), st.sampled_from([1, 2]))
def test_folds_do_not_depend_on_cuts_or_threads(data, spread, seed, threads):
    rng = np.random.default_rng(seed)
    delays = rng.integers(-9, 9, len(data)).tolist()
    expected = match_folds(data, spread, delays).tolist()
    assert match_folds(data, spread, delays, threads=2).tolist() == expected
    matcher = FoldMatcher(len(data), spread, delays, threads=threads)
    pieces = zip(*(cuts(rng, len(stream), 4) for stream in data), strict=True)
    found = [
        matcher.push([stream[i:j] for stream, (i, j) in zip(data, piece, strict=True)])
        for piece in pieces
    ]
    assert np.concatenate(found).tolist() == expected
    assert matcher.folds == len(expected)


@pytest.mark.parametrize("spacing_ps", [400, 40_000, 4_000_000])
def test_long_streams_in_threads(spacing_ps):
    # From streams without a quiet gap to streams of almost nothing else.
    rng = np.random.default_rng(4)
    n = 60_000
    a, b, c = (np.sort(rng.integers(0, n * spacing_ps, n)) for _ in range(3))
    b[::10] = a[::10] + 300
    b.sort()
    for threads in (2, 3):
        for match in (match_pairs, nearest_pairs):
            one = match(a, b, -500, 700)
            assert listed(match(a, b, -500, 700, threads=threads)) == listed(one)
            assert len(one[0]) > 5000
        one = match_folds([a, b, c], 5000, [0, 10, -20])
        several = match_folds([a, b, c], 5000, [0, 10, -20], threads=threads)
        assert np.array_equal(one, several)


def test_tags_that_can_find_no_partner_any_more_are_let_go():
    matcher = NearestMatcher(-5, 5)
    for start in range(0, 10_000, 100):
        chunk = np.arange(start, start + 100)
        of_a, _ = matcher.push(chunk, chunk)
        assert len(of_a) >= 95
    assert len(matcher.finish()[0]) == 5


def test_a_step_back_between_chunks_changes_nothing():
    for kind in (PairMatcher, NearestMatcher):
        matcher = kind(0, 5)
        matcher.push(np.array([10]), np.array([10]))
        with pytest.raises(ValueError, match=f"{kind.__name__}: b must ascend"):
            matcher.push(np.array([20]), np.array([9]))
        with pytest.raises(ValueError, match=r"a\[1\] = 20 ps lies before a\[0\]"):
            matcher.push(np.array([21, 20]), np.array([11]))
        matcher.push(np.array([20]), np.array([30]))
        assert matcher.pairs == 1
    folds = FoldMatcher(2, 5)
    folds.push([np.array([10]), np.array([], np.int64)])
    with pytest.raises(ValueError, match=r"FoldMatcher: streams\[0\] must ascend"):
        folds.push([np.array([9]), np.array([10])])
    assert folds.push([np.array([11]), np.array([10])]).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PairMatcher(1, 0), r"window \[1, 0\] ps is empty"),
        (lambda: NearestMatcher(0, 2**70), "high_ps is"),
        (lambda: NearestMatcher(0, 1, threads=0), "threads 0"),
        (lambda: FoldMatcher(1, 0), "1 streams, expected 2 to 64"),
        (lambda: FoldMatcher(2, -1), "spread_ps -1"),
        (lambda: FoldMatcher(2, 1, [0]), "1 delays for 2 streams"),
        (lambda: FoldMatcher(2, 1).push([np.arange(2)]), "chunks of 1 streams, expected 2"),
        (lambda: FoldMatcher(2, 1).push([np.arange(2), np.arange(4)[::2]]), "not contiguous"),
        (lambda: match_folds([np.arange(2), np.arange(2.0)], 1), r"streams\[1\] has dtype float64"),
    ],
)
def test_bad_choices_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
