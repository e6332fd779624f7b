from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.decode import decode_id900, decode_picoquant_t2, decode_tdc1, decode_tdc2

words_1 = st.lists(
    st.tuples(st.integers(0, 2**27 - 1), st.integers(0, 31)).map(lambda w: w[0] << 5 | w[1]),
    max_size=40,
).map(lambda v: np.array(v, np.uint32))
events_2 = st.lists(
    st.tuples(st.integers(0, 2**54 - 1), st.integers(0, 31)).map(lambda e: e[0] << 10 | e[1]),
    max_size=40,
)
cuts = st.lists(st.integers(0, 80), max_size=5).map(sorted)


def tdc1_reference(words):
    turns = last = 0
    tags = []
    for word in map(int, words):
        raw = word >> 5
        turns += raw < last
        last = raw
        if not word & 16:
            time_ps = (turns * 2**27 + raw) * 2000
            tags += [(time_ps, channel) for channel in (1, 2, 3, 4) if word >> (channel - 1) & 1]
    return tags


@given(words_1)
def test_tdc1_is_the_reference(words):
    time_ps, channel, _, _ = decode_tdc1(words)
    assert time_ps.dtype == np.int64
    assert channel.dtype == np.uint8
    assert list(zip(time_ps.tolist(), channel.tolist(), strict=True)) == tdc1_reference(words)


@given(words_1, cuts)
def test_tdc1_does_not_depend_on_the_chunks(words, cuts):
    whole = decode_tdc1(words)
    wraps = last_raw = 0
    parts = []
    for chunk in np.split(words, cuts):
        *tags, wraps, last_raw = decode_tdc1(chunk, wraps, last_raw)
        parts.append(tags)
    assert np.concatenate([p[0] for p in parts]).tolist() == whole[0].tolist()
    assert np.concatenate([p[1] for p in parts]).tolist() == whole[1].tolist()
    assert (wraps, last_raw) == whole[2:]


def test_tdc1_markers_keep_the_wraps_of_a_dark_device():
    turn = 2**27
    words = [(turn - 1) << 5 | 1, 5 << 5 | 16, 3 << 5 | 16, 4 << 5 | 8]
    time_ps, channel, wraps, last_raw = decode_tdc1(np.array(words, np.uint32))
    assert time_ps.tolist() == [(turn - 1) * 2000, (2 * turn + 4) * 2000]
    assert channel.tolist() == [1, 4]
    assert (wraps, last_raw) == (2, 4)


def as_words(events, high_first):
    pairs = [(e >> 32, e & 0xFFFFFFFF) if high_first else (e & 0xFFFFFFFF, e >> 32) for e in events]
    return np.array(pairs, np.uint32).reshape(-1)


def tdc2_reference(events):
    tags, markers, ticks = [], 0, None
    for event in events:
        raw = event >> 10
        if ticks is None:
            ticks = raw
        else:
            ticks += (raw - ticks + 2**53) % 2**54 - 2**53
        if event & 16:
            markers += 1
            continue
        # Exact half picoseconds go up.
        time_ps = (Fraction(ticks * 1000, 256) + Fraction(1, 2)).__floor__()
        tags += [(time_ps, channel) for channel in (1, 2, 3, 4) if event >> (channel - 1) & 1]
    return tags, markers


@given(events_2, st.booleans())
def test_tdc2_is_the_reference(events, high_first):
    time_ps, channel, markers, _ = decode_tdc2(as_words(events, high_first), high_first)
    tags = list(zip(time_ps.tolist(), channel.tolist(), strict=True))
    assert (tags, markers) == tdc2_reference(events)


@given(events_2, cuts)
def test_tdc2_does_not_depend_on_the_chunks(events, cuts):
    words = as_words(events, False)
    whole = decode_tdc2(words)
    last_ticks, markers, times, channels = None, 0, [], []
    for chunk in np.split(words, [2 * cut for cut in cuts]):
        time_ps, channel, count, last_ticks = decode_tdc2(chunk, False, last_ticks)
        times += time_ps.tolist()
        channels += channel.tolist()
        markers += count
    assert times == whole[0].tolist()
    assert channels == whole[1].tolist()
    assert (markers, last_ticks) == whole[2:]


def test_tdc2_goes_on_through_the_54_bit_turn_and_keeps_a_step_back():
    events = [(2**54 - 32) << 10 | 1, 32 << 10 | 2, (2**54 - 64) << 10 | 4]
    time_ps, channel, _, _ = decode_tdc2(as_words(events, False))
    turn_ps = 2**54 * 125 // 32
    assert time_ps.tolist() == [turn_ps - 125, turn_ps + 125, turn_ps - 250]
    assert channel.tolist() == [1, 2, 3]


def special(source, field):
    return 1 << 31 | source << 25 | field


def test_picoquant_records_by_kind():
    records = np.array(
        [3 << 25 | 100, special(63, 2), special(0, 7), special(63, 0), special(5, 9), 8], np.uint32
    )
    time_ps, channel, marker_ps, marker, overflows, ticks = decode_picoquant_t2(records, 4)
    assert time_ps.tolist() == [400, 4 * (2 * 2**25 + 7), 4 * (3 * 2**25 + 8)]
    assert channel.tolist() == [4, 0, 1]
    assert marker_ps.tolist() == [4 * (3 * 2**25 + 9)]
    assert marker.tolist() == [5]
    assert (overflows, ticks) == (3, 3 * 2**25)


