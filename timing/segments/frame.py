"""The bytes of a segment: a head that says what it is, then one checked frame a batch."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from timing.packed import pack_tags
from timing.tags import TagBatch

MAGIC = b"QTS1"
FRAME = b"QTF1"
HEAD = struct.Struct("<4sII")
HEADER = struct.Struct("<4sIIIIQqqqQ")
CHECKED_FROM = 8
"""The check sum of a header covers all that follows it; the payload's blocks have their own."""

OVERFLOW, LOST, END = 1, 2, 4
MOST_HEAD_BYTES = 1 << 16


class SegmentError(ValueError):
    """A file that is no segment, or one whose head is damaged; the message is for a user."""

    def __init__(self, path: Path, found: str, *, at_byte: int = 0):
        self.path, self.found, self.at_byte = path, found, at_byte
        super().__init__(
            f"{path}: byte {at_byte}: found {found}; expected a segment of recorded tags"
        )


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What a segment says of itself.

    `stream` counts the starts of the tagger in this folder, `number` the segments of the stream,
    both from 1. Times are of the tagger's own `timescale`; `began_unix_s` is when the stream began
    on the computer's clock. `identity` is the instrument's own word about itself.
    """

    began_unix_s: float
    resolution_ps: int
    channels: tuple[int, ...]
    stream: int = 0
    number: int = 1
    node: str = ""
    instrument: str = ""
    driver: str = ""
    identity: str = ""
    version: str = ""
    timescale: str = "tagger"


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as it was recorded.

    `sequence` counts the batches of the stream from 0, those that were dropped for want of disk
    included; `after_ns` is when the batch was handed over, since the stream was asked for, on the
    clock of the event loop. `missed` batches before this one are not in the recording.
    """

    sequence: int
    after_ns: int
    batch: TagBatch
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that hold no whole frame. `torn`: at its end, where a writer was cut."""

    at_byte: int
    size: int
    found: str
    torn: bool


def head_bytes(head: SegmentHead) -> bytes:
    """The start of a segment."""
    text = json.dumps(asdict(head)).encode()
    return HEAD.pack(MAGIC, zlib.crc32(text), len(text)) + text


def read_head(path: Path, data: bytes) -> tuple[SegmentHead, int]:
    """The head and where the frames begin; raises SegmentError."""
    if len(data) < HEAD.size:
        raise SegmentError(path, f"{len(data)} bytes")
    magic, crc, size = HEAD.unpack_from(data)
    if magic != MAGIC:
        raise SegmentError(path, f"{magic!r}")
    text = data[HEAD.size : HEAD.size + size]
    if size > MOST_HEAD_BYTES or len(text) < size or zlib.crc32(text) != crc:
        raise SegmentError(path, "a head that is damaged or cut off", at_byte=HEAD.size)
    try:
        fields: dict[str, Any] = json.loads(text)
        head = SegmentHead(**{**fields, "channels": tuple(fields["channels"])})
    except (ValueError, KeyError, TypeError) as error:
        raise SegmentError(path, f"a head of another version: {error}") from None
    return head, HEAD.size + size


def frame_bytes(stored: StoredBatch) -> bytes:
    """One batch as a frame."""
    batch = stored.batch
    flags = OVERFLOW * batch.overflow | LOST * batch.lost
    return _frame(
        pack_tags(batch.time_ps, batch.channel),
        len(batch),
        flags,
        stored.sequence,
        batch.start_ps,
        batch.stop_ps,
        stored.after_ns,
        batch.lost_tags,
    )


def end_bytes(sequence: int) -> bytes:
    """The frame that ends a segment which was closed in order; `sequence` would be the next."""
    return _frame(b"", 0, END, sequence, 0, 0, 0, 0)


def _frame(payload: bytes, tags: int, *rest: int) -> bytes:
    header = HEADER.pack(FRAME, 0, len(payload), tags, *rest)[CHECKED_FROM:]
    return FRAME + struct.pack("<I", zlib.crc32(header)) + header + payload
