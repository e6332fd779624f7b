"""Bytes of a TDC1 stream to batches: turns, disorder, any cut of the stream, and lost bytes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.taggers.tdc1_words import LSB_PS, TURN, WordStream
from timing.tags import TagBatch

MARKER = 0x10
MARKER_TICKS = TURN // 2


def recording(
    rate_hz: float, ticks: int, seed: int = 1, start: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ticks and low bits of words, tags and markers, and the ticks of the tags alone."""
    rng = np.random.default_rng(seed)
    tags = np.unique(rng.integers(start, start + ticks, rng.poisson(rate_hz * ticks * 2e-9)))
    markers = np.arange(start, start + ticks, MARKER_TICKS)
    tags = np.setdiff1d(tags, markers)
    all_ticks = np.concatenate((tags, markers))
    low = np.concatenate((1 << rng.integers(0, 4, len(tags)), np.full(len(markers), MARKER)))
    order = np.argsort(all_ticks)
    return all_ticks[order], low[order], tags


def to_bytes(ticks: np.ndarray, low: np.ndarray) -> bytes:
    return ((ticks % TURN) << 5 | low).astype("<u4").tobytes()


def play(
    data: bytes, ticks: np.ndarray, chunk_s: float = 0.05
) -> tuple[WordStream, list[TagBatch]]:
    """Feed the bytes as they would come in time, if none were lost."""
    stream, batches, at = WordStream(), [], 0
    chunk = round(chunk_s * 1e12 / LSB_PS)
    for end in range(int(ticks[0]) + chunk, int(ticks[-1]) + 2 * chunk, chunk):
        stop = 4 * int(np.searchsorted(ticks, end))
        if (batch := stream.feed(data[at:stop], chunk_s)) is not None:
            batches.append(batch)
        at = max(at, stop)
    for _ in range(30):  # a silent second at last
        if (batch := stream.feed(b"", chunk_s)) is not None:
            batches.append(batch)
    return stream, batches


def check(batches: list[TagBatch]) -> None:
    for batch in batches:
        assert (np.diff(batch.time_ps) >= 0).all()
        if len(batch):
            assert batch.start_ps <= batch.time_ps[0]
            assert batch.time_ps[-1] < batch.stop_ps
    for before, after in pairwise(batches):
        assert before.stop_ps == after.start_ps


def all_times(batches: list[TagBatch]) -> np.ndarray:
    return np.concatenate([batch.time_ps for batch in batches])


@pytest.mark.parametrize("rate_hz", [0, 3, 200, 20_000])
@pytest.mark.parametrize("start", [0, TURN - 1000])
def test_times_are_unwrapped_at_any_rate(rate_hz: float, start: int) -> None:
    ticks, low, tags = recording(rate_hz, 5 * TURN, start=start)
    stream, batches = play(to_bytes(ticks, low), ticks)
    check(batches)
    offset = (int(ticks[0]) - int(ticks[0]) % TURN) * LSB_PS
    np.testing.assert_array_equal(all_times(batches), tags * LSB_PS - offset)
    assert batches[0].start_ps == int(ticks[0]) % TURN * LSB_PS
    assert batches[-1].stop_ps == (int(ticks[-1]) + 1) * LSB_PS - offset
    assert not any(batch.lost for batch in batches)
    assert stream.slips == 0


def test_a_marker_each_full_turn_keeps_count_of_the_turns() -> None:
    at = 50_000
    ticks = np.array([at, at + TURN, at + 2 * TURN, at + 3 * TURN, 5 + 4 * TURN])
    low = np.array([MARKER, MARKER, MARKER, MARKER, 2])
    data = to_bytes(ticks, low)
    for chunk_s in (0.05, 2.0):
        _, batches = play(data, ticks, chunk_s)
        assert all_times(batches).tolist() == [(5 + 4 * TURN) * LSB_PS]
        assert batches[-1].stop_ps == (6 + 4 * TURN) * LSB_PS


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 700), max_size=30), st.integers(0, 5))
def test_the_tags_do_not_depend_on_how_the_bytes_are_cut(cuts: list[int], seed: int) -> None:
    ticks, low, tags = recording(2000, TURN, seed)
    data = to_bytes(ticks, low)
    stream, batches, at = WordStream(), [], 0
    for size in [*cuts, len(data), 0]:
        if (batch := stream.feed(data[at : at + size], 1.0)) is not None:
            batches.append(batch)
        at += size
    check(batches)
    np.testing.assert_array_equal(all_times(batches), tags * LSB_PS)


