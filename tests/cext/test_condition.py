"""Conditioning of streams beside plain Python, in one piece and cut in any way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.coincidence import count_pairs
from cext.condition import NEVER_PS, delay_channels, find_disorder, merge_two, select_tags
from cext.condition_gate import (
    gate_after_marker,
    gate_between_markers,
    keep_one_in,
    veto_after_clicks,
)
from cext.fold import FoldCounter
from timing.conditioning import (
    ChannelDelays,
    DeadTime,
    DownSelect,
    MarkerGate,
    OpenCloseGate,
    OrderRepair,
    StreamMerge,
    by_channel,
    merge,
)

EDGE = 2**62 - 1
# Few values, so that ties and exact distances are common; some at the edges of the range.
instants = st.one_of(
    st.integers(-20, 60), st.sampled_from([-EDGE, -EDGE + 3, EDGE - 3, EDGE, 10**15])
)
tags = st.tuples(instants, st.integers(1, 4))
cuts = st.lists(st.integers(0, 40), max_size=5).map(sorted)


def stream(pairs):
    return (
        np.array([t for t, _ in pairs], np.int64),
        np.array([c for _, c in pairs], np.uint8),
    )


def in_order(pairs):
    return stream(sorted(pairs, key=lambda tag: tag[0]))


any_stream = st.lists(tags, max_size=40).map(stream)
sorted_stream = st.lists(tags, max_size=40).map(in_order)


def listed(tags):
    return list(zip(tags[0].tolist(), tags[1].tolist(), strict=True))


def cut_up(tags, cuts):
    return zip(np.split(tags[0], cuts), np.split(tags[1], cuts), strict=True)


def fed(filter, tags, cuts=()):
    """What a filter gives for a stream in pieces, at the end included."""
    out = [filter.feed(*piece) for piece in cut_up(tags, list(cuts))]
    if hasattr(filter, "finish"):
        out.append(filter.finish())
    return [tag for piece in out for tag in listed(piece)]


@given(st.lists(sorted_stream, max_size=5))
def test_merge_is_a_stable_sort(streams):
    merged = merge(streams)
    expected = sorted((tag for s in streams for tag in listed(s)), key=lambda tag: tag[0])
    assert listed(merged) == expected
    assert (merged[0].dtype, merged[1].dtype) == (np.int64, np.uint8)


@given(st.lists(sorted_stream, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_merge_of_pieces_in_any_order_is_that_of_the_whole(streams, random):
    merger = StreamMerge(len(streams))
    places = [0] * len(streams)
    out = []
    while left := [k for k, s in enumerate(streams) if places[k] < len(s[0])]:
        k = random.choice(left)
        until = random.randint(places[k] + 1, len(streams[k][0]))
        piece = slice(places[k], until)
        places[k] = until
        horizon = int(streams[k][0][until]) if until < len(streams[k][0]) else EDGE
        told = horizon if random.random() < 0.5 else None
        out += listed(merger.feed(k, streams[k][0][piece], streams[k][1][piece], told))
    out += listed(merger.finish())
    assert out == listed(merge(streams))


def test_a_dark_stream_holds_up_the_others_until_it_says_so():
    merger = StreamMerge(2)
    assert listed(merger.feed(1, *stream([(5, 2), (9, 2)]))) == []
    assert listed(merger.feed(0, *stream([]), 7)) == [(5, 2)]
    assert listed(merger.feed(0, *stream([(9, 1)]))) == [(9, 1)]
    assert listed(merger.finish()) == [(9, 2)]
    with pytest.raises(ValueError, match="stream 0 goes on at 6 ps, which lies before the 9 ps"):
        merger.feed(0, *stream([(6, 1)]))


def repaired(pairs, bound_ps):
    kept, late, latest, steps, worst = [], [], None, 0, 0
    for k, (time_ps, _) in enumerate(pairs):
        steps += k > 0 and time_ps < pairs[k - 1][0]
        if latest is not None:
            worst = max(worst, latest - time_ps)
        if latest is not None and latest - time_ps > bound_ps:
            late.append(k)
            continue
        kept.append(pairs[k])
        latest = time_ps if latest is None else max(latest, time_ps)
    return sorted(kept, key=lambda tag: tag[0]), late, steps, worst


@given(any_stream, st.sampled_from([0, 1, 7, 30, 2**61]), cuts)
def test_order_repair_is_the_reference_for_any_chunks(tags, bound_ps, cuts):
    expected, late, steps, worst = repaired(listed(tags), bound_ps)
    for some_cuts in ((), cuts):
        repair = OrderRepair(bound_ps)
        assert fed(repair, tags, some_cuts) == expected
        assert (repair.steps_back, repair.late, repair.worst_ps) == (steps, len(late), worst)
        assert repair.first_late == (late[0] if late else -1)


@given(sorted_stream, st.dictionaries(st.integers(1, 4), st.integers(-30, 30)), cuts)
def test_channel_delays_are_a_stable_sort_of_the_shifted_tags(tags, delays, cuts):
    shifted = [(t + delays.get(c, 0), c) for t, c in listed(tags)]
    if any(not -EDGE <= t <= EDGE for t, _ in shifted):
        with pytest.raises(ValueError, match=r"time_ps\[\d+\] = .* with the delay"):
            fed(ChannelDelays(delays), tags, cuts)
        return
    assert fed(ChannelDelays(delays), tags, cuts) == sorted(shifted, key=lambda tag: tag[0])


def test_channel_delays_refuse_a_stream_that_steps_back():
    with pytest.raises(ValueError, match="steps back at 1 tags"):
        ChannelDelays({}).feed(*stream([(5, 1), (4, 1)]))


def after_dead_time(pairs, dead_ps, extended):
    last, kept = {}, []
    for time_ps, channel in pairs:
        alive = channel not in last or time_ps - last[channel] >= dead_ps.get(channel, 0)
        if alive:
            kept.append((time_ps, channel))
        if alive or extended:
            last[channel] = time_ps
    return kept


@given(
    sorted_stream,
    st.dictionaries(st.integers(1, 4), st.sampled_from([0, 1, 5, 20, 2**62])),
    st.booleans(),
    cuts,
)
def test_dead_time_is_the_reference_for_any_chunks(tags, dead_ps, extended, cuts):
    dead_time = DeadTime(dead_ps, extended=extended)
    expected = after_dead_time(listed(tags), dead_ps, extended)
    assert fed(dead_time, tags, cuts) == expected
    assert dead_time.vetoed == len(tags[0]) - len(expected)


@given(sorted_stream, st.integers(0, 20), st.integers(0, 20), cuts)
def test_marker_gates_are_the_reference_for_any_chunks(tags, delay_ps, length_ps, cuts):
    pairs = listed(tags)
    expected = [
        (t, c)
        for k, (t, c) in enumerate(pairs)
        if c == 1 or any(d == 1 and delay_ps <= t - m < delay_ps + length_ps for m, d in pairs[:k])
    ]
    assert fed(MarkerGate(1, delay_ps, length_ps), tags, cuts) == expected


@given(any_stream, st.booleans(), cuts)
def test_open_and_close_gates_are_the_reference_for_any_chunks(tags, is_open, cuts):
    expected, now = [], is_open
    for time_ps, channel in listed(tags):
        if now or channel in (1, 2):
            expected.append((time_ps, channel))
        now = (now or channel == 1) and channel != 2
    gate = OpenCloseGate(1, 2, is_open=is_open)
    assert fed(gate, tags, cuts) == expected
    assert gate.is_open == now


@given(any_stream, st.dictionaries(st.integers(1, 4), st.integers(0, 4)), cuts)
def test_down_selection_is_the_reference_for_any_chunks(tags, one_in, cuts):
    seen, expected = {}, []
    for time_ps, channel in listed(tags):
        count = seen.get(channel, 0)
        seen[channel] = count + 1
        if one_in.get(channel, 0) and count % one_in[channel] == 0:
            expected.append((time_ps, channel))
    assert fed(DownSelect(one_in), tags, cuts) == expected


@given(any_stream, st.data())
def test_select_is_boolean_indexing(tags, data):
    n = len(tags[0])
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    time_ps, channel = select_tags(*tags, keep)
    assert time_ps.tolist() == tags[0][keep].tolist()
    assert channel.tolist() == tags[1][keep].tolist()


def test_markers_that_no_gate_needs_any_more_are_let_go():
    markers = np.arange(0, 10_000, 10)
    ones = np.ones(len(markers), np.uint8)
    _, left = gate_after_marker(markers, ones, 1, 50, 5, np.empty(0, np.int64))
    assert len(left) <= 7


def with_steps_back(steps, behind_ps):
    """A stream in order, and as a tagger delivers it: that many tags late by up to `behind_ps`."""
    random = np.random.default_rng(173)
    times = np.cumsum(random.integers(500, 2000, 40_000))
    channels = random.integers(1, 3, len(times)).astype(np.uint8)
    order = np.arange(len(times))
    for at in np.sort(random.choice(np.arange(20, len(times), 20), steps, replace=False)):
        moved = int(random.integers(1, 9))
        while moved > 1 and times[at] - times[at - moved] > behind_ps:
            moved -= 1
        order[at - moved : at + 1] = np.roll(order[at - moved : at + 1], -1)
    return (times, channels), (times[order], channels[order])


@pytest.mark.parametrize("cuts", [(), tuple(range(7, 40_000, 977))])
def test_a_recording_with_173_steps_back_is_repaired_and_never_miscounted(cuts):
    # As in a public quTAG recording, which is not at hand: steps back, each within a bound.
    (times, channels), delivered = with_steps_back(173, 16_000)
    a, b = (times[channels == c] for c in (1, 2))
    expected = count_pairs(a, b, -3000, 3000)
    out_of_order = [delivered[0][delivered[1] == c] for c in (1, 2)]
    with pytest.raises(ValueError, match=r"\[\d+\] = .* lies before"):
        count_pairs(*out_of_order, -3000, 3000)
    counter = FoldCounter([1, 2], -3000, 3000)
    with pytest.raises(ValueError, match=r"times\[\d+\] = .* lies before"):
        counter.push(*delivered)
    for threads in (1, 2):
        repair = OrderRepair(16_000, threads=threads)
        counter = FoldCounter([1, 2], -3000, 3000)
        for piece in cut_up(delivered, list(cuts)):
            counter.push(*repair.feed(*piece))
        counter.push(*repair.finish())
        assert (repair.steps_back, repair.late, repair.first_late) == (173, 0, -1)
        assert 0 < repair.worst_ps <= 16_000
        assert counter.pairs[0, 1] == expected
    # With too small a bound some are late: told, counted, left out, and nothing is miscounted.
    repair = OrderRepair(2000)
    left = fed(repair, delivered, cuts)
    assert 0 < repair.late <= 173
    assert repair.steps_back == 173
    assert len(left) == len(times) - repair.late
    kept = in_order(left)
    counter = FoldCounter([1, 2], -3000, 3000)
    counter.push(*kept)
    a, b = (kept[0][kept[1] == c] for c in (1, 2))
    assert counter.pairs[0, 1] == count_pairs(a, b, -3000, 3000) < expected
    assert delivered[0][repair.first_late] < delivered[0][: repair.first_late].max() - 2000


T, C = stream([(1, 1), (5, 2), (3, 1)])
TABLE = by_channel({})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: merge_two(T, C, T[:0], C[:0]), r"time_a_ps\[2\] = 3 ps lies before"),
        (lambda: merge_two(T[:1], C[:1], T, C), r"time_b_ps\[2\] = 3 ps lies before"),
        (lambda: merge_two(T[:2], C, T[:1], C[:1]), "2 times and 3 channels in a"),
        (lambda: merge_two(T[::2], C[:2], T[:1], C[:1]), "time_a_ps is not contiguous"),
        (lambda: merge_two(T[:2], C[:2].astype(int), T[:1], C[:1]), "channel_a has dtype int64"),
        (lambda: find_disorder(T, -1), "bound_ps is -1"),
        (lambda: find_disorder(np.array([0, 2**62]), 1), r"time_ps\[1\] = 4611686018427387904"),
        (lambda: find_disorder(T, 1, 2**62), "previous_ps"),
        (lambda: delay_channels(T, C, TABLE[:9].copy()), "delay_ps has 9 entries, expected 256"),
        (lambda: delay_channels(T, C, TABLE + (2**63 - 1)), "beyond"),
        (lambda: delay_channels(T, C[:1], TABLE), "3 times and 1 channels"),
        (lambda: veto_after_clicks(T, C, TABLE, TABLE), r"time_ps\[2\] = 3 ps lies before"),
        (lambda: veto_after_clicks(T[:2], C[:2], TABLE - 1, TABLE), "holds -1 ps"),
        (lambda: gate_after_marker(T[:2], C[:2], 1, -1, 5, T[:0]), "delay -1 ps"),
        (lambda: gate_after_marker(T[:2], C[:2], 256, 1, 5, T[:0]), "channel 256"),
        (lambda: gate_after_marker(T[:2], C[:2], 1, 1, 5, T), r"markers_ps\[2\]"),
        (lambda: gate_between_markers(T, C, 1, 1), "channels 1 and 1"),
        (lambda: keep_one_in(C, TABLE - 1, TABLE), "negative divisor"),
        (lambda: select_tags(T, C, np.ones(2, bool)), "2 marks in keep for 3 tags"),
        (lambda: select_tags(T, C, np.ones(3, np.uint8)), "keep has dtype uint8, expected bool"),
        (lambda: by_channel({256: 1}), "channel 256"),
        (lambda: merge([(T, C), (T, C)]), "must ascend"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_never_lies_before_every_time():
    assert NEVER_PS < -EDGE
