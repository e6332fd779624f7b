"""The one form in which time tags travel through the program."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

TimesPs = NDArray[np.int64]
"""Instants in integer picoseconds on a named timescale, ascending; shape (n,)."""

Channels = NDArray[np.uint8]
"""Input channel of each tag as printed on the instrument, from 1; shape (n,)."""

PS_PER_S = 10**12


@dataclass(frozen=True, slots=True)
class TagBatch:
    """Tags of one instrument over one span of its own timescale; a gap is told, never hidden.

    Every tag lies in [start_ps, stop_ps). `lost` says that tags are missing somewhere between the
    previous batch's stop and this batch's stop; `lost_tags` is their number where the instrument
    counts them. `overflow` says that the instrument's own buffer overflowed in this span.
    """

    time_ps: TimesPs
    channel: Channels
    start_ps: int
    stop_ps: int
    overflow: bool = False
    lost: bool = False
    lost_tags: int = field(default=0)

    def __post_init__(self) -> None:
        if self.time_ps.dtype != np.int64 or self.channel.dtype != np.uint8:
            raise TypeError(
                f"TagBatch: found {self.time_ps.dtype} times and {self.channel.dtype} channels, "
                "expected int64 and uint8"
            )
        if self.time_ps.shape != self.channel.shape or self.time_ps.ndim != 1:
            raise ValueError(
                f"TagBatch: found times of shape {self.time_ps.shape} and channels of shape "
                f"{self.channel.shape}, expected one channel a time"
            )

    def __len__(self) -> int:
        return len(self.time_ps)

    @property
    def span_s(self) -> float:
        """Length of the covered span, seconds, for display and rates."""
        return (self.stop_ps - self.start_ps) / PS_PER_S

    def of(self, *channels: int) -> TimesPs:
        """Times of the tags on the given channels, ascending."""
        wanted: TimesPs = self.time_ps[np.isin(self.channel, channels)]
        return wanted


def joined(batches: Sequence[TagBatch]) -> TagBatch:
    """Batches that follow each other without a gap as one; ValueError where they do not."""
    if len(batches) == 1:
        return batches[0]
    for before, after in itertools.pairwise(batches):
        if after.start_ps != before.stop_ps:
            raise ValueError(
                f"joined: a batch ends at {before.stop_ps} ps, the next begins at "
                f"{after.start_ps} ps"
            )
    return TagBatch(
        np.concatenate([batch.time_ps for batch in batches]),
        np.concatenate([batch.channel for batch in batches]),
        batches[0].start_ps,
        batches[-1].stop_ps,
        any(batch.overflow for batch in batches),
        any(batch.lost for batch in batches),
        sum(batch.lost_tags for batch in batches),
    )
