"""Reads a segment whatever became of its writer: every whole frame, and where there is none."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from timing.packed import PackedError, unpack_tags
from timing.segments.frame import (
    CHECKED_FROM,
    END,
    FRAME,
    HEAD,
    HEADER,
    LOST,
    MOST_HEAD_BYTES,
    OVERFLOW,
    Damage,
    SegmentHead,
    StoredBatch,
    read_head,
)
from timing.tags import TagBatch


@dataclass(slots=True)
class Segment:
    """One segment; going through it gives its batches and fills in the rest.

    `ended`: it was closed in order; else it is being written, or its writer was cut off. `damage`
    lists what could not be read.
    """

    path: Path
    head: SegmentHead
    data: bytes = field(repr=False)
    frames_at: int
    ended: bool = False
    damage: list[Damage] = field(default_factory=list)

    def __iter__(self) -> Iterator[StoredBatch]:
        self.ended, self.damage = False, []
        at = self.frames_at
        while at < len(self.data):
            end, stored = self._frame_at(at)
            if stored is not None:
                yield stored
            at = end

    def _frame_at(self, at: int) -> tuple[int, StoredBatch | None]:
        """Where the next frame may begin, and the batch between, if one is whole."""
        fields = self._header_at(at)
        if fields is None:
            return self._skip(at)
        size, tags, flags, sequence, start_ps, stop_ps, after_ns, lost_tags = fields
        end = at + HEADER.size + size
        if end > len(self.data):
            return self._unreadable(
                at, len(self.data), f"{len(self.data) - at} bytes of a frame of {end - at}", True
            )
        if flags & END:
            self.ended = True
            return end, None
        try:
            time_ps, channel = unpack_tags(self.data[at + HEADER.size : end])
        except PackedError as error:
            return self._unreadable(at, end, str(error), False)
        if len(time_ps) != tags:
            return self._unreadable(at, end, f"{len(time_ps)} tags in a frame of {tags}", False)
        batch = TagBatch(
            time_ps,
            channel,
            start_ps,
            stop_ps,
            bool(flags & OVERFLOW),
            bool(flags & LOST),
            lost_tags,
        )
        return end, StoredBatch(sequence, after_ns, batch)

    def _header_at(self, at: int) -> tuple[int, ...] | None:
        if at + HEADER.size > len(self.data):
            return None
        magic, crc, *fields = HEADER.unpack_from(self.data, at)
        if magic != FRAME or zlib.crc32(self.data[at + CHECKED_FROM : at + HEADER.size]) != crc:
            return None
        return tuple(fields)

    def _skip(self, at: int) -> tuple[int, None]:
        """Over bytes that are no frame, to the next header that is whole."""
        end = at
        while (end := self.data.find(FRAME, end + 1)) >= 0:
            if self._header_at(end) is not None:
                return self._unreadable(at, end, "no header of a frame", False)
        rest = len(self.data) - at
        torn = rest < HEADER.size and self.data[at:].startswith(FRAME[:rest])
        return self._unreadable(at, len(self.data), f"{rest} bytes that are no frame", torn)

    def _unreadable(self, at: int, end: int, found: str, torn: bool) -> tuple[int, None]:
        self.damage.append(Damage(at, end - at, found, torn))
        return end, None


def segment_head(path: Path) -> SegmentHead:
    """What a segment says of itself; raises SegmentError and OSError."""
    with path.open("rb") as file:
        return read_head(path, file.read(HEAD.size + MOST_HEAD_BYTES))[0]


def read_segment(path: Path) -> Segment:
    """A segment, also one that is being written; raises SegmentError and OSError."""
    data = path.read_bytes()
    head, frames_at = read_head(path, data)
    return Segment(path, head, data, frames_at)
