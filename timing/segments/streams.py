"""The streams in a tagger's folder, each as one row of batches over all its segments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from timing.segments.frame import Damage, SegmentError, SegmentHead, StoredBatch
from timing.segments.reader import read_segment, segment_head

_NAME = re.compile(r"(\d{6,})-(\d{4,})\.tags")

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
                return segment_head(path)
            except SegmentError as error:
                problem = problem or error
        raise problem or SegmentError(self.folder, "no segment")


def streams_in(folder: Path) -> list[StoredStream]:
    """The streams of a tagger's folder, in order; raises OSError."""
    found: dict[int, dict[int, Path]] = {}
    for path in folder.iterdir():
        if name := _NAME.fullmatch(path.name):
            found.setdefault(int(name[1]), {})[int(name[2])] = path
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
        try:
            segment = read_segment(path)
        except SegmentError as error:
            size = path.stat().st_size
            tell(path, Damage(0, size, error.found, torn=path == stream.segments[-1]))
            continue
        for stored in segment:
            missed = stored.sequence - expected
            if missed:
                batch = replace(stored.batch, lost=True)
                stored = replace(stored, batch=batch, missed=missed)
            yield stored
            expected = stored.sequence + 1
        for damage in segment.damage:
            tell(path, damage)
