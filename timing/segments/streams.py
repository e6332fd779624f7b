"""The streams in a tagger's folder, each as one row of batches over all its segments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from timing.segments.frame import Damage, SegmentError, SegmentHead, StoredBatch
from timing.segments.reader import Segment, read_segment, segment_head
from timing.segments.sealed import SEALED, SealedSegment

_NAME = re.compile(r"(\d{6,})-(\d{4,})\.(tags|h5)")

TellDamage = Callable[[Path, Damage], None]


@dataclass(frozen=True, slots=True)
class StoredStream:
    """One run of a tagger: its segments in order."""

    number: int
    segments: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Where it is: one folder an instrument."""
        return self.segments[0].parent

    def head(self) -> SegmentHead:
        """What its first readable segment says; raises SegmentError and OSError."""
        problem: SegmentError | None = None
        for path in self.segments:
            try:
                return SealedSegment(path).head() if _sealed(path) else segment_head(path)
            except SegmentError as error:
                problem = problem or error
        raise problem or SegmentError(self.folder, "no segment")


def streams_in(folder: Path) -> list[StoredStream]:
    """The streams of a tagger's folder, in order; raises OSError."""
    found: dict[int, dict[int, Path]] = {}
    for path in folder.iterdir():
        if name := _NAME.fullmatch(path.name):
            segments = found.setdefault(int(name[1]), {})
            # Both are there where sealing was cut off before its last step: the first is whole.
            if name[3] == "tags" or int(name[2]) not in segments:
                segments[int(name[2])] = path
    return [
        StoredStream(stream, tuple(found[stream][n] for n in sorted(found[stream])))
        for stream in sorted(found)
    ]


def read_stream(stream: StoredStream, tell: TellDamage = lambda *_: None) -> Iterator[StoredBatch]:
    """All batches of a stream. Where some are missing the next one says how many, and its batch is
    marked as one before which tags were lost. `tell` hears of bytes that cannot be read; raises
    OSError.
    """
    expected = 0
    for path in stream.segments:
        segment: Segment | SealedSegment
        try:
            segment = SealedSegment(path) if _sealed(path) else read_segment(path)
            batches = iter(segment)
            stored = next(batches, None)
        except SegmentError as error:
            size = path.stat().st_size
            tell(path, Damage(0, size, error.found, torn=path == stream.segments[-1]))
            continue
        while stored is not None:
            missed = stored.sequence - expected
            expected = stored.sequence + 1
            if missed:
                batch = replace(stored.batch, lost=True)
                stored = replace(stored, batch=batch, missed=missed)
            yield stored
            stored = next(batches, None)
        for damage in segment.damage:
            tell(path, damage)


def _sealed(path: Path) -> bool:
    return path.suffix == SEALED
