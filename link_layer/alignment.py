"""Which drives of a polarization controller make a link's pairs what they should be.

A squeezer turns polarization about a fixed axis, by an angle proportional to its drive. So the sum
of the three correlators, each with the sign that the Bell state gives it (4 F - 1), is A + B cos of
that angle, shifted: three drives a quarter turn apart give its maximum, and one squeezer after the
other leads to the best of all (coordinate ascent, as Rotosolve: Ostaszewski et al., Quantum 5, 391
(2021)). Rotations at one end undo those of both, as (U x V) Phi+ = (U V^T x 1) Phi+.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

MOST_SWEEPS = 6

GAINED = 0.02
"""A sweep that gains less than this of 4 F - 1 is the last."""


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
    squeezers: Sequence[Squeezer], start: Sequence[float], look: Look, *, enough: float
) -> Aligned:
    """Climb from `start`, and once more from elsewhere if that ends below `enough` of 4 F - 1.

    `look` sets drives and measures 4 F - 1 with them. The best drives seen are set at the end. What
    `look` raises passes through.
    """
    climb = _Climb(squeezers, look)
    before = await climb.look(tuple(start))
    await climb.sweep(start, before)
    if climb.most < enough:
        # Where a squeezer of a quarter or half turn stands between two others, those turn about one
        # axis, and there is no way up in the third. An eighth of a turn is clear of that.
        aside = [box.within(box.turn / 8) for box in squeezers]
        await climb.sweep(aside, await climb.look(tuple(aside)))
    value = await climb.look(climb.best)
    return Aligned(climb.best, value, before, climb.looks)


class _Climb:
    """What was seen so far, and the best of it."""

    def __init__(self, squeezers: Sequence[Squeezer], look: Look):
        self._squeezers, self._look = squeezers, look
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
        """One squeezer after the other, from drives that give a value, until nothing is gained."""
        drives = list(start)
        for _ in range(MOST_SWEEPS):
            began = value
            for channel, box in enumerate(self._squeezers):
                drive = drives[channel]
                sides = []
                for turns in (0.25, -0.25):
                    drives[channel] = box.within(drive + turns * box.turn)
                    sides.append(await self.look(tuple(drives)))
                turns, _ = summit(value, *sides)
                drives[channel] = box.within(drive + turns * box.turn)
                value = await self.look(tuple(drives))
            if value < began + GAINED:
                return
