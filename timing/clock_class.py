"""How much a clock wanders by itself: declared classes, and the process noise they give a filter.

The phase x of a clock obeys dx = y dt + white FM, dy = d dt + random-walk FM, dd = walk of the
drift; white frequency noise with Allan deviation s at 1 s is a random walk of the phase of variance
s^2 per second, random-walk FM with coefficient k a random walk of the frequency of variance k^2 per
second and Allan deviation k sqrt(tau / 3) (Zucca and Tavella 2005, IEEE Trans. UFFC 52, 289).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

_DAY_S = 86400.0

ClockName = Literal["quartz", "ocxo", "rubidium", "white_rabbit"]


@dataclass(frozen=True, slots=True)
class ProcessNoise:
    """What one second adds to the variance of a clock's state, in ps and s.

    `white_fm` ps^2/s to the offset, `random_walk_fm` (ps/s)^2/s to the skew, `drift_walk`
    (ps/s^2)^2/s to the drift; `drift_ps_s2` is the standard deviation of the drift itself before
    anything is known of it.
    """

    white_fm: float
    random_walk_fm: float
    drift_walk: float = 0.0
    drift_ps_s2: float = 0.0

    def __add__(self, other: ProcessNoise) -> ProcessNoise:
        """The noise of the difference of two independent clocks, or of a clock and a path."""
        return ProcessNoise(
            self.white_fm + other.white_fm,
            self.random_walk_fm + other.random_walk_fm,
            self.drift_walk + other.drift_walk,
            math.hypot(self.drift_ps_s2, other.drift_ps_s2),
        )

    def scaled(self, factor: float) -> ProcessNoise:
        """The same kind of noise, its variances larger by a factor."""
        return replace(
            self,
            white_fm=self.white_fm * factor,
            random_walk_fm=self.random_walk_fm * factor,
            drift_walk=self.drift_walk * factor,
        )

    @property
    def white_fm_1s(self) -> float:
        """Allan deviation at 1 s of the white part."""
        return math.sqrt(self.white_fm) * 1e-12


@dataclass(frozen=True, slots=True)
class ClockClass:
    """A kind of clock, by its stability.

    Allan deviation at 1 s of its white frequency noise; the flicker floor; random-walk FM per
    square root of a second; the frequency's ageing in a day.
    """

    name: str
    white_fm_1s: float
    flicker_floor: float
    random_walk_fm_1s: float
    ageing_per_day: float

    def noise(self) -> ProcessNoise:
        """Process noise of one such clock.

        A flicker floor has no finite state model; it is replaced by the random-walk FM that has the
        same Allan deviation where white FM has fallen to the floor, tau = (white / floor)^2, and
        at least 1 s. Beyond that instant the stated uncertainty of a clock held over is too large
        rather than too small.
        """
        crossing_s = max(1.0, (self.white_fm_1s / max(self.flicker_floor, 1e-30)) ** 2)
        flicker = 3 * self.flicker_floor**2 / crossing_s
        drift = self.ageing_per_day / _DAY_S
        return ProcessNoise(
            white_fm=self.white_fm_1s**2 * 1e24,
            random_walk_fm=(flicker + self.random_walk_fm_1s**2) * 1e24,
            # The drift itself changes over a day.
            drift_walk=drift**2 / _DAY_S * 1e24,
            drift_ps_s2=drift * 1e12,
        )


QUARTZ = ClockClass("quartz", 1e-9, 1e-9, 1e-11, 1e-8)
"""A free-running or temperature-compensated crystal, as inside a tagger (TCXO in Vig, Introduction
to Quartz Frequency Standards, SLCET-TR-92-1, table 1: 5e-7 a year; Lombardi in Bishop, The
Mechatronics Handbook, 2002, summary of oscillator types: 1e-9 at 1 s, floor 1e-9). The ageing is
taken larger by ten, for the temperature of the room."""

OCXO = ClockClass("ocxo", 1e-11, 1e-12, 5e-14, 5e-10)
"""An oven-controlled crystal with the synthesis behind it (Lombardi: floor 1e-12; Vig: 5e-9 a year
for the best, ordinary data sheets 5e-10 a day). At 1 s ten times Lombardi's 1e-12, for the tagger
that multiplies it; the random walk shows beyond half an hour only."""

RUBIDIUM = ClockClass("rubidium", 2e-11, 1e-12, 3e-15, 2e-12)
"""A rubidium standard (SRS PRS10 data sheet: 2e-11 at 1 s, 2e-12 at 100 s, 5e-11 a month; Lombardi:
floor 1e-12)."""

WHITE_RABBIT = ClockClass("white_rabbit", 1e-12, 1e-14, 1e-15, 0.0)
"""Two ends locked to one White Rabbit master: no common skew, and a phase that wanders by less than
100 ps over hours, here written as a slow random walk."""

CLOCKS: dict[ClockName, ClockClass] = {
    "quartz": QUARTZ,
    "ocxo": OCXO,
    "rubidium": RUBIDIUM,
    "white_rabbit": WHITE_RABBIT,
}

FIBRE = ProcessNoise(white_fm=0.0, random_walk_fm=0.003**2)
"""What a fibre in the ground adds: its delay's rate changes by some 0.4 ps/s within six hours when
the day moves it by 10 ns."""


def declared_noise(local: ClockName, remote: ClockName, path: ProcessNoise = FIBRE) -> ProcessNoise:
    """Process noise of the difference of two clocks of declared classes, path included."""
    return CLOCKS[local].noise() + CLOCKS[remote].noise() + path


def white_noise(clock_noise_1s: float, drift_1s: float | None = None) -> ProcessNoise:
    """Process noise from the difference's white frequency noise at 1 s alone.

    `drift_1s` is the random walk of the frequency over 1 s, by default a hundredth of it.
    """
    walk = clock_noise_1s / 100 if drift_1s is None else drift_1s
    return ProcessNoise(clock_noise_1s**2 * 1e24, walk**2 * 1e24)
