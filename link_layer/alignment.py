"""Which drives of a polarization controller make a link's pairs what they should be.

A squeezer turns polarization about a fixed axis, by an angle proportional to its drive. So the sum
of the three correlators, each with the sign that the Bell state gives it (4 F - 1), is A + B cos of
that angle, shifted: three drives a quarter turn apart give its maximum, and one squeezer after the
other leads to the best of all (coordinate ascent, as Rotosolve: Ostaszewski et al., Quantum 5, 391
(2021)). A paddle is a wave plate of whatever retardance that is turned by an angle: its sum has the
second and fourth harmonic of that, and five angles give it all. Rotations at one end undo those of
both, as (U x V) Phi+ = (U V^T x 1) Phi+.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

MOST_SWEEPS = 6

PADDLE_STEP_DEG = 36.0
"""A fifth of the half turn after which a wave plate is what it was."""

PADDLE_ANGLES = 1441

MOST_LOOKS = 240
"""More than two climbs with four channels can take."""

GAINED = 0.02
"""A sweep that gains less than this of 4 F - 1 is the last."""


class Actuator(Protocol):
    """One channel of a controller."""

    def tries(self, drive: float) -> list[float]:
        """Drives to look at beside the present one."""
        ...

    def best(self, drive: float, here: float, seen: Sequence[float]) -> float:
        """The drive with the largest value, from the value here and those at `tries`."""
        ...

    @property
    def aside(self) -> float:
        """A drive to begin from where nothing is gained from the present one."""
        ...


@dataclass(frozen=True, slots=True)
class Squeezer:
    """Its range of drives, and the drive that makes a full turn; all in one unit.

    Raises ValueError if the range is less than a full turn.
    """

    low: float
    high: float
    turn: float

    def __post_init__(self) -> None:
        if not 0 < self.turn <= self.high - self.low:
            raise ValueError(
                f"a full turn takes {self.turn:g}, the range of drives is {self.low:g} to "
                f"{self.high:g}"
            )

    def within(self, drive: float) -> float:
        """The drive in the range that does the same, nearest to its middle."""
        middle = (self.low + self.high) / 2
        return middle + math.remainder(drive - middle, self.turn)

    def tries(self, drive: float) -> list[float]:
        """See `Actuator`: a quarter turn forth and back."""
        return [self.within(drive + turns * self.turn) for turns in (0.25, -0.25)]

    def best(self, drive: float, here: float, seen: Sequence[float]) -> float:
        """See `Actuator`."""
        turns, _ = summit(here, *seen)
        return self.within(drive + turns * self.turn)

    @property
    def aside(self) -> float:
        """See `Actuator`. Where a squeezer of a quarter or half turn stands between two others,
        those turn about one axis, and there is no way up in the third. An eighth of a turn is clear
        of that."""
        return self.within(self.turn / 8)


@dataclass(frozen=True, slots=True)
class Paddle:
    """A wave plate on a fibre that is turned, in degrees; half a turn does nothing.

    Raises ValueError if the range has no room for five angles spread over half a turn.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if self.high - self.low < 4 * PADDLE_STEP_DEG:
            raise ValueError(
                f"a paddle takes {4 * PADDLE_STEP_DEG:g} deg to be seen all around, the range of "
                f"drives is {self.low:g} to {self.high:g} deg"
            )

    def tries(self, drive: float) -> list[float]:
        """See `Actuator`: five angles, wherever it is."""
        return [self.low + PADDLE_STEP_DEG * step for step in range(5)]

    def best(self, drive: float, here: float, seen: Sequence[float]) -> float:
        """See `Actuator`; of the angles within the range."""
        at = np.radians(self.tries(drive))
        angles_deg = np.linspace(self.low, self.high, PADDLE_ANGLES)
        angles = np.radians(angles_deg)
        value = np.full(PADDLE_ANGLES, np.mean(seen))
        for harmonic in (2, 4):
            for wave in (np.cos, np.sin):
                value += 0.4 * np.dot(seen, wave(harmonic * at)) * wave(harmonic * angles)
        return float(angles_deg[np.argmax(value)])

    @property
    def aside(self) -> float:
        """See `Actuator`."""
        return self.low + PADDLE_STEP_DEG


def summit(here: float, further: float, back: float) -> tuple[float, float]:
    """Where A + B cos(angle - x) is largest, and that value, from the values at 0, +1/4 and -1/4.

    In turns, from -1/2 to 1/2.
    """
    mean = (further + back) / 2
    along, across = here - mean, (further - back) / 2
    return math.atan2(across, along) / (2 * math.pi), mean + math.hypot(along, across)


@dataclass(frozen=True, slots=True)
class Aligned:
    """The drives found, what they give and what those before gave (4 F - 1), and looks it took."""

    drives: tuple[float, ...]
    value: float
    before: float
    looks: int


Look = Callable[[tuple[float, ...]], Awaitable[float]]


async def align(
    actuators: Sequence[Actuator], start: Sequence[float], look: Look, *, enough: float
) -> Aligned:
    """Climb from `start`, and once more from elsewhere if that ends below `enough` of 4 F - 1.

    `look` sets drives and measures 4 F - 1 with them. The best drives seen are set at the end. What
    `look` raises passes through.
    """
    climb = _Climb(actuators, look)
    before = await climb.look(tuple(start))
    await climb.sweep(start, before)
    if climb.most < enough:
        aside = [each.aside for each in actuators]
        await climb.sweep(aside, await climb.look(tuple(aside)))
    value = await climb.look(climb.best)
    return Aligned(climb.best, value, before, climb.looks)


class _Climb:
    """What was seen so far, and the best of it."""

    def __init__(self, actuators: Sequence[Actuator], look: Look):
        self._actuators, self._look = actuators, look
        self.looks = 0
        self.best: tuple[float, ...] = ()
        self.most = -math.inf

    async def look(self, drives: tuple[float, ...]) -> float:
        """Try drives."""
        self.looks += 1
        value = await self._look(drives)
        if value > self.most:
            self.best, self.most = drives, value
        return value

    async def sweep(self, start: Sequence[float], value: float) -> None:
        """One actuator after the other, from drives that give a value, until nothing is gained."""
        drives = list(start)
        for _ in range(MOST_SWEEPS):
            began = value
            for channel, actuator in enumerate(self._actuators):
                drive, seen = drives[channel], []
                for drives[channel] in actuator.tries(drive):
                    seen.append(await self.look(tuple(drives)))
                drives[channel] = actuator.best(drive, value, seen)
                value = await self.look(tuple(drives))
            if value < began + GAINED:
                return
