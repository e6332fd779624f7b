"""Counts in the dark: the light of a photonic link is switched off for a moment."""

from __future__ import annotations

import asyncio

from drivers.devices import Laser
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from qnodeos.photonic import PhotonicLink

SETTLE_S = 0.5
"""Tags that come sooner may have been taken in the light."""

COUNTED_S = 2.0
LIMIT_S = 30.0


class NoDarkness(Exception):
    """Nothing was counted in the dark; the text says why."""


class Darkness:
    """`light` supervises the laser without which the link's detectors see nothing."""

    def __init__(self, link: PhotonicLink, name: str, light: Supervisor):
        self._link, self._name, self._light = link, name, light

    async def counts_cps(self) -> tuple[float, float]:
        """What the detectors of both outcome channels count without light, which is on again at the
        end if it was before. Raises NoDarkness."""
        try:
            laser = self._laser()
            was_on = await laser.emission()
            try:
                await laser.set_emission(False)
                await asyncio.sleep(SETTLE_S)
                async with asyncio.timeout(LIMIT_S):
                    return await self._link.singles_cps(COUNTED_S)
            except asyncio.CancelledError:
                was_on = False  # the node is ending, which makes the laser dark anyway
                raise
            finally:
                if was_on:
                    await self._laser().set_emission(True)
        except InstrumentProblem as problem:
            self._light.report(problem)
            raise NoDarkness(f"{self._name}: {problem}") from problem
        except TimeoutError as late:
            raise NoDarkness(f"no tags in {LIMIT_S:g} s") from late

    def _laser(self) -> Laser:
        laser = self._light.instrument
        if not isinstance(laser, Laser):
            raise NotConnected(f"{type(laser).__name__} is not a laser")
        return laser
