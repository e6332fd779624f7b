"""Writes a stream of batches into segments, each frame with one call to the operating system."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path

from timing.segments.frame import SegmentHead, StoredBatch, end_bytes, frame_bytes, head_bytes

RAW = ".tags"
NS_PER_S = 10**9


def segment_name(stream: int, number: int) -> str:
    """The file of a segment; names sort as the segments follow each other."""
    return f"{stream:06d}-{number:04d}{RAW}"


class SegmentWriter:
    """Appends one stream to a folder.

    The segment that is open is locked; it is closed once it has `segment_bytes`, or spans
    `segment_s` of the stream. A `head` of stream 0 gets the next free number of the folder at the
    first batch. What was written outlives the process at once, and the computer once the segment
    is closed. All methods block and raise OSError; a batch that could not be written leaves no
    trace in the file, and may be given again.
    """

    def __init__(
        self,
        folder: Path,
        head: SegmentHead,
        *,
        segment_bytes: int = 64_000_000,
        segment_s: float = 600.0,
    ):
        self.head = head
        self.bytes = 0
        self.batches = 0
        self.tags = 0
        self._folder = folder
        self._segment_bytes, self._segment_ns = segment_bytes, round(segment_s * NS_PER_S)
        self._file = -1
        self._size = 0
        self._began_ns = 0
        self._next = 0

    def write(self, stored: StoredBatch) -> None:
        """Append a batch; in a new segment where the last is full."""
        if self._file >= 0 and (
            self._size >= self._segment_bytes
            or stored.after_ns - self._began_ns >= self._segment_ns
        ):
            self.close()
        if self._file < 0:
            self._open(stored.after_ns)
        self._append(frame_bytes(stored))
        self._next = stored.sequence + 1
        self.batches += 1
        self.tags += len(stored.batch)

    def close(self) -> None:
        """End the segment that is open; the next batch begins another."""
        if self._file < 0:
            return
        file = self._file
        try:
            self._append(end_bytes(self._next))
            os.fsync(file)
        finally:
            os.close(file)
            self._file = -1

    def _open(self, after_ns: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.head.stream == 0:
            self.head = replace(self.head, stream=_last_stream(self._folder) + 1)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        while self._file < 0:
            path = self._folder / segment_name(self.head.stream, self.head.number)
            try:
                self._file = os.open(path, flags, 0o640)
            except FileExistsError:
                if self.head.number > 1:
                    raise
                # Another recorder was faster: this stream is the one after it.
                self.head = replace(self.head, stream=self.head.stream + 1)
        self._size, self._began_ns = 0, after_ns
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._append(head_bytes(self.head))
        except OSError:
            os.close(self._file)
            self._file = -1
            path.unlink(missing_ok=True)
            raise
        self.head = replace(self.head, number=self.head.number + 1)

    def _append(self, data: bytes) -> None:
        """All of it or nothing: half a frame would hide those that follow."""
        try:
            written = os.write(self._file, data)
            while written < len(data):
                more = os.write(self._file, memoryview(data)[written:])
                if more == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += more
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self.bytes += len(data)


def is_being_written(path: Path) -> bool:
    """Whether some writer, in this process or another, has a segment open. Raises OSError."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _last_stream(folder: Path) -> int:
    """The highest number of a stream that is or was there, sealed ones included; 0 for none."""
    names = (path.name.partition("-")[0] for path in folder.iterdir())
    return max((int(name) for name in names if name.isdecimal()), default=0)
