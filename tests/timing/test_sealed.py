"""Sealed segments: nothing is lost on the way into HDF5, and others can read it."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timing.test_segments import HEAD, batch, batches, same
from timing.recordings import NotATagFile, RecordingUnreadable, open_recording
from timing.segments import SegmentError, SegmentWriter, StoredBatch, read_stream, streams_in
from timing.segments.sealed import SealedSegment, seal
from timing.tags import TagBatch

h5py = pytest.importorskip("h5py")


def write(folder: Path, stored: list[StoredBatch], segment_bytes: int = 10**9) -> list[Path]:
    writer = SegmentWriter(folder, HEAD, segment_bytes=segment_bytes)
    for each in stored:
        writer.write(each)
    writer.close()
    return sorted(folder.iterdir())


@given(st.lists(batches, min_size=1, max_size=5))
@settings(deadline=None, max_examples=40)
def test_a_sealed_segment_is_the_segment(given_batches: list[TagBatch]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stored = [StoredBatch(k, k * 1000, each) for k, each in enumerate(given_batches)]
        (path,) = write(folder, stored)
        sealed = seal(path)
        assert sorted(folder.iterdir()) == [sealed]
        (stream,) = streams_in(folder)
        read = list(read_stream(stream))
        assert len(read) == len(stored)
        assert all(map(same, read, stored))
        assert stream.head() == SealedSegment(sealed).head()
        assert stream.head().identity == "a box"


def test_a_stream_may_be_sealed_in_part_and_is_read_and_continued_all_the_same(
    tmp_path: Path,
) -> None:
    stored = [StoredBatch(k, k, batch(k)) for k in range(6)]
    paths = write(tmp_path, stored, segment_bytes=1)
    for path in (paths[0], paths[3]):
        seal(path)
    (stream,) = streams_in(tmp_path)
    assert all(map(same, read_stream(stream), stored))
    recording = open_recording(tmp_path)
    assert len(recording) == 300
    assert recording.gaps == 0
    assert len(open_recording(tmp_path / "000001-0001.h5")) == 50
    SegmentWriter(tmp_path, HEAD).write(stored[0])
    assert [each.number for each in streams_in(tmp_path)] == [1, 2]


def test_xarray_reads_whole_picoseconds(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    far = TagBatch(
        np.array([2**60 + 1, 2**60 + 3], np.int64), np.array([1, 2], np.uint8), 2**60, 2**60 + 9
    )
    (path,) = write(tmp_path, [StoredBatch(0, 5, far)])
    with xarray.open_dataset(seal(path), engine="h5netcdf") as data:
        assert data.sizes == {"tag": 2, "batch": 1}
        assert data.time_ps.dtype == np.int64
        assert data.time_ps.values.tolist() == [2**60 + 1, 2**60 + 3]
        assert data.channel.values.tolist() == [1, 2]
        assert data.time_ps.attrs["units"] == "ps"
        assert data.batch_start_ps.values.tolist() == [2**60]


def test_a_torn_end_is_told_of_the_sealed_segment_too(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [StoredBatch(k, k, batch(k)) for k in range(3)])
    path.write_bytes(path.read_bytes()[:-100])
    sealed = seal(path)
    assert [each.torn for each in SealedSegment(sealed).damage] == [True]
    (stream,) = streams_in(tmp_path)
    told: list[Path] = []
    assert len(list(read_stream(stream, lambda where, _: told.append(where)))) == 2
    assert told == [sealed]


def test_a_damaged_segment_stays_as_it_is(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [StoredBatch(k, k, batch(k)) for k in range(3)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(SegmentError):
        seal(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == data


def test_wherever_sealing_was_cut_off_the_segment_is_there_once(tmp_path: Path) -> None:
    stored = [StoredBatch(k, k, batch(k)) for k in range(3)]
    (path,) = write(tmp_path, stored)
    raw = path.read_bytes()
    path.with_suffix(".part").write_bytes(b"\x89HDF half")
    assert all(map(same, read_stream(streams_in(tmp_path)[0]), stored))
    seal(path)
    path.write_bytes(raw)  # as if it had not come to removing it
    (stream,) = streams_in(tmp_path)
    read = list(read_stream(stream))
    assert len(read) == 3
    assert seal(path).is_file()
    assert len(list(read_stream(streams_in(tmp_path)[0]))) == 3


def test_another_hdf5_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "000001-0001.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1, 2]
    with pytest.raises(NotATagFile, match="HDF5"):
        open_recording(path)


def test_more_than_memory_holds_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [StoredBatch(k, k, batch(k)) for k in range(3)], segment_bytes=1)
    monkeypatch.setattr("timing.recordings.segments.MOST_TAGS", 100)
    with pytest.raises(RecordingUnreadable, match=r"000001-0001\.tags"):
        open_recording(tmp_path)
    assert len(open_recording(tmp_path / "000001-0001.tags")) == 50
