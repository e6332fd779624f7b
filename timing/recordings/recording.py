"""A recorded tag file as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timing.tags import PS_PER_S, Channels, TagBatch, TimesPs


@dataclass(frozen=True, slots=True, eq=False)
class PulseDelays:
    """What a T3 recording knows beyond the times: the SYNC pulse and the delay after it, a tag.

    `sync` int64 (n,) counts the pulses from 0, `period_ps` apart on average; `dtime` uint16 (n,) is
    the delay in time steps. The delay is exact, the time of a pulse is only as good as the period.
    """

    period_ps: Fraction
    sync: NDArray[np.int64]
    dtime: NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """All tags of one file, ascending, on the recording instrument's own timescale.

    `channel` 0 is a PicoQuant SYNC input; other channels count from 1. `marker_ps` and `marker` are
    the external markers (bits 1..15). `resolution_ps` is the instrument's time step. `overflows`
    counts roll-overs of the time field, which lose nothing; `gaps` counts places where the order or
    the data broke, each explained in `notes`. `header` holds the file's own statements. `pulses` is
    there for T3 recordings.
    """

    path: Path
    format: str
    instrument: str
    time_ps: TimesPs
    channel: Channels
    marker_ps: TimesPs
    marker: NDArray[np.uint8]
    start_ps: int
    stop_ps: int
    resolution_ps: Fraction
    overflows: int
    gaps: int
    notes: tuple[str, ...]
    header: Mapping[str, object]
    pulses: PulseDelays | None = None

    def __len__(self) -> int:
        return len(self.time_ps)

    @property
    def span_s(self) -> float:
        """Length of the recorded span, seconds."""
        return (self.stop_ps - self.start_ps) / PS_PER_S

    @property
    def bin_grid_ps(self) -> int:
        """Smallest whole-picosecond bin that holds a whole number of time steps.

        Bins off this grid hold unequal numbers of steps, which shows as a comb in a histogram.
        """
        return self.resolution_ps.numerator

    def counts(self) -> dict[int, int]:
        """Tags per channel, ascending by channel."""
        channels, counts = np.unique(self.channel, return_counts=True)
        return {int(c): int(n) for c, n in zip(channels, counts, strict=True)}

    def of(self, *channels: int) -> TimesPs:
        """Times of the tags on the given channels, ascending."""
        wanted: TimesPs = self.time_ps[np.isin(self.channel, channels)]
        return wanted

    def batch(self) -> TagBatch:
        """The whole recording as one batch; `lost` where there are gaps."""
        return TagBatch(self.time_ps, self.channel, self.start_ps, self.stop_ps, lost=self.gaps > 0)


def in_time_order(
    time_ps: TimesPs, channel: NDArray[np.uint8]
) -> tuple[TimesPs, NDArray[np.uint8], int, int]:
    """Tags sorted by time, ties in recorded order: (times, channels, steps, first).

    `steps` counts tags that lie before their predecessor in the file, `first` is the index of the
    first of them or -1.
    """
    back = np.flatnonzero(np.diff(time_ps) < 0)
    if len(back) == 0:
        return time_ps, channel, 0, -1
    order = np.argsort(time_ps, kind="stable")
    return time_ps[order], channel[order], len(back), int(back[0]) + 1
