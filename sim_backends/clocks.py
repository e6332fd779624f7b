"""A free-running clock: when it was switched on, its skew, and white frequency noise."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["FreeRunningClock"]

_PS: Final = 10**12
_KNOT_PS: Final = 10**9  # the random walk is drawn every millisecond and is straight between
_BLOCK_KNOTS: Final = 1000
_KEPT_KNOTS: Final = 10_000  # 10 s back are remembered; delays in fibre are far shorter
_JUMP_KNOTS: Final = 1_000_000


class FreeRunningClock:
    """Maps the lab's time to a counter of its own, both in integer picoseconds.

    White frequency noise with Allan deviation `white_fm_1s` at 1 s is a random walk of the phase
    whose variance grows by `white_fm_1s**2` a second, since then
    sigma_y(tau) = white_fm_1s / sqrt(tau) (Riley, NIST SP 1065: sigma_y^2 = h0/(2 tau), and a phase
    variance of h0 tau / 2). The counter reads zero at `power_on_s` on the lab's time.
    """

    def __init__(
        self,
        *,
        skew_ppm: float,
        white_fm_1s: float,
        power_on_s: float,
        rng: np.random.Generator,
    ) -> None:
        self._skew = skew_ppm * 1e-6
        self._power_on_ps = round(power_on_s * _PS)
        self._knot_sigma_ps = white_fm_1s * math.sqrt(_KNOT_PS / _PS) * _PS
        self._rng = rng
        self._first_knot = 0
        self._walk_ps: npt.NDArray[np.float64] = np.zeros(1)

    def jump(self, ahead_ps: int) -> None:
        """Stand so much further from now on, as after a glitch of the reference; may be below 0."""
        self._power_on_ps -= ahead_ps

    def read_ps(self, lab_ps: int) -> int:
        """The counter at a lab time."""
        return int(self.read_many_ps(np.array([lab_ps], dtype=np.int64))[0])

    def read_many_ps(self, lab_ps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The counter at lab times (int64), rounded to picoseconds; sorted stays sorted."""
        elapsed = lab_ps - self._power_on_ps
        wander = self.phase_noise_ps(lab_ps) + elapsed * self._skew
        return elapsed + np.rint(wander).astype(np.int64)

    def phase_noise_ps(self, lab_ps: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The random walk alone at lab times, float64 ps; zero before the lab's start."""
        if self._knot_sigma_ps == 0.0 or lab_ps.size == 0:
            return np.zeros(lab_ps.shape)
        self._draw_until(int(lab_ps.max()) // _KNOT_PS + 1)
        knots = lab_ps // _KNOT_PS
        part = (lab_ps - knots * _KNOT_PS) / _KNOT_PS
        index = np.clip(knots - self._first_knot, 0, self._walk_ps.size - 2)
        before, after = self._walk_ps[index], self._walk_ps[index + 1]
        return np.where(
            knots < self._first_knot, self._walk_ps[0], before + part * (after - before)
        )

    def _draw_until(self, knot: int) -> None:
        last = self._first_knot + self._walk_ps.size - 1
        if knot <= last:
            return
        if knot - last > _JUMP_KNOTS:
            # Nobody looked for a long time: one step of the walk bridges it.
            skipped = knot - last - _BLOCK_KNOTS
            step = self._rng.normal(0.0, self._knot_sigma_ps * math.sqrt(skipped))
            self._walk_ps = np.array([self._walk_ps[-1] + step])
            self._first_knot = last = last + skipped
        # Whole blocks, so that the walk does not depend on when it is looked at.
        count = -(-(knot - last) // _BLOCK_KNOTS) * _BLOCK_KNOTS
        steps = self._rng.normal(0.0, self._knot_sigma_ps, count)
        walk = np.concatenate((self._walk_ps, self._walk_ps[-1] + np.cumsum(steps)))
        forgotten = max(0, walk.size - max(_KEPT_KNOTS, count + 1))
        self._first_knot += forgotten
        self._walk_ps = walk[forgotten:]
