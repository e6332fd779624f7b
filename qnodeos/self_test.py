"""Flashes of known light at random instants: a blinded detector does not see them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import numpy as np

from drivers.devices import Laser
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from link_layer.guard import S_PER_YEAR, FlashBand
from qnodeos.config import SelfTestTable
from timing.tags import PS_PER_S, TagBatch

SETTLE_S = 0.5
"""Tags that come sooner after a switch may be of before it, as some taggers batch so long."""

POLL_S = 0.02
LIMIT_S = 30.0
"""Without enough tags for so long the test has no result."""


class _Wanted(Exception):
    """Somebody asks for pairs."""


class SelfTest:
    """Flashes `light` while the link is `idle`; `told` hears what is wrong ("" for nothing),
    whether that is known, and since when it may be so.

    Tags are to be given to `take`, which says whether they may have been made by a flash: then they
    must be nothing else. A request ends a flash at once, and the test without a result.
    """

    def __init__(
        self,
        table: SelfTestTable,
        channels: tuple[int, int],
        *,
        false_alarms_per_year: float,
        light: Supervisor,
        idle: Callable[[], bool],
        clock: Callable[[], float],
        rng: random.Random,
        counters: Counter[str],
        told: Callable[[str, bool, float], None],
    ):
        # Two detectors share the alarms of a year.
        improbable = min(0.1, false_alarms_per_year * table.every_s / S_PER_YEAR / 2)
        self._bands = {
            channel: FlashBand(least, most, improbable)
            for channel, least, most in zip(channels, table.least_cps, table.most_cps, strict=True)
        }
        self._table, self._light, self._idle = table, light, idle
        self._clock, self._rng, self._counters, self._told = clock, rng, counters, told
        self._good_s = clock()
        self._counted_s: float | None = None
        self._counts = dict.fromkeys(channels, 0)
        self._flashing = False

    @property
    def active(self) -> bool:
        """Tags are needed."""
        return self._flashing or self._counted_s is not None

    def take(self, batch: TagBatch) -> bool:
        """Count a batch; True: it may be of a flash."""
        if self._counted_s is not None and not (batch.lost or batch.overflow):
            self._counted_s += (batch.stop_ps - batch.start_ps) / PS_PER_S
            for channel in self._counts:
                self._counts[channel] += int(np.count_nonzero(batch.channel == channel))
        return self._flashing

    async def run(self, wake: Callable[[], None]) -> None:
        """Until cancelled; `wake` begins a stream of tags."""
        while True:
            # Nobody is to know when the next one comes, nor how long after a request.
            await asyncio.sleep(self._table.every_s * self._rng.uniform(0.5, 1.5))
            while not await self._tested(wake):  # noqa: ASYNC110
                await asyncio.sleep(self._table.every_s * self._rng.uniform(0.0, 0.1))

    async def _tested(self, wake: Callable[[], None]) -> bool:
        """One test; False where it had to give way."""
        if not self._idle():
            return False
        since_s = self._good_s
        try:
            begun_s = self._clock()
            trouble = await self._trouble(wake)
        except _Wanted:
            self._counters["self_tests_interrupted"] += 1
            return False
        except TimeoutError:
            return True  # that the tagger is silent is told elsewhere
        except InstrumentProblem as problem:
            self._light.report(problem)
            self._counters["self_tests_failed"] += 1
            self._told(f"{self._light.name} cannot flash: {problem}", False, since_s)
            return True
        self._counters["self_tests"] += 1
        self._counters["self_tests_missed"] += bool(trouble)
        if not trouble:
            self._good_s = begun_s
        self._told(trouble, True, since_s)
        return True

    async def _trouble(self, wake: Callable[[], None]) -> str:
        wake()
        before, before_s = await self._count()
        laser = self._laser()
        self._flashing = True
        try:
            try:
                await laser.set_emission(True)
                await self._last(SETTLE_S)
                lit, lit_s = await self._count()
            finally:
                await laser.set_emission(False)
        finally:
            # Not sooner: what comes now may still be of the flash.
            await asyncio.sleep(SETTLE_S)
            self._flashing = False
        found = []
        for channel, band in self._bands.items():
            counts = before[channel], before_s, lit[channel], lit_s
            if text := band.trouble(*counts):
                found.append(f"detector of channel {channel}: {text}")
            elif not band.can_tell(before[channel], before_s, lit_s):
                self._counters["self_tests_weak"] += 1
        return "; ".join(found)

    async def _count(self) -> tuple[dict[int, int], float]:
        """Counts by channel, and of how long. Raises TimeoutError, _Wanted."""
        self._counts = dict.fromkeys(self._counts, 0)
        self._counted_s = 0.0
        try:
            async with asyncio.timeout(LIMIT_S):
                while self._counted_s < self._table.flash_s:
                    await self._last(POLL_S)
            return self._counts, self._counted_s
        finally:
            self._counted_s = None

    async def _last(self, seconds: float) -> None:
        until_s = self._clock() + seconds
        while (left_s := until_s - self._clock()) > 0:
            if not self._idle():
                raise _Wanted
            await asyncio.sleep(min(POLL_S, left_s))

    def _laser(self) -> Laser:
        laser = self._light.instrument
        if not isinstance(laser, Laser):
            raise NotConnected(f"{type(laser).__name__} is not a laser", owner=self._light.name)
        return laser
