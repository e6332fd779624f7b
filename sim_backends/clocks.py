"""A clock: when it was switched on, its skew, and its noise."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.clock_noise import ColouredFrequency, resolved
from sim_backends.lab_light import TaggerConfig
from sim_backends.lab_memories import MemoryConfig, MidpointConfig
from sim_backends.lab_parts import ClockNoise
from sim_backends.seeds import generator

__all__ = ["FreeRunningClock", "clock_of"]

_PS: Final = 10**12
_KNOT_PS: Final = 10**9  # the random walk is drawn every millisecond and is straight between
_BLOCK_KNOTS: Final = 1000
_KEPT_KNOTS: Final = 10_000  # 10 s back are remembered; delays in fibre are far shorter
_JUMP_KNOTS: Final = 1_000_000
_MANY: Final = 2_000
_PIECE: Final = 8_192


class FreeRunningClock:
    """Maps the lab's time to a counter of its own, both in integer picoseconds.

    White frequency noise with Allan deviation `white_fm_1s` at 1 s is a random walk of the phase
    whose variance grows by `white_fm_1s**2` a second, since then
    sigma_y(tau) = white_fm_1s / sqrt(tau) (Riley, NIST SP 1065: sigma_y^2 = h0/(2 tau), and a phase
    variance of h0 tau / 2). The counter reads zero at `power_on_s` on the lab's time. `noise` adds
    the other kinds; of its white frequency noise and `white_fm_1s` the larger counts.
    """

    def __init__(
        self,
        *,
        skew_ppm: float,
        white_fm_1s: float,
        power_on_s: float,
        rng: np.random.Generator,
        noise: ClockNoise | None = None,
    ) -> None:
        kinds = resolved(noise)
        if noise is not None and kinds.white_fm_1s is not None:
            white_fm_1s = max(white_fm_1s, kinds.white_fm_1s)
        self._skew = skew_ppm * 1e-6
        self._aging_per_s = (kinds.aging_per_day or 0.0) / 86_400.0
        self._white_pm_ps = kinds.white_pm_ps or 0.0
        self._coloured: ColouredFrequency | None = None
        if kinds.flicker_fm or kinds.random_walk_fm_1s or self._white_pm_ps:
            # A generator of its own: the white noise of a clock is the same with and without.
            self._other = rng.spawn(1)[0]
            self._coloured = ColouredFrequency(
                flicker_fm=kinds.flicker_fm or 0.0,
                random_walk_fm_1s=kinds.random_walk_fm_1s or 0.0,
                step_s=_KNOT_PS / _PS,
                rng=self._other,
            )
        self._power_on_ps = round(power_on_s * _PS)
        self._knot_sigma_ps = white_fm_1s * math.sqrt(_KNOT_PS / _PS) * _PS
        self._rng = rng
        self._noisy = self._knot_sigma_ps > 0.0 or self._coloured is not None
        self._first_knot = 0
        self._walk_ps: npt.NDArray[np.float64] = np.zeros(1)
        self._walked_ps = 0.0  # the last of the walk, without white phase noise

    def jump(self, ahead_ps: int) -> None:
        """Stand so much further from now on, as after a glitch of the reference; may be below 0."""
        self._power_on_ps -= ahead_ps

    def read_ps(self, lab_ps: int) -> int:
        """The counter at a lab time."""
        if not self._noisy and not self._aging_per_s:
            counter = lab_ps - self._power_on_ps
            return counter + round(counter * self._skew)
        return int(self.read_many_ps(np.array([lab_ps], dtype=np.int64))[0])

    def read_many_ps(self, lab_ps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The counter at lab times (int64), rounded to picoseconds; sorted stays sorted."""
        counter: npt.NDArray[np.int64] = lab_ps - self._power_on_ps
        if lab_ps.size > _PIECE and self._noisy:
            self._draw_until(int(lab_ps.max()) // _KNOT_PS + 1)
        # Piece by piece: large arrays in between cost more than the numbers in them.
        for start in range(0, lab_ps.size, _PIECE):
            part = lab_ps[start : start + _PIECE]
            piece = counter[start : start + _PIECE]
            wander = self.phase_noise_ps(part)
            wander += piece * self._skew
            if self._aging_per_s:
                lab_s = np.maximum(part, 0) / _PS
                wander += 0.5 * self._aging_per_s * lab_s**2 * _PS
            np.rint(wander, out=wander)
            piece += wander.astype(np.int64)
        return counter

    def phase_noise_ps(self, lab_ps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The noise alone at lab times, float64 ps; as at the lab's start before it."""
        if not self._noisy or lab_ps.size == 0:
            return np.zeros(lab_ps.shape)
        self._draw_until(int(lab_ps.max()) // _KNOT_PS + 1)
        span = (int(lab_ps[-1]) - int(lab_ps[0])) // _KNOT_PS
        if lab_ps.size >= _MANY + 100 * span and bool((lab_ps[1:] >= lab_ps[:-1]).all()):
            return self._between_knots(lab_ps)
        knots = lab_ps // _KNOT_PS
        part = (lab_ps - knots * _KNOT_PS) / _KNOT_PS
        index = np.clip(knots - self._first_knot, 0, self._walk_ps.size - 2)
        before, after = self._walk_ps[index], self._walk_ps[index + 1]
        return np.where(
            knots < self._first_knot, self._walk_ps[0], before + part * (after - before)
        )

    def _between_knots(self, lab_ps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The same for many sorted times: knot by knot, without a division for each."""
        noise = np.empty(lab_ps.size)
        first, last = (int(lab_ps[k]) // _KNOT_PS for k in (0, -1))
        knots = range(first, last + 1)
        edges = np.searchsorted(lab_ps, np.array([knot * _KNOT_PS for knot in knots[1:]], np.int64))
        for knot, begin, end in zip(knots, (0, *edges), (*edges, lab_ps.size), strict=True):
            if begin == end:
                continue
            index = min(max(knot - self._first_knot, 0), self._walk_ps.size - 2)
            before, after = self._walk_ps[index], self._walk_ps[index + 1]
            if knot < self._first_knot:
                noise[begin:end] = self._walk_ps[0]
                continue
            part = noise[begin:end]
            np.divide(lab_ps[begin:end] - knot * _KNOT_PS, _KNOT_PS, out=part)
            part *= after - before
            part += before
        return noise

    def _draw_until(self, knot: int) -> None:
        last = self._first_knot + self._walk_ps.size - 1
        if knot <= last:
            return
        if knot - last > _JUMP_KNOTS:
            # Nobody looked for a long time: one step of the walk bridges it.
            skipped = knot - last - _BLOCK_KNOTS
            step = self._rng.normal(0.0, self._knot_sigma_ps * math.sqrt(skipped))
            if self._coloured is not None:
                step += self._coloured.jump_s(skipped) * _PS
            self._walked_ps += step
            self._walk_ps = np.array([self._walked_ps])
            self._first_knot = last = last + skipped
        # Whole blocks, so that the walk does not depend on when it is looked at.
        count = -(-(knot - last) // _BLOCK_KNOTS) * _BLOCK_KNOTS
        fresh = self._walked_ps + np.cumsum(self._steps_ps(count))
        self._walked_ps = float(fresh[-1])
        if self._white_pm_ps:
            fresh += self._other.normal(0.0, self._white_pm_ps, count)
        walk = np.concatenate((self._walk_ps, fresh))
        forgotten = max(0, walk.size - max(_KEPT_KNOTS, count + 1))
        self._first_knot += forgotten
        self._walk_ps = walk[forgotten:]

    def _steps_ps(self, count: int) -> npt.NDArray[np.float64]:
        steps = self._rng.normal(0.0, self._knot_sigma_ps, count)
        if self._coloured is not None:
            for start in range(0, count, _BLOCK_KNOTS):
                part = self._coloured.phase_steps_s(_BLOCK_KNOTS)
                steps[start : start + _BLOCK_KNOTS] += part * _PS
        return steps


def clock_of(
    config: TaggerConfig | MemoryConfig | MidpointConfig,
    seed: int,
    component: str,
    white_fm_1s: float = 0.0,
) -> FreeRunningClock:
    """The clock in a part of the lab, which is named as in "taggers.alice"."""
    return FreeRunningClock(
        skew_ppm=config.skew_ppm,
        white_fm_1s=white_fm_1s,
        power_on_s=config.power_on_s,
        rng=generator(seed, f"{component}.clock"),
        noise=config.clock,
    )
