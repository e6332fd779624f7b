"""What is declared of the clocks of a photonic link's two taggers, and whether ours is locked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from drivers.devices import FrequencyReference
from drivers.errors import InstrumentProblem
from drivers.supervisor import Supervisor
from qnodeos.config import PhotonicLinkTable
from timing.clock_class import ProcessNoise, declared_noise, white_noise

LOOK_EVERY_S = 5.0
LOOK_LIMIT_S = 5.0

PULLED = 1e-9
"""How far locking may pull a clock's frequency, one standard deviation: what an ordinary
oscillator is set to by its last calibration is no better."""


def clock_noise(config: PhotonicLinkTable, *, locked: bool) -> ProcessNoise:
    """Process noise of the difference of the link's clocks; `locked`: ours has its reference."""
    if config.clock is None:
        assert config.clock_noise_1s is not None  # checked with the configuration
        # The configuration gives one clock's noise; here it is that of their difference.
        return white_noise(math.sqrt(2) * config.clock_noise_1s)
    ours = config.locked_clock if locked and config.locked_clock else config.clock
    return declared_noise(ours, config.peer_clock or config.clock)


class LockWatch:
    """Asks our frequency reference now and then whether it is locked; `changed` hears it."""

    def __init__(self, reference: Supervisor, changed: Callable[[bool], None]):
        self._reference = reference
        self._changed = changed
        self.locked = False

    async def run(self) -> None:
        """Look until cancelled. A reference that cannot be reached is no lock."""
        while True:
            locked = await self._look()
            if locked != self.locked:
                self.locked = locked
                self._changed(locked)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> bool:
        try:
            reference = self._reference.instrument
            if not isinstance(reference, FrequencyReference):
                return False
            async with asyncio.timeout(LOOK_LIMIT_S):
                return (await reference.status()).locked
        except InstrumentProblem as problem:
            self._reference.report(problem)
            return False
        except TimeoutError:
            return False
