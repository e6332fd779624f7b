"""Superconducting nanowire detectors: clicks from photons, with bias, darks, jitter, dead time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.dead_time import dead_time_mask, recovery_mask
from sim_backends.lab import DetectorConfig

__all__ = ["DetectorBank", "dead_time_mask"]

Times = npt.NDArray[np.int64]

PULSE_MV: Final = 300.0  # amplitude of a pulse at the full bias
LATCHING_BIAS: Final = 1.10  # above this share of the full bias a wire stays normal
RELEASING_BIAS: Final = 0.50  # below it a latched wire recovers
_SIGMOID_CENTRE: Final = 0.70
_SIGMOID_WIDTH: Final = 0.05
_DARK_BIAS_SCALE: Final = 0.10
_JITTER_SIGMAS: Final = 6.0
_PIECE: Final = 8192


class DetectorBank:
    """Starts switched off. The instrument sets `enabled`, `bias_ua` and `trigger_mv`, the world
    `light_cps`: photons a second of other light at each channel. `driven_cps`: clicks a second that
    bright light makes at each, in place of all others; None: there is none.

    A photon's click comes `latency_ps` plus jitter after it; the latency is as long as Gaussian
    jitter can be early, so that no click precedes its photon. What makes clicks other than light
    (after-pulses) acts to first order: a click that an after-pulse hides has had its own.
    """

    channels: int
    enabled: bool
    bias_ua: list[float]
    trigger_mv: list[float]
    light_cps: list[float]

    def __init__(self, config: DetectorConfig, rng: np.random.Generator) -> None:
        self._config = config
        self._rng = rng
        self.channels = config.channels
        self.enabled = False
        self.bias_ua = [0.0] * config.channels
        self.trigger_mv = [100.0] * config.channels
        self.light_cps = [0.0] * config.channels
        self.driven_cps: float | None = None
        self._latched = [False] * config.channels
        self.latency_ps = math.ceil(_JITTER_SIGMAS * config.jitter_ps)
        self._dead_ps = round(config.dead_time_ns * 1000.0)
        self._buffer = np.empty(_PIECE)
        self._totals = [0] * config.channels
        self._last_click: list[int | None] = [None] * config.channels
        self._later: list[Times] = [np.empty(0, np.int64)] * config.channels

    @property
    def full_bias_ua(self) -> float:
        """The bias at which efficiency and dark counts are those of the configuration."""
        return self._config.full_bias_ua

    def configure(self, config: DetectorConfig) -> None:
        """Have another efficiency, dark count rate or dead time from now on."""
        self._config = config
        self._dead_ps = round(config.dead_time_ns * 1000.0)

    def efficiency(self, channel: int) -> float:
        """Probability that a photon at channel (from 0) clicks: a sigmoid of the bias."""
        if not self._counts(channel):
            return 0.0
        share = _saturation(self._bias(channel)) / _saturation(1.0)
        return min(1.0, self._config.efficiency * share)

    def dark_cps(self, channel: int) -> float:
        """Dark counts of a channel (from 0): exponential in the bias."""
        if not self._counts(channel):
            return 0.0
        return self._config.dark_cps * math.exp((self._bias(channel) - 1.0) / _DARK_BIAS_SCALE)

    def latched(self, channel: int) -> bool:
        """Whether a wire (from 0) stays normal until its bias has been below half the full one."""
        if self._latched[channel] and self._bias(channel) < RELEASING_BIAS:
            self._latched[channel] = False
        return self._latched[channel]

    def count_totals(self) -> list[int]:
        """Clicks of each channel since the lab's start."""
        return list(self._totals)

    def step(self, start_ps: int, end_ps: int, photons: Sequence[Sequence[Times]]) -> list[Times]:
        """The clicks of each channel in [start, end), sorted, on the lab's time.

        `photons[channel]` are arrays of the times, from `start_ps` on, at which photons arrive that
        click: efficiency is taken account of before. Those after `end_ps` wait for their step.
        """
        clicks = []
        for channel in range(self.channels):
            arrivals = list(photons[channel])
            seconds = (end_ps - start_ps) * 1e-12
            if self.driven_cps is not None:
                clicks.append(self._driven(channel, start_ps, end_ps, self.driven_cps))
                continue
            light_cps = self.light_cps[channel] * self.efficiency(channel)
            lit_cps = sum(times.size for times in arrivals) / seconds + light_cps
            if self.latched(channel) or self._blinded(lit_cps):
                self._later[channel] = np.empty(0, np.int64)
                clicks.append(np.empty(0, np.int64))
                continue
            dark = self._rng.poisson(self.dark_cps(channel) * (end_ps - start_ps) * 1e-12)
            if dark:
                arrivals.append(self._rng.integers(start_ps, end_ps, dark))
            if light_cps > 0.0:
                count = self._rng.poisson(light_cps * seconds)
                arrivals.append(self._rng.integers(start_ps, end_ps, count))
            clicks.append(self._click(channel, end_ps, arrivals))
        return clicks

    def _driven(self, channel: int, start_ps: int, end_ps: int, rate_cps: float) -> Times:
        """Clicks that an intruder makes, who leaves the dead time as it is."""
        self._later[channel] = np.empty(0, np.int64)
        if not self._counts(channel):
            return np.empty(0, np.int64)
        count = self._rng.poisson(rate_cps * (end_ps - start_ps) * 1e-12)
        return self._click(channel, end_ps, [self._rng.integers(start_ps, end_ps, count)])

    def _blinded(self, light_cps: float) -> bool:
        limit_cps = self._config.blinding_cps
        return limit_cps is not None and light_cps > limit_cps

    def _click(self, channel: int, end_ps: int, arrivals: list[Times]) -> Times:
        fresh = np.concatenate(arrivals) if arrivals else np.empty(0, np.int64)
        if fresh.size and (self.latency_ps or self._config.tail):
            self._jitter(fresh)
        times = np.concatenate((self._later[channel], fresh))
        times.sort()
        due = int(np.searchsorted(times, end_ps))
        self._later[channel], times = times[due:], times[:due]
        times = self._ready(channel, times)
        if self._config.afterpulse:
            times = self._with_afterpulses(channel, times, end_ps)
        if self._config.latching and times.size:
            before = int(self._rng.geometric(self._config.latching))
            if before <= times.size:
                times, self._latched[channel] = times[:before], True
                self._later[channel] = np.empty(0, np.int64)
        if times.size:
            self._last_click[channel] = int(times[-1])
            self._totals[channel] += times.size
        return times

    def _jitter(self, times: Times) -> None:
        """Make times later by the latency and the jitter, in place."""
        # Piece by piece in one small buffer: large ones cost more than the numbers in them.
        for start in range(0, times.size, _PIECE):
            piece = times[start : start + _PIECE]
            jitter = self._buffer[: piece.size]
            self._rng.standard_normal(out=jitter)
            jitter *= self._config.jitter_ps
            jitter += self.latency_ps
            np.maximum(jitter, 0.0, out=jitter)
            np.rint(jitter, out=jitter)
            piece += jitter.astype(np.int64)
        if self._config.tail:
            late = np.flatnonzero(self._rng.random(times.size) < self._config.tail)
            tail_ps = self._rng.exponential(self._config.tail_ps, late.size)
            times[late] += np.rint(tail_ps).astype(np.int64)

    def _ready(self, channel: int, times: Times) -> Times:
        """Those of the sorted times at which the wire is superconducting and biased again."""
        last, recovery_ps = self._last_click[channel], self._config.recovery_ns * 1e3
        if recovery_ps == 0.0:
            return times[dead_time_mask(times, self._dead_ps, last)]
        chances = self._rng.random(times.size)
        return times[recovery_mask(times, chances, self._dead_ps, recovery_ps, last)]

    def _with_afterpulses(self, channel: int, times: Times, end_ps: int) -> Times:
        """The clicks with those that follow from them; what is due after the step waits."""
        parents = times
        while parents.size:
            chosen = parents[self._rng.random(parents.size) < self._config.afterpulse]
            waits = self._rng.exponential(self._config.afterpulse_ns * 1e3, chosen.size)
            children = np.sort(chosen + self._dead_ps + np.rint(waits).astype(np.int64))
            due = int(np.searchsorted(children, end_ps))
            if due < children.size:
                later = np.concatenate((self._later[channel], children[due:]))
                self._later[channel] = np.sort(later)
            parents = children[:due]
            both = np.sort(np.concatenate((times, parents)))
            times = both[dead_time_mask(both, self._dead_ps, self._last_click[channel])]
            parents = parents[np.isin(parents, times)]
        return times

    def _bias(self, channel: int) -> float:
        return self.bias_ua[channel] / self._config.full_bias_ua

    def _counts(self, channel: int) -> bool:
        bias = self._bias(channel)
        return (
            self.enabled
            and 0.0 < bias <= LATCHING_BIAS
            and not self.latched(channel)
            and abs(self.trigger_mv[channel]) < PULSE_MV * bias
        )


def _saturation(bias: float) -> float:
    return 1.0 / (1.0 + math.exp((_SIGMOID_CENTRE - bias) / _SIGMOID_WIDTH))
