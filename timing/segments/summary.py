"""What a recorded stream holds, found by reading all of it batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from timing.segments.frame import Damage, SegmentHead
from timing.segments.streams import StoredStream, read_stream
from timing.tags import PS_PER_S


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """Counts of one stream. `lost_tags` are those that the tagger counted as lost, `missed` are
    batches that came from the tagger and are not in the recording."""

    stream: StoredStream
    head: SegmentHead
    bytes: int
    batches: int
    counts: dict[int, int]
    start_ps: int
    stop_ps: int
    lost_batches: int
    lost_tags: int
    overflows: int
    missed: int
    damage: tuple[tuple[Path, Damage], ...]

    @property
    def tags(self) -> int:
        """Of all channels."""
        return sum(self.counts.values())

    @property
    def span_s(self) -> float:
        """From the first batch's start to the last one's stop, seconds."""
        return (self.stop_ps - self.start_ps) / PS_PER_S


def summarise(
    stream: StoredStream, progress: Callable[[int], None] = lambda _: None
) -> StreamSummary:
    """Read a whole stream, checking every frame; `progress` hears of the tags of each batch.

    Raises SegmentError where no segment has a head, and OSError.
    """
    damage: list[tuple[Path, Damage]] = []
    counts = np.zeros(256, np.int64)
    batches = lost_batches = lost_tags = overflows = missed = 0
    start_ps = stop_ps = 0
    head = stream.head()
    for stored in read_stream(stream, lambda path, found: damage.append((path, found))):
        batch = stored.batch
        if batches == 0:
            start_ps = batch.start_ps
        stop_ps = batch.stop_ps
        batches += 1
        counts += np.bincount(batch.channel, minlength=256)
        lost_batches += batch.lost
        lost_tags += batch.lost_tags
        overflows += batch.overflow
        missed += stored.missed
        progress(len(batch))
    return StreamSummary(
        stream,
        head,
        sum(path.stat().st_size for path in stream.segments),
        batches,
        {int(c): int(counts[c]) for c in np.flatnonzero(counts)},
        start_ps,
        stop_ps,
        lost_batches,
        lost_tags,
        overflows,
        missed,
        tuple(damage),
    )
