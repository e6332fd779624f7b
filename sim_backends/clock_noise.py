"""Noise of oscillators: flicker and random-walk frequency, white phase, and typical classes."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.lab_parts import ClockNoise

__all__ = ["CLASSES", "ColouredFrequency", "resolved"]

Floats = npt.NDArray[np.float64]

CLASSES: Final[dict[str, ClockNoise]] = {
    # Typical data-sheet values, unchecked [C], but for rubidium: SRS FS725, 2e-11 at 1 s and 2e-12
    # at 100 s, ageing 5e-11 a month [B]. White Rabbit follows its master, so it has phase noise.
    "quartz": ClockNoise(
        white_fm_1s=1e-10,
        flicker_fm=1e-10,
        random_walk_fm_1s=1e-11,
        white_pm_ps=0.0,
        aging_per_day=3e-9,
    ),
    "ocxo": ClockNoise(
        white_fm_1s=1e-12,
        flicker_fm=5e-12,
        random_walk_fm_1s=1e-13,
        white_pm_ps=0.0,
        aging_per_day=5e-10,
    ),
    "rubidium": ClockNoise(
        white_fm_1s=2e-11,
        flicker_fm=1e-12,
        random_walk_fm_1s=1e-15,
        white_pm_ps=0.0,
        aging_per_day=1.7e-12,
    ),
    "white_rabbit": ClockNoise(
        white_fm_1s=0.0,
        flicker_fm=0.0,
        random_walk_fm_1s=0.0,
        white_pm_ps=6.0,
        aging_per_day=0.0,
    ),
}
_QUIET: Final = ClockNoise(
    white_fm_1s=0.0, flicker_fm=0.0, random_walk_fm_1s=0.0, white_pm_ps=0.0, aging_per_day=0.0
)
_SHORTEST_S: Final = 2e-3
_RATIO: Final = 4.0
_COMPONENTS: Final = 15  # to 2e-3 s * 4^14 = 5e5 s
_FORGOTTEN: Final = 1e-9


def resolved(noise: ClockNoise | None) -> ClockNoise:
    """The noise with its class's numbers where it gives none of its own; nothing is no noise."""
    if noise is None:
        return _QUIET
    base = _QUIET if noise.clock_class is None else CLASSES[noise.clock_class]
    given = noise.model_dump(exclude_none=True)
    return base.model_copy(update=given)


class ColouredFrequency:
    """Flicker and random-walk noise of a clock's frequency, step by step of `step_s`.

    Flicker is a sum of relaxing (Ornstein-Uhlenbeck) processes with time constants apart by a
    factor r: of variance v each they add up to S_y(f) = v / (ln r f), whose Allan variance is
    2 ln 2 v / ln r. A random walk of frequency whose variance grows by q a second has the Allan
    variance q tau / 3 (Riley, NIST SP 1065, table of power laws).
    """

    def __init__(
        self,
        *,
        flicker_fm: float,
        random_walk_fm_1s: float,
        step_s: float,
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._step_s = step_s
        self._tau_s = _SHORTEST_S * _RATIO ** np.arange(_COMPONENTS if flicker_fm > 0.0 else 0)
        self._sigma = flicker_fm * math.sqrt(math.log(_RATIO) / (2.0 * math.log(2.0)))
        self._relaxing: Floats = rng.standard_normal(self._tau_s.size) * self._sigma
        self._walk_1s = math.sqrt(3.0) * random_walk_fm_1s
        self._walking = 0.0

    def phase_steps_s(self, count: int) -> Floats:
        """What the next `count` steps add to the phase, seconds."""
        frequency = np.zeros(count)
        if self._tau_s.size:
            keep = np.exp(-self._step_s / self._tau_s)
            spread = self._sigma * np.sqrt(1.0 - keep**2)
            values = self._rng.standard_normal((keep.size, count)) * spread[:, None]
            values[:, 0] += keep * self._relaxing
            # The recursion y_k = a y_(k-1) + e_k by doubling: 1/(1 - az) = (1 + az)(1 + a^2 z^2)...
            shift = 1
            while shift < count:
                factor = keep**shift
                lasting = int(np.argmax(factor > _FORGOTTEN))
                if factor[-1] <= _FORGOTTEN:
                    break
                values[lasting:, shift:] += factor[lasting:, None] * values[lasting:, :-shift]
                shift *= 2
            self._relaxing = values[:, -1].copy()
            frequency += values.sum(axis=0)
        if self._walk_1s > 0.0:
            steps = self._rng.normal(0.0, self._walk_1s * math.sqrt(self._step_s), count)
            walk = self._walking + np.cumsum(steps)
            self._walking = float(walk[-1])
            frequency += walk
        return frequency * self._step_s

    def jump_s(self, count: int) -> float:
        """What `count` steps together add to the phase, seconds, drawn at once."""
        length_s = count * self._step_s
        phase = 0.0
        if self._tau_s.size:
            tau, keep = self._tau_s, np.exp(-length_s / self._tau_s)
            end_variance = self._sigma**2 * (1.0 - keep**2)
            shared = self._sigma**2 * tau * (1.0 - keep) ** 2
            whole = self._sigma**2 * tau * (2.0 * length_s - tau * (3.0 - 4.0 * keep + keep**2))
            ends = self._rng.standard_normal(tau.size) * np.sqrt(end_variance)
            rest = np.sqrt(np.maximum(whole - shared**2 / end_variance, 0.0))
            phase += float(
                np.sum(
                    self._relaxing * tau * (1.0 - keep)
                    + ends * shared / end_variance
                    + self._rng.standard_normal(tau.size) * rest
                )
            )
            self._relaxing = self._relaxing * keep + ends
        if self._walk_1s > 0.0:
            end = self._walk_1s * math.sqrt(length_s) * float(self._rng.standard_normal())
            rest_sigma = self._walk_1s * math.sqrt(length_s**3 / 12.0)
            phase += self._walking * length_s + end * length_s / 2.0
            phase += rest_sigma * float(self._rng.standard_normal())
            self._walking += end
        return phase
