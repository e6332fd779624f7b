from itertools import combinations, pairwise, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext.fold import FoldCounter, fold_rank
from cext.fold_match import match_folds
from cext.pair_histograms import PairHistograms
from cext.paths import available_paths

PATHS = available_paths()


@st.composite
def merged(draw, most=120):
    """A merged stream of few channels, dense enough for folds and ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(0, most))
    span = draw(st.sampled_from([30, 300, 3000]))
    channels = draw(st.integers(1, 7))
    times = np.sort(rng.integers(-span, span, n))
    return times, rng.integers(0, channels + 1, n).astype(np.uint8), list(range(channels))


def brute_pairs(times, channels, asked, low, high):
    pairs = np.zeros((len(asked), len(asked)), dtype=np.int64)
    for i, j in product(range(len(times)), repeat=2):
        if i != j and low <= times[j] - times[i] <= high:
            p, q = channels[i], channels[j]
            if p in asked and q in asked:
                pairs[asked.index(p), asked.index(q)] += 1
    return pairs


def brute_folds(times, channels, asked, fold, spread):
    folds = np.zeros(comb(len(asked), fold), dtype=np.int64)
    for rows in combinations(range(len(asked)), fold):
        for tags in product(*(np.flatnonzero(channels == asked[row]) for row in rows)):
            folds[fold_rank(rows)] += np.ptp(times[list(tags)]) <= spread
    return folds


def push_cut(kernel, times, channels, rng, pieces):
    edges = [0, *np.sort(rng.integers(0, len(times) + 1, pieces)).tolist(), len(times)]
    for start, stop in pairwise(edges):
        kernel.push(times[start:stop], channels[start:stop])
    kernel.finish()
    return kernel


windows = st.tuples(st.integers(-25, 25), st.integers(-25, 25)).map(sorted)


@settings(max_examples=150, deadline=None)
@given(merged(), windows, st.sampled_from(PATHS), st.integers(0, 2**32), st.booleans())
def test_pairs_accidentals_delays_and_cuts(data, window, path, seed, with_delays):
    times, channels, asked = data
    low, high = window
    rng = np.random.default_rng(seed)
    delays = rng.integers(-60, 60, len(asked)) if with_delays else np.zeros(len(asked), np.int64)
    shift = 2 * max(-low, high) + int(rng.integers(1, 80))
    counter = FoldCounter(asked, low, high, delays_ps=delays, accidental_shift_ps=shift, path=path)
    push_cut(counter, times, channels, rng, int(rng.integers(0, 9)))
    moved = times + np.append(delays, 0)[channels]  # the number after the last asked is a stranger
    assert counter.pairs.tolist() == brute_pairs(moved, channels, asked, low, high).tolist()
    expected = brute_pairs(moved, channels, asked, low + shift, high + shift)
    assert counter.accidentals.tolist() == expected.tolist()


@settings(max_examples=60, deadline=None)
@given(
    merged(most=40),
    st.integers(2, 5),
    st.integers(0, 12),
    st.sampled_from(PATHS),
    st.integers(0, 2**32),
)
def test_folds_are_all_choices_within_the_spread(data, fold, spread, path, seed):
    times, channels, asked = data
    counter = FoldCounter(asked, 0, spread // 2, fold=fold, spread_ps=spread, path=path)
    push_cut(counter, times, channels, np.random.default_rng(seed), 4)
    assert counter.folds.tolist() == brute_folds(times, channels, asked, fold, spread).tolist()


@settings(max_examples=120, deadline=None)
@given(
    merged(),
    st.integers(-40, 40),
    st.integers(1, 9),
    st.integers(1, 12),
    st.sampled_from(PATHS),
    st.integers(0, 2**32),
)
def test_histograms_of_several_pairs(data, low, width, bins, path, seed):
    times, channels, asked = data
    pairs = [(p, q) for p, q in product(asked[:3], asked[-2:])]
    pairs = list(dict.fromkeys(pairs))
    kernel = PairHistograms(pairs, low, width, bins, path=path)
    push_cut(kernel, times, channels, np.random.default_rng(seed), 5)
    for (p, q), counts in zip(pairs, kernel.counts, strict=True):
        a, b = times[channels == p], times[channels == q]
        delay = b[None, :] - a[:, None]
        if p == q:
            delay = delay[~np.eye(len(a), dtype=bool)]
        index = (delay.ravel() - low) // width
        expected = np.bincount(index[(index >= 0) & (index < bins)], minlength=bins)
        assert counts.tolist() == expected.tolist()


@pytest.mark.parametrize("path", PATHS)
def test_a_long_stream_in_any_chunks_and_threads(path):
    rng = np.random.default_rng(3)
    n = 300_000
    times = np.sort(rng.integers(0, n * 60_000, n))
    times[1::50] = times[::50]
    channels = rng.integers(0, 64, n).astype(np.uint8)
    asked = list(range(64))

    def run(chunk, threads):
        counter = FoldCounter(
            asked,
            -900,
            700,
            fold=3,
            spread_ps=5000,
            accidental_shift_ps=10**6,
            threads=threads,
            path=path,
        )
        for start in range(0, n, chunk):
            counter.push(times[start : start + chunk], channels[start : start + chunk])
        return counter

    whole = run(n, 1)
    for p, q in ((0, 1), (63, 5), (7, 7)):
        a, b = times[channels == p], times[channels == q]
        delay = np.searchsorted(b, a + 700, side="right") - np.searchsorted(b, a - 900)
        assert whole.pairs[p, q] == delay.sum() - (len(a) if p == q else 0)
    assert whole.folds.sum() > 0
    for other in (run(n, 2), run(n, 3), run(10_000, 1), run(777, 1), run(120_000, 2)):
        assert (other.pairs == whole.pairs).all()
        assert (other.folds == whole.folds).all()
        assert (other.accidentals == whole.accidentals).all()


@pytest.mark.parametrize("path", PATHS)
def test_more_than_a_hundred_starts_in_range(path):
    times = np.arange(3000, dtype=np.int64)
    channels = (np.arange(3000) % 2).astype(np.uint8)
    kernel = PairHistograms([(0, 1)], -1000, 1, 2001, path=path)
    kernel.push(times, channels)
    delay = times[1::2][None, :] - times[::2][:, None]
    inside = delay[(delay >= -1000) & (delay <= 1000)] + 1000
    assert kernel.counts[0].tolist() == np.bincount(inside, minlength=2001).tolist()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("at", [1, 63, 64, 4095, 4096, 4097, 9_999])
def test_a_step_back_is_named_wherever_it_is(path, at):
    times = np.arange(0, 10**7, 1000)
    channels = np.zeros(len(times), np.uint8)
    times[at] = times[at - 1] - 1
    for delays in (None, [5]):
        counter = FoldCounter([0], 0, 10, delays_ps=delays, path=path)
        with pytest.raises(ValueError, match=rf"times\[{at}\] = .* lies before"):
            counter.push(times, channels)
        with pytest.raises(RuntimeError, match="start anew"):
            counter.push(times[:1], channels[:1])


@pytest.mark.parametrize("path", PATHS)
def test_times_at_the_limit(path):
    top = 2**62 - 1
    counter = FoldCounter([0, 1], -top, top, path=path)
    counter.push(np.array([-top, 0, 0, top]), np.array([0, 1, 0, 1], np.uint8))
    assert counter.pairs.tolist() == [[2, 3], [3, 2]]
    for beyond in ([0, 2**62], [-(2**62), 0], [2**62 + 5, -(2**62) - 9]):
        with pytest.raises(ValueError, match=r"lies before|2\^62"):
            FoldCounter([0], 0, 1, path=path).push(np.array(beyond), np.zeros(2, np.uint8))


def test_a_chunk_that_begins_too_early_changes_nothing():
    counter = FoldCounter([0, 1], -5, 5)
    zero = np.zeros(1, np.uint8)
    counter.push(np.array([10]), zero)
    with pytest.raises(ValueError, match="before 10 ps"):
        counter.push(np.array([9]), zero)
    counter.push(np.array([10]), zero + 1)
    assert counter.pairs.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("arguments", "choices", "message"),
    [
        (([], 0, 1), {}, "found 0 channels"),
        (([1, 1], 0, 1), {}, "stands twice"),
        (([300], 0, 1), {}, "channel 300"),
        (([1], 2, 1), {}, "is empty"),
        (([1], 0, 2**70), {}, "high_ps"),
        (([1], 0, 1), {"fold": 9}, "fold 9"),
        ((range(64), 0, 1), {"fold": 8}, "folds of 8"),
        (([1], -5, -1), {"fold": 2}, "spread_ps -1"),
        (([1], 0, 9), {"accidental_shift_ps": 18}, "twice the window"),
        (([1], 0, 9), {"delays_ps": [1, 2]}, "2 delays for 1 channels"),
        (([1], 0, 9), {"threads": 0}, "threads 0"),
    ],
)
def test_bad_choices_are_named(arguments, choices, message):
    with pytest.raises(ValueError, match=message):
        FoldCounter(*arguments, **choices)


def test_bad_arrays_are_named():
    counter = FoldCounter([0], 0, 1)
    times, channels = np.arange(4), np.zeros(4, np.uint8)
    with pytest.raises(ValueError, match="4 times and 3 channels"):
        counter.push(times, channels[:3])
    with pytest.raises(ValueError, match="channels has dtype int64"):
        counter.push(times, times)
    unaligned = np.zeros(33, np.uint8)[1:].view(np.int64)
    with pytest.raises(ValueError, match="times is not aligned"):
        counter.push(unaligned, channels)
    with pytest.raises(ValueError, match="times is a list"):
        counter.push([1, 2], channels)
    with pytest.raises(ValueError, match="times has dtype float64"):
        counter.push(np.zeros(4), channels)
    with pytest.raises(ValueError, match="times is not contiguous"):
        counter.push(np.arange(8)[::2], channels)


streams = st.lists(
    st.lists(st.integers(-40, 40), max_size=12).map(lambda v: np.array(sorted(v), np.int64)),
    min_size=2,
    max_size=4,
)


@given(streams, st.integers(0, 20), st.integers(0, 2**32))
def test_exclusive_folds_fit_and_share_no_tag(data, spread, seed):
    delays = np.random.default_rng(seed).integers(-9, 9, len(data)).tolist()
    found = match_folds(data, spread, delays)
    moved = [stream + delay for stream, delay in zip(data, delays, strict=True)]
    assert (np.diff(found, axis=0) > 0).all()
    for row in found:
        times = [moved[k][index] for k, index in enumerate(row)]
        assert max(times) - min(times) <= spread
    # The greedy choice leaves no whole fold among the tags after the last one taken.
    after = [int(found[-1][k]) + 1 if len(found) else 0 for k in range(len(data))]
    left = [stream[start:] for stream, start in zip(moved, after, strict=True)]
    assert not any(max(tags) - min(tags) <= spread for tags in product(*left))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("chunk", [10_000, 999])
def test_gaps_at_the_window_and_one_beside_it(path, chunk):
    rng = np.random.default_rng(8)
    times = np.cumsum(rng.choice([5, 6, 7, 50], 10_000))
    channels = (np.arange(10_000) % 2).astype(np.uint8)
    counter = FoldCounter([0, 1], -6, 6, path=path)
    histogram = PairHistograms([(0, 1)], -6, 1, 13, path=path)
    for kernel in (counter, histogram):
        for start in range(0, len(times), chunk):
            kernel.push(times[start : start + chunk], channels[start : start + chunk])
    a, b = times[::2], times[1::2]
    expected = (np.searchsorted(b, a + 6, side="right") - np.searchsorted(b, a - 6)).sum()
    assert expected > 3000
    assert counter.pairs[0, 1] == counter.pairs[1, 0] == expected
    assert histogram.counts.sum() == expected
