"""The edges that every kernel on times meets: order, range, types, strides, nothing, ties."""

from functools import partial

import numpy as np
import pytest

from cext.coincidence import (
    PairCounter,
    all_pairs,
    count_pairs,
    count_pairs_at,
    count_pairs_plainly,
)
from cext.condition import NEVER_PS, delay_channels, find_disorder, merge_two, select_tags
from cext.condition_gate import gate_after_marker, veto_after_clicks
from cext.decode_packed import pack_payload
from cext.fold import FoldCounter
from cext.fold_find import FoldFinder, find_folds
from cext.fold_match import FoldMatcher, match_folds
from cext.histogram import (
    DifferenceHistogram,
    difference_histogram,
    difference_histogram_plainly,
)
from cext.match import NearestMatcher, PairMatcher, match_pairs, nearest_pairs
from cext.pair_histograms import PairHistograms
from cext.pattern import classify_attempts
from cext.phase import PhaseHistogram, phase_histogram
from timing.conditioning import by_channel

TOP = 2**62 - 1
GOOD = np.array([-7, 3, 3, 9])
PLACES = np.full((256, 1), -1, np.int64)
PLACES[1] = 0
OUTCOMES = np.full(16, 1, np.uint8)


def ones(times):
    return np.ones(len(times), np.uint8)


def classify(times, channels):
    return classify_attempts(times, channels, PLACES, np.array([[0, 5]]), OUTCOMES, 10)


def none_yet():
    return by_channel({}, NEVER_PS)


# Kernels on two ascending streams, whole or by chunks.
TWO = {
    "count_pairs": partial(count_pairs, low_ps=0, high_ps=0),
    "count_pairs_plainly": partial(count_pairs_plainly, low_ps=0, high_ps=0),
    "count_pairs_at": partial(count_pairs_at, low_ps=0, high_ps=0, shifts_ps=(0, 5)),
    "all_pairs": partial(all_pairs, low_ps=0, high_ps=0),
    "nearest_pairs": partial(nearest_pairs, low_ps=0, high_ps=0),
    "match_pairs": partial(match_pairs, low_ps=0, high_ps=0),
    "PairCounter": lambda a, b: PairCounter(0, 0).push(a, b),
    "PairMatcher": lambda a, b: PairMatcher(0, 0).push(a, b),
    "NearestMatcher": lambda a, b: NearestMatcher(0, 0).push(a, b),
    "difference_histogram": partial(difference_histogram, low_ps=0, bin_ps=1, bins=2),
    "difference_histogram_plainly": partial(
        difference_histogram_plainly, low_ps=0, bin_ps=1, bins=2
    ),
    "DifferenceHistogram": lambda a, b: DifferenceHistogram(0, 1, 2).push(a, b),
    "match_folds": lambda a, b: match_folds([a, b], 0),
    "FoldMatcher": lambda a, b: FoldMatcher(2, 0).push([a, b]),
    "merge_two": lambda a, b: merge_two(a, ones(a), b, ones(b)),
}
# Kernels on one stream with channels.
ONE = {
    "FoldCounter": lambda t, c: FoldCounter([1], 0, 0).push(t, c),
    "FoldFinder": lambda t, c: FoldFinder([1], 2, 0).push(t, c),
    "find_folds": lambda t, c: find_folds(t, c, [1], 2, 0),
    "PairHistograms": lambda t, c: PairHistograms([(1, 1)], 0, 1, 2).push(t, c),
    "veto_after_clicks": lambda t, c: veto_after_clicks(t, c, by_channel({}), none_yet()),
    "gate_after_marker": lambda t, c: gate_after_marker(t, c, 1, 0, 0, np.empty(0, np.int64)),
    "classify_attempts": classify,
}
# These take tags in any order.
ANY_ORDER = {
    "delay_channels": lambda t, c: delay_channels(t, c, by_channel({})),
    "select_tags": lambda t, c: select_tags(t, c, np.ones(len(t), np.bool_)),
    "find_disorder": lambda t, c: find_disorder(t, 0),
    "phase_histogram": lambda t, c: phase_histogram(t, 10, 1),
    "PhaseHistogram": lambda t, c: PhaseHistogram(10, 1).push(t),
    "pack_payload": pack_payload,
}
ORDERED = {
    **{f"{name}, a": partial(lambda kernel, t: kernel(t, GOOD), TWO[name]) for name in TWO},
    **{f"{name}, b": partial(lambda kernel, t: kernel(GOOD, t), TWO[name]) for name in TWO},
    **{name: partial(lambda kernel, t: kernel(t, ones(t)), ONE[name]) for name in ONE},
}
EVERY = {
    **ORDERED,
    **{name: partial(lambda kernel, t: kernel(t, ones(t)), ANY_ORDER[name]) for name in ANY_ORDER},
}
every = pytest.mark.parametrize("call", EVERY.values(), ids=EVERY.keys())
ordered = pytest.mark.parametrize("call", ORDERED.values(), ids=ORDERED.keys())


