"""Single-photon emitters: one photon at a time, as the light of an atom or a colour centre."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.analyzers import WaveplatePair
from sim_backends.channels import FibreChannel
from sim_backends.detectors import DetectorBank
from sim_backends.lab import EmitterConfig
from sim_backends.lasers import LaserModel

__all__ = ["SingleEmitter", "emitter_g2"]

Times = npt.NDArray[np.int64]

_PS: Final = 1e12


def emitter_g2(delay_ns: float, excitation_per_s: float, lifetime_ns: float) -> float:
    """g2 of a driven two-level emitter without coherence: 1 - exp(-(W + 1/tau) |t|).

    Rate equations (Kurtsiefer, Mayer, Zarda, Weinfurter, PRL 85, 290 (2000), two levels).
    """
    rate_per_ns = excitation_per_s * 1e-9 + 1.0 / lifetime_ns
    return 1.0 - math.exp(-rate_per_ns * abs(delay_ns))


class SingleEmitter:
    """Emits unpolarized photons one by one: excited at random or by pulses, then decaying.

    Background of the share b is Poissonian light beside it, so that g2(0) = b (2 - b).
    """

    def __init__(
        self,
        config: EmitterConfig,
        pump: LaserModel,
        arm: tuple[FibreChannel, WaveplatePair, DetectorBank],
        rng: np.random.Generator,
    ) -> None:
        self._config = config
        self._pump = pump
        self._fibre, self._analyzer, self._bank = arm
        self._rng = rng
        self._next_ps: float | None = None

    @property
    def excitation_per_s(self) -> float:
        """Rate at which the emitter leaves its ground state, without pulses."""
        return self._config.excitations_per_s_per_mw * self._pump.power_mw

    def step(self, start_ps: int, end_ps: int) -> list[list[Times]]:
        """Arrival times, by channel, of the photons that click, emitted in [start, end)."""
        emitted = self._emitted(start_ps, end_ps)
        background = self._config.background
        if background > 0.0:
            mean = emitted.size * background / (1.0 - background) if background < 1.0 else 0.0
            other = self._rng.integers(start_ps, end_ps, int(self._rng.poisson(mean)))
            emitted = np.concatenate((emitted, other))
        passed = self._fibre.transmissivity * self._config.collection
        limits = np.cumsum([0.5 * passed * self._bank.efficiency(port) for port in (0, 1)])
        where = np.searchsorted(limits, self._rng.random(emitted.size), side="right")
        delay_ps = round(self._fibre.delay_ps(start_ps))
        return [[emitted[where == port] + delay_ps] for port in (0, 1)]

    def _emitted(self, start_ps: int, end_ps: int) -> Times:
        """Times of emission; that of a cycle under way at the step's end waits for its own."""
        lifetime_ps = self._config.lifetime_ns * 1e3
        if self._pump.power_mw <= 0.0:
            self._next_ps = None
            return np.empty(0, np.int64)
        if self._config.pulse_rate_hz is not None:
            period_ps = _PS / self._config.pulse_rate_hz
            pulses = np.arange(math.ceil(start_ps / period_ps), math.ceil(end_ps / period_ps))
            decays = self._rng.exponential(lifetime_ps, pulses.size)
            # An emitter still excited at the next pulse gives no second photon for it.
            decayed = pulses * period_ps + decays
            late = np.concatenate(([False], decayed[:-1] > pulses[1:] * period_ps))
            return np.sort(np.rint(decayed[~late]).astype(np.int64))
        if self.excitation_per_s <= 0.0:
            self._next_ps = None
            return np.empty(0, np.int64)
        wait_ps = _PS / self.excitation_per_s
        now_ps = float(start_ps)
        parts: list[npt.NDArray[np.float64]] = []
        if self._next_ps is not None:
            now_ps = max(self._next_ps, now_ps)
            parts.append(np.array([now_ps]))
        while now_ps < end_ps:
            expected = (end_ps - now_ps) / (wait_ps + lifetime_ps)
            count = math.ceil(expected + 6.0 * math.sqrt(expected) + 4.0)
            cycles = self._rng.exponential(wait_ps, count)
            cycles += self._rng.exponential(lifetime_ps, count)
            times = now_ps + np.cumsum(cycles)
            parts.append(times)
            now_ps = float(times[-1])
        times = np.concatenate(parts)
        inside = int(np.searchsorted(times, end_ps))
        self._next_ps = float(times[inside])
        return np.rint(times[:inside]).astype(np.int64)
