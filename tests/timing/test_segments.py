"""Recorded segments: what was written whole is read whole, and what is torn is told."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timing.segments import (
    Damage,
    SegmentError,
    SegmentHead,
    SegmentWriter,
    StoredBatch,
    read_segment,
    read_stream,
    streams_in,
)
from timing.tags import TagBatch

HEAD = SegmentHead(1.7e9, 10, (1, 2, 3), node="alice", instrument="tagger", identity="a box")

times = st.integers(-(2**50), 2**50)
batches = st.builds(
    lambda tags, start, span, overflow, lost: TagBatch(
        np.array([t for t, _ in tags], np.int64),
        np.array([c for _, c in tags], np.uint8),
        start,
        start + span,
        overflow,
        lost > 0,
        lost,
    ),
    st.lists(st.tuples(times, st.integers(0, 255)), max_size=40),
    times,
    st.integers(0, 2**40),
    st.booleans(),
    st.integers(0, 3),
)


def batch(k: int, tags: int = 50) -> TagBatch:
    rng = np.random.default_rng(k)
    time_ps = k * 10**11 + np.sort(rng.integers(0, 10**11, tags))
    return TagBatch(
        time_ps, rng.integers(1, 4, tags).astype(np.uint8), k * 10**11, (k + 1) * 10**11
    )


def same(one: StoredBatch, other: StoredBatch) -> bool:
    a, b = one.batch, other.batch
    return (
        np.array_equal(a.time_ps, b.time_ps)
        and np.array_equal(a.channel, b.channel)
        and (a.start_ps, a.stop_ps, a.overflow, a.lost, a.lost_tags)
        == (b.start_ps, b.stop_ps, b.overflow, b.lost, b.lost_tags)
        and (one.sequence, one.after_ns, one.missed)
        == (other.sequence, other.after_ns, other.missed)
    )


def write(folder: Path, stored: list[StoredBatch], **options: Any) -> list[Path]:
    writer = SegmentWriter(folder, HEAD, **options)
    for each in stored:
        writer.write(each)
    writer.close()
    return sorted(folder.iterdir())


@given(st.lists(batches, min_size=1, max_size=6), st.data())
@settings(deadline=None)
def test_wherever_a_writer_is_cut_all_whole_frames_are_read_and_the_rest_is_told(
    given_batches: list[TagBatch], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored = [StoredBatch(k, k * 1000, each) for k, each in enumerate(given_batches)]
        sizes = []
        writer = SegmentWriter(folder, HEAD)
        for each in stored:
            writer.write(each)
            sizes.append(writer.bytes)
        (path,) = folder.iterdir()
        whole = path.read_bytes()
        writer.close()
        first = read_segment(path).frames_at
        cut = data.draw(st.integers(first, len(whole)))
        path.write_bytes(whole[:cut])
        segment = read_segment(path)
        read = list(segment)
        good = sum(size <= cut for size in sizes)
        assert len(read) == good
        assert all(map(same, read, stored))
        assert not segment.ended
        last = max([size for size in sizes if size <= cut], default=first)
        assert [(d.at_byte, d.size, d.torn) for d in segment.damage] == (
            [(last, cut - last, True)] if cut > last else []
        )


@given(st.lists(batches, min_size=2, max_size=5), st.data())
@settings(deadline=None)
def test_a_changed_byte_costs_at_most_its_own_batch(
    given_batches: list[TagBatch], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored = [StoredBatch(k, k * 1000, each) for k, each in enumerate(given_batches)]
        (path,) = write(folder, stored)
        whole = bytearray(path.read_bytes())
        at = data.draw(st.integers(read_segment(path).frames_at, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        (stream,) = streams_in(folder)
        damage: list[Damage] = []
        read = list(read_stream(stream, lambda _, found: damage.append(found)))
        assert damage
        left = [each.sequence for each in read]
        assert len(left) >= len(stored) - 1
        for each in read:
            if not each.missed:
                assert same(each, stored[each.sequence])
            else:
                assert each.missed == 1
                assert each.batch.lost


def test_a_stream_goes_on_in_the_next_segment_by_size_and_by_time(tmp_path: Path) -> None:
    stored = [StoredBatch(k, k * 10**9, batch(k)) for k in range(10)]
    assert len(write(tmp_path / "size", stored, segment_bytes=500)) > 3
    assert len(write(tmp_path / "time", stored, segment_s=5.0)) == 2
    for name in ("size", "time"):
        (stream,) = streams_in(tmp_path / name)
        assert all(map(same, read_stream(stream), stored))
        heads = [read_segment(path).head for path in stream.segments]
        assert [head.number for head in heads] == list(range(1, len(heads) + 1))
        assert {head.stream for head in heads} == {1}
        assert stream.head().identity == "a box"


def test_every_start_is_a_stream_of_its_own_also_beside_another_recorder(tmp_path: Path) -> None:
    one, other = SegmentWriter(tmp_path, HEAD), SegmentWriter(tmp_path, HEAD)
    one.write(StoredBatch(0, 0, batch(0)))
    other.write(StoredBatch(0, 0, batch(1)))
    one.close()
    other.close()
    assert [stream.number for stream in streams_in(tmp_path)] == [1, 2]


def test_batches_that_were_dropped_are_missed_in_the_stream(tmp_path: Path) -> None:
    write(tmp_path, [StoredBatch(k, k, batch(k)) for k in (0, 1, 5, 6)])
    (stream,) = streams_in(tmp_path)
    read = list(read_stream(stream))
    assert [(each.sequence, each.missed, each.batch.lost) for each in read] == [
        (0, 0, False),
        (1, 0, False),
        (5, 3, True),
        (6, 0, False),
    ]


def test_a_full_disk_leaves_only_whole_frames_and_writing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, room = os.write, [900]

    def write_some(file: int, data: Any) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(file, memoryview(data)[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write_some)
    writer = SegmentWriter(tmp_path, HEAD)
    refused = []
    for k in range(20):
        try:
            writer.write(StoredBatch(k, k, batch(k)))
        except OSError:
            refused.append(k)
            if len(refused) == 3:
                room[0] = 10**9
    writer.close()
    (stream,) = streams_in(tmp_path)
    damage: list[Damage] = []
    read = list(read_stream(stream, lambda _, found: damage.append(found)))
    assert [each.sequence for each in read] == [k for k in range(20) if k not in refused]
    assert refused
    assert not damage


@pytest.mark.parametrize("content", [b"", b"QTS1", b"something else altogether", b"\0" * 100])
def test_what_is_no_segment_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "000001-0001.tags"
    path.write_bytes(content)
    with pytest.raises(SegmentError, match="expected a segment"):
        read_segment(path)


def test_a_head_that_is_cut_costs_its_segment_and_is_told(tmp_path: Path) -> None:
    first, second = write(
        tmp_path, [StoredBatch(k, k, batch(k)) for k in range(2)], segment_bytes=1
    )
    second.write_bytes(second.read_bytes()[:20])
    (stream,) = streams_in(tmp_path)
    told: list[tuple[Path, Damage]] = []
    assert [each.sequence for each in read_stream(stream, lambda *each: told.append(each))] == [0]
    assert [(path, damage.size, damage.torn) for path, damage in told] == [(second, 20, True)]
    assert read_segment(first).path == first