def test_equal_and_slightly_disordered_words_are_sorted() -> None:
    ticks = np.array([TURN - 30, 1000 + TURN, 700 + TURN, 1000 + TURN, 1001 + TURN, TURN * 2 - 1])
    low = np.array([1, 2, 4, 8, 1, MARKER])
    stream = WordStream()
    batch = stream.feed(to_bytes(ticks, low), 1.0)
    assert batch is not None
    check([batch])
    assert (batch.time_ps // LSB_PS - TURN).tolist() == [-30, 700, 1000, 1000, 1001]
    assert batch.channel.tolist() == [1, 3, 2, 4, 1]
    assert not batch.lost


def test_a_tag_too_late_for_its_batch_is_counted_as_lost() -> None:
    stream = WordStream()
    first = stream.feed(to_bytes(np.array([100, 5000]), np.array([1, 1])), 0.05)
    second = stream.feed(to_bytes(np.array([4900, 6000]), np.array([1, 2])), 0.05)
    assert first is not None
    assert second is not None
    check([first, second])
    assert second.time_ps.tolist() == [6000 * LSB_PS]
    assert second.lost
    assert second.lost_tags == 1


@settings(max_examples=60, deadline=None)
@given(
    slip=st.integers(1, 3),
    where=st.floats(0.1, 0.9),
    inside=st.integers(0, 3),
    rate_hz=st.sampled_from([200, 2000, 20_000]),
    seed=st.integers(0, 9),
)
@example(slip=1, where=1 / 3, inside=0, rate_hz=2000, seed=5)  # feigns a turn
def test_lost_bytes_are_found_told_and_the_time_goes_on(
    slip: int, where: float, inside: int, rate_hz: float, seed: int
) -> None:
    ticks, low, tags = recording(rate_hz, 4 * TURN, seed)
    data = to_bytes(ticks, low)
    at = 4 * int(where * len(ticks)) + inside
    stream, batches = play(data[:at] + data[at + slip :], ticks)
    check(batches)
    assert stream.slips >= 1
    assert any(batch.lost for batch in batches)
    got, true = all_times(batches), tags * LSB_PS
    slip_ps = int(ticks[at // 4]) * LSB_PS
    before = true[true < slip_ps]
    np.testing.assert_array_equal(got[: len(before)][:-2], before[:-2])
    if rate_hz >= 2000:
        # At low rates a word out of step may be taken for one before it can be known; at any rate
        # such a word may feign one turn of the counter, which only synchronisation can tell.
        turn_ps = TURN * LSB_PS
        assert len(np.setdiff1d(true % turn_ps, got % turn_ps)) <= 16
        assert len(np.setdiff1d(got % turn_ps, true % turn_ps)) <= 16


def test_two_slips_in_one_chunk_are_both_repaired() -> None:
    ticks, low, tags = recording(20_000, TURN // 2)
    data = to_bytes(ticks, low)
    a, b = 4 * 700 + 1, 4 * 1100
    stream, batches = play(data[:a] + data[a + 1 : b] + data[b + 2 :], ticks, chunk_s=0.3)
    check(batches)
    assert stream.slips == 2
    assert len(np.setdiff1d(tags * LSB_PS, all_times(batches))) <= 6


def test_a_burst_that_waited_in_a_buffer_is_no_slip() -> None:
    ticks, low, tags = recording(3000, 20 * TURN)
    stream = WordStream()
    batch = stream.feed(to_bytes(ticks, low), 0.05)
    assert batch is not None
    assert stream.slips == 0
    assert not batch.lost
    np.testing.assert_array_equal(batch.time_ps, tags * LSB_PS)


def test_markers_alone_out_of_step_are_brought_back() -> None:
    ticks = np.arange(0, 40) * MARKER_TICKS
    data = to_bytes(ticks, np.full(len(ticks), MARKER))
    stream, batches = play(data[:41] + data[42:], ticks)
    check(batches)
    assert stream.slips >= 1
    assert sum(len(batch) for batch in batches) == 0
