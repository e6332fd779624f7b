"""The tags behind fold counts, by index, beside every choice tried in turn."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext.fold import FoldCounter, fold_rank
from cext.fold_find import FoldFinder, find_folds
from cext.paths import available_paths

PATHS = available_paths()


@st.composite
def merged(draw):
    """A short merged stream, dense enough for folds and ties, with a stranger among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(0, 40))
    span = draw(st.sampled_from([30, 300]))
    channels = draw(st.integers(1, 6))
    times = np.sort(rng.integers(-span, span, n))
    return times, rng.integers(0, channels + 1, n).astype(np.uint8), list(range(channels))


def every_choice(times, channels, asked, fold, spread):
    """Rows of indices, in the order of time; of equal times that of the stream."""
    rows = []
    for rows_of in combinations(asked, fold):
        for tags in product(*(np.flatnonzero(channels == channel) for channel in rows_of)):
            if np.ptp(times[list(tags)]) <= spread:
                rows.append(tuple(sorted(int(tag) for tag in tags)))
    return sorted(rows, key=lambda row: (row[-1], row[:-1]))


@settings(max_examples=150, deadline=None)
@given(
    merged(),
    st.integers(2, 4),
    st.integers(0, 14),
    st.sampled_from(PATHS),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_folds_are_every_choice_for_any_cut(data, fold, spread, path, seed, with_delays):
    times, channels, asked = data
    rng = np.random.default_rng(seed)
    delays = rng.integers(-60, 60, len(asked)) if with_delays else np.zeros(len(asked), np.int64)
    moved = times + np.append(delays, 0)[channels]
    order = np.argsort(moved, kind="stable")
    expected = [
        tuple(order[list(row)].tolist())
        for row in every_choice(moved[order], channels[order], asked, fold, spread)
    ]
    whole = find_folds(times, channels, asked, fold, spread, delays_ps=delays, path=path)
    assert (whole.dtype, whole.shape) == (np.int64, (len(expected), fold))
    assert list(map(tuple, whole.tolist())) == expected
    finder = FoldFinder(asked, fold, spread, delays_ps=delays, path=path)
    edges = [0, *np.sort(rng.integers(0, len(times) + 1, 5)).tolist(), len(times)]
    found = [finder.push(times[i:j], channels[i:j]) for i, j in pairwise(edges)]
    assert np.concatenate([*found, finder.finish()]).tolist() == whole.tolist()
    assert finder.folds == len(expected)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("delays", [None, [3, 0, -70, 0, 11]])
def test_a_long_stream_has_as_many_as_are_counted_in_any_threads(path, delays):
    rng = np.random.default_rng(3)
    n = 200_000
    times = np.sort(rng.integers(0, n * 900, n))
    channels = rng.integers(0, 6, n).astype(np.uint8)
    asked = [4, 0, 1, 2, 3]
    counter = FoldCounter(asked, 0, 700, fold=3, delays_ps=delays, path=path)
    counter.push(times, channels)
    counter.finish()
    one = find_folds(times, channels, asked, 3, 700, delays_ps=delays, path=path)
    for threads in (2, 3):
        several = find_folds(
            times, channels, asked, 3, 700, delays_ps=delays, threads=threads, path=path
        )
        assert np.array_equal(one, several)
    rows = np.argsort(asked)[np.sort(channels[one], axis=1)]
    ranks = [fold_rank(row) for row in rows.tolist()]
    assert np.bincount(ranks, minlength=len(counter.folds)).tolist() == counter.folds.tolist()
    assert len(one) > 1000


def test_a_refused_chunk_changes_nothing():
    finder = FoldFinder([0, 1], 2, 5)
    ones = np.ones(2, np.uint8)
    finder.push(np.array([10]), np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="before 10 ps"):
        finder.push(np.array([9, 12]), ones)
    with pytest.raises(ValueError, match=r"times\[1\] = 11 ps lies before"):
        finder.push(np.array([12, 11]), ones)
    assert finder.push(np.array([15]), ones[:1]).tolist() == [[0, 1]]
    assert finder.finish().tolist() == []


def test_times_at_the_limit_and_one_channel():
    top = 2**62 - 1
    both = np.array([0, 1], np.uint8)
    assert find_folds(np.array([-top, top]), both, [0, 1], 2, top).tolist() == []
    assert find_folds(np.array([top, top]), both, [0, 1], 2, 0).tolist() == [[0, 1]]
    assert find_folds(np.array([5, 5]), both, [0], 2, 9).tolist() == []
    with pytest.raises(ValueError, match=r"2\^62"):
        find_folds(np.array([0, top + 1]), both, [0, 1], 2, 0)
    with pytest.raises(ValueError, match=r"delay brings a time beyond"):
        find_folds(np.array([0, top]), both, [0, 1], 2, 0, delays_ps=[0, 1])


@pytest.mark.parametrize(
    ("arguments", "choices", "message"),
    [
        (([], 2, 1), {}, r"channels \(\)"),
        (([1, 1], 2, 1), {}, "different"),
        (([300, 1], 2, 1), {}, "0 to 255"),
        (([1, 2], 1, 1), {}, "fold 1"),
        (([1, 2], 2, -1), {}, "spread_ps -1"),
        (([1, 2], 2, 1), {"delays_ps": [1]}, "1 delays for 2 channels"),
        (([1, 2], 2, 1), {"threads": 0}, "threads 0"),
        (([1, 2], 2, 1), {"path": "sse9"}, "no kernel path"),
    ],
)
def test_bad_choices_are_named(arguments, choices, message):
    with pytest.raises(ValueError, match=message):
        FoldFinder(*arguments, **choices)
