"""Clicks of a stretch of time, counted from the tags that come anyway."""

from __future__ import annotations

import asyncio

import numpy as np

from timing.tags import PS_PER_S, TagBatch


class Tally:
    """Counts two channels until batches without a gap have covered so many seconds.

    The first batch is left out: it may have begun earlier than the tally.
    """

    def __init__(self, channels: tuple[int, int], seconds: float):
        self._channels, self._wanted_s = channels, seconds
        self._length_s = 0.0
        self._counts = [0, 0]
        self._begun = False
        self._enough = asyncio.Event()

    def add(self, batch: TagBatch) -> None:
        """Take in a batch."""
        begun, self._begun = self._begun, True
        if not begun or batch.lost or batch.overflow:
            return
        self._length_s += (batch.stop_ps - batch.start_ps) / PS_PER_S
        for number, channel in enumerate(self._channels):
            self._counts[number] += int(np.count_nonzero(batch.channel == channel))
        if self._length_s >= self._wanted_s:
            self._enough.set()

    async def rates_cps(self) -> tuple[float, float]:
        """Of both channels, as soon as there is enough."""
        await self._enough.wait()
        first, second = (count / self._length_s for count in self._counts)
        return first, second
