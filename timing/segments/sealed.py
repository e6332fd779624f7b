"""Sealed segments: HDF5 in the form of netCDF-4, for the programs of others.

`time_ps` and `channel` over the dimension `tag`; `batch_...` over the dimension `batch`. What a
segment says of itself is in the attributes of the file. Needs h5py.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from timing.segments.frame import Damage, SegmentError, SegmentHead, StoredBatch
from timing.segments.reader import Segment, read_segment
from timing.tags import TagBatch

if TYPE_CHECKING:
    import h5py

SEALED = ".h5"
UNFINISHED = ".part"

BATCH_COLUMNS = {
    "tags": ("1", "tags in this batch"),
    "sequence": ("1", "number of the batch in its stream"),
    "after_ns": ("ns", "when the batch came, after the stream was asked for"),
    "start_ps": ("ps", "start of the span of the batch, on the tagger's timescale"),
    "stop_ps": ("ps", "end of the span of the batch, on the tagger's timescale"),
    "overflow": ("1", "the instrument's buffer overflowed in this span"),
    "lost": ("1", "tags are missing before or in this batch"),
    "lost_tags": ("1", "how many, where the instrument counts them"),
}
"""Unit and meaning of each variable `batch_...`."""

_CHUNK = 1 << 16


def seal(path: Path) -> Path:
    """Write a segment that is closed as HDF5, check it against the segment, and remove that.

    A crash at any moment leaves at least one of the two whole. Raises SegmentError for a segment
    that is damaged other than at its end: that one is kept as it is. Raises OSError, ImportError.
    """
    import h5py

    segment = read_segment(path)
    columns = _columns(segment)
    damaged = [each for each in segment.damage if not each.torn]
    if damaged:
        raise SegmentError(path, damaged[0].found, at_byte=damaged[0].at_byte)
    sealed = path.with_suffix(SEALED)
    unfinished = path.with_suffix(UNFINISHED)
    with h5py.File(unfinished, "w", track_order=True) as file:
        _write(file, segment, columns)
    with unfinished.open("rb+") as written:
        os.fsync(written.fileno())
    both = itertools.zip_longest(SealedSegment(unfinished), segment)
    if not all(_same(one, other) for one, other in both):
        unfinished.unlink()
        raise OSError(f"{sealed} does not read back as it was written")
    shutil.copystat(path, unfinished)  # its age counts for what is kept, its mode for who reads it
    unfinished.rename(sealed)
    path.unlink()
    return sealed


@dataclass(slots=True)
class SealedSegment:
    """A sealed segment, read as the one it was; raises SegmentError and OSError."""

    path: Path

    def head(self) -> SegmentHead:
        """What it says of itself."""
        with _opened(self.path) as file:
            return _head(self.path, file)

    @property
    def damage(self) -> list[Damage]:
        """The torn end that the segment had when it was sealed, if any."""
        with _opened(self.path) as file:
            return [Damage(**each) for each in json.loads(file.attrs["damage"])]

    def __iter__(self) -> Iterator[StoredBatch]:
        with _opened(self.path) as file:
            _head(self.path, file)
            columns = {name: file[f"batch_{name}"][:] for name in BATCH_COLUMNS}
            begin = 0
            for k, tags in enumerate(columns["tags"].tolist()):
                part = slice(begin, begin + tags)
                begin += tags
                batch = TagBatch(
                    file["time_ps"][part],
                    file["channel"][part],
                    int(columns["start_ps"][k]),
                    int(columns["stop_ps"][k]),
                    bool(columns["overflow"][k]),
                    bool(columns["lost"][k]),
                    int(columns["lost_tags"][k]),
                )
                yield StoredBatch(int(columns["sequence"][k]), int(columns["after_ns"][k]), batch)


def _opened(path: Path) -> h5py.File:
    try:
        import h5py
    except ImportError:
        raise SegmentError(
            path, "a sealed segment, and no h5py to read it (pip install 'qnodeos[hdf5]')"
        ) from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if not path.is_file():
            raise
        raise SegmentError(path, f"a file that HDF5 does not open: {error}") from None


def _head(path: Path, file: h5py.File) -> SegmentHead:
    try:
        fields: dict[str, Any] = json.loads(file.attrs["segment"])
        return SegmentHead(**{**fields, "channels": tuple(fields["channels"])})
    except (KeyError, ValueError, TypeError) as error:
        raise SegmentError(path, f"no sealed segment: {error}") from None


def _columns(segment: Segment) -> dict[str, list[int]]:
    """What `batch_...` hold, without the tags: a segment of them would take ten times its size."""
    columns: dict[str, list[int]] = {name: [] for name in BATCH_COLUMNS}
    for stored in segment:
        batch = stored.batch
        row = (
            len(batch),
            stored.sequence,
            stored.after_ns,
            batch.start_ps,
            batch.stop_ps,
            int(batch.overflow),
            int(batch.lost),
            batch.lost_tags,
        )
        for name, value in zip(BATCH_COLUMNS, row, strict=True):
            columns[name].append(value)
    return columns


def _write(file: h5py.File, segment: Segment, columns: dict[str, list[int]]) -> None:
    head = segment.head
    file.attrs["Conventions"] = "CF-1.11"
    file.attrs["title"] = f"Time tags of {head.instrument or 'a tagger'}, stream {head.stream}"
    file.attrs["source"] = head.identity or head.driver
    file.attrs["history"] = f"recorded by qnodeos {head.version}"
    file.attrs["segment"] = json.dumps(asdict(head))
    file.attrs["damage"] = json.dumps([asdict(each) for each in segment.damage])
    tags = sum(columns["tags"])
    _dimension(file, "tag", tags)
    _dimension(file, "batch", len(columns["tags"]))
    # No _FillValue: a reader that masks would turn the picoseconds into floats, which lose them.
    scale = f"time on the timescale of the {head.timescale}"
    time_ps = _variable(file, "time_ps", tags, "i8", "tag", "ps", scale)
    channel = _variable(file, "channel", tags, "u1", "tag", "1", "input channel of the tagger")
    end = 0
    for stored in segment:
        begin, end = end, end + len(stored.batch)
        if begin < end:
            time_ps[begin:end] = stored.batch.time_ps
            channel[begin:end] = stored.batch.channel
    for name, (unit, meaning) in BATCH_COLUMNS.items():
        size = len(columns[name])
        made = _variable(file, f"batch_{name}", size, "i8", "batch", unit, meaning)
        made[...] = np.array(columns[name], np.int64)


def _dimension(file: h5py.File, name: str, size: int) -> None:
    """A dimension without a coordinate, as netCDF-4 writes it into HDF5."""
    made = file.create_dataset(name, shape=(size,), dtype=">f4")
    made.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10d}")


def _variable(
    file: h5py.File, name: str, size: int, kind: str, dimension: str, unit: str, meaning: str
) -> h5py.Dataset:
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    options = {"chunks": (min(_CHUNK, size),), **packed} if size else {}
    made = file.create_dataset(name, shape=(size,), dtype=kind, **options)
    made.attrs["units"] = unit
    made.attrs["long_name"] = meaning
    made.dims[0].attach_scale(file[dimension])
    return made


def _same(one: StoredBatch | None, other: StoredBatch | None) -> bool:
    if one is None or other is None:
        return False
    a, b = one.batch, other.batch
    return (
        np.array_equal(a.time_ps, b.time_ps)
        and np.array_equal(a.channel, b.channel)
        and (one.sequence, one.after_ns, a.start_ps, a.stop_ps, a.overflow, a.lost, a.lost_tags)
        == (other.sequence, other.after_ns, b.start_ps, b.stop_ps, b.overflow, b.lost, b.lost_tags)
    )