def test_hydraharp_1_counts_one_short_turn_a_record():
    records = np.array([special(63, 2), special(63, 0), 1], np.uint32)
    time_ps, _, _, _, overflows, _ = decode_picoquant_t2(records, 1, "hydraharp1")
    assert time_ps.tolist() == [2 * 33552000 + 1]
    assert overflows == 2


records_t2 = st.lists(st.integers(0, 2**32 - 1), max_size=40).map(lambda v: np.array(v, np.uint32))


@given(records_t2, cuts, st.sampled_from(["picoharp", "hydraharp1", "generic"]))
def test_picoquant_does_not_depend_on_the_chunks(records, cuts, variant):
    whole = decode_picoquant_t2(records, 2, variant)
    ticks = total = 0
    parts = []
    for chunk in np.split(records, cuts):
        *arrays, overflows, ticks = decode_picoquant_t2(chunk, 2, variant, ticks)
        parts.append(arrays)
        total += overflows
    for k in range(4):
        assert np.concatenate([p[k] for p in parts]).tolist() == whole[k].tolist()
    assert (total, ticks) == whole[4:]


def test_times_beyond_the_range_are_refused_not_wrapped():
    records = np.full(200, special(63, 2**25 - 1), np.uint32)
    with pytest.raises(ValueError, match=r"overflow record \d+ brings the time beyond"):
        decode_picoquant_t2(records, 1000)


def test_tdc1_and_tdc2_beyond_the_range_are_refused_not_wrapped():
    words = np.array([5 << 5 | 1, 4 << 5 | 1], np.uint32)
    with pytest.raises(ValueError, match="word 1 brings the time beyond"):
        decode_tdc1(words, 17179869)
    forward = as_words([(k * (2**53 - 1) % 2**54) << 10 | 1 for k in range(300)], False)
    with pytest.raises(ValueError, match=r"event \d+ brings the time beyond"):
        decode_tdc2(forward)


tags_900 = st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**20)), max_size=40).map(
    lambda v: np.array(v, np.uint64).reshape(-1, 2)
)


@given(tags_900, st.integers(0, 2**40), st.integers(0, 2**20), st.integers(0, 255))
def test_id900_is_the_reference(tags, period_ps, index, number):
    expected = [int(t) + period_ps * int(k) for t, k in tags]
    time_ps, channel, last = decode_id900(tags.reshape(-1), number, period_ps, 3, True)
    assert time_ps.tolist() == expected
    assert channel.tolist() == [number] * len(tags)
    assert last == (int(tags[-1, 1]) if len(tags) else 3)
    words = np.ascontiguousarray(tags[:, 0])
    time_ps, _, last = decode_id900(words, number, period_ps, index)
    assert time_ps.tolist() == [int(t) + period_ps * index for t in words]
    assert last == index


@pytest.mark.parametrize("word", [2**62 - 99, 2**63, 2**64 - 1])
def test_id900_beyond_the_range_is_placed(word):
    with pytest.raises(ValueError, match=f"tag 1, {word} ps after reference 1 of 100 ps"):
        decode_id900(np.array([5, word], np.uint64), 1, 100, 1)
    with pytest.raises(ValueError, match="tag 0, 1 ps after reference"):
        decode_id900(np.array([1, word], np.uint64), 1, 100, 1, True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decode_tdc1(np.zeros(2, np.int32)), "words has dtype int32, expected uint32"),
        (lambda: decode_tdc1(np.zeros(2, np.uint32), -1), "wraps -1"),
        (lambda: decode_tdc1(np.zeros(2, np.uint32), 0, 2**27), "last_raw"),
        (lambda: decode_tdc2(np.zeros(3, np.uint32)), "3 words, expected two an event"),
        (lambda: decode_tdc2(np.zeros(8, np.uint32)[::2]), "not contiguous"),
        (lambda: decode_tdc1(np.zeros(2, np.uint32), 2**40), "wraps 1099511627776"),
        (lambda: decode_tdc2(np.zeros(2, np.uint32), False, 2**62), "last_ticks"),
        (lambda: decode_id900(np.zeros(2, np.int64), 1), "words has dtype int64, expected uint64"),
        (lambda: decode_id900(np.zeros(3, np.uint64), 1, 1, 0, True), "3 words, expected two"),
        (lambda: decode_id900(np.zeros(2, np.uint64), 256), "channel 256"),
        (lambda: decode_id900(np.zeros(2, np.uint64), 1, -1), "period -1 ps"),
        (lambda: decode_id900(np.zeros(2, np.uint64), 1, 2**40, 2**40), "reference_index"),
        (lambda: decode_picoquant_t2(np.zeros(2, np.uint32), 0), "resolution 0 ps"),
        (lambda: decode_picoquant_t2(np.zeros(2, np.uint32), 1, "t3"), "unknown variant 't3'"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