@every
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.arange(4, dtype=np.int32), "dtype int32"),
        (np.arange(4, dtype=np.uint64), "dtype uint64"),
        (np.arange(4, dtype=np.float64), "dtype float64"),
        (np.arange(4, dtype=">i8"), "dtype >i8"),
        (np.arange(8)[::2], "not contiguous"),
        (np.arange(4)[::-1], "not contiguous"),
        (np.zeros(33, np.uint8)[1:].view(np.int64), "not aligned"),
        (np.zeros((2, 2), np.int64), "2 dimensions"),
        ([1, 2], "a list"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_another_kind_of_array_is_named_and_not_copied(call, bad, message):
    with pytest.raises(ValueError, match=message):
        call(bad)


@ordered
@pytest.mark.parametrize("at", [1, 2, 5000])
def test_a_step_back_is_told_with_its_index(call, at):
    times = np.arange(0, 10**8, 10**4)
    times[at] = times[at - 1] - 1
    with pytest.raises(ValueError, match=rf"\[{at}\] = .* lies before .*\[{at - 1}\]"):
        call(times)


@every
@pytest.mark.parametrize("times", [[0, 2**62], [-(2**62), 0], [-(2**63), 2**63 - 1]])
def test_a_time_beyond_the_range_is_told(call, times, request):
    if "select_tags" in request.node.callspec.id:
        pytest.skip("select_tags computes nothing with times")
    with pytest.raises(ValueError, match=r"2\^62|lies before"):
        call(np.array(times))


@every
def test_ties_negative_times_one_tag_none_and_the_last_time_are_welcome(call, request):
    for times in ([-5, -5, -5, 0, 0], [-TOP, TOP], [TOP, TOP], [4], []):
        if not times and "pack_payload" in request.node.callspec.id:
            continue  # a block has at least one tag; an empty stream has none
        call(np.array(times, np.int64))


@every
def test_what_is_read_only_is_welcome_and_left_alone(call):
    times = GOOD.copy()
    times.flags.writeable = False
    call(times)
    assert times.tolist() == GOOD.tolist()


@pytest.mark.parametrize("name", [*ONE, *ANY_ORDER])
def test_channels_of_another_kind_or_number_are_named(name):
    kernel = (ONE | ANY_ORDER)[name]
    if name in ("find_disorder", "phase_histogram", "PhaseHistogram"):
        return  # these ask for none
    with pytest.raises(ValueError, match="dtype int64"):
        kernel(GOOD, GOOD)
    with pytest.raises(ValueError, match="4 times and 3 channels"):
        kernel(GOOD, ones(GOOD)[:3])
    with pytest.raises(ValueError, match="not contiguous"):
        kernel(GOOD, np.ones(8, np.uint8)[::2])


def test_a_window_of_nothing_takes_ties_and_only_those():
    a, b = np.array([-4, 0, 0, 7]), np.array([-4, 0, 6, 8])
    assert count_pairs(a, b, 0, 0) == count_pairs_plainly(a, b, 0, 0) == 3
    assert [side.tolist() for side in all_pairs(a, b, 0, 0)] == [[0, 1, 2], [0, 1, 1]]
    assert [side.tolist() for side in nearest_pairs(a, b, 0, 0)] == [[0, 1, 2], [0, 1, 1]]
    assert [side.tolist() for side in match_pairs(a, b, 0, 0)] == [[0, 1], [0, 1]]
    assert match_folds([a, b], 0).tolist() == [[0, 0], [1, 1]]
    assert difference_histogram(a, b, 0, 1, 1).tolist() == [3]
    times, channels = merge_two(a, 0 * ones(a), b, ones(b))
    counter = FoldCounter([0, 1], 0, 0, fold=2)
    counter.push(times, channels)
    assert counter.pairs.tolist() == [[2, 3], [3, 0]]
    assert counter.folds.tolist() == [3]
    assert find_folds(times, channels, [0, 1], 2, 0).tolist() == [[0, 1], [2, 4], [3, 4]]
