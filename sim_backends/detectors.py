"""Superconducting nanowire detectors: clicks from photons, with bias, darks, jitter, dead time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.lab import DetectorConfig

__all__ = ["DetectorBank", "dead_time_mask"]

Times = npt.NDArray[np.int64]

PULSE_MV: Final = 300.0  # amplitude of a pulse at the full bias
LATCHING_BIAS: Final = 1.10  # above this share of the full bias a wire stays normal
_SIGMOID_CENTRE: Final = 0.70
_SIGMOID_WIDTH: Final = 0.05
_DARK_BIAS_SCALE: Final = 0.10
_JITTER_SIGMAS: Final = 6.0


class DetectorBank:
    """Starts switched off. The instrument sets `enabled`, `bias_ua` and `trigger_mv`.

    A photon's click comes `latency_ps` plus Gaussian jitter after it; the latency is as long as
    the jitter can be early, so that no click precedes its photon.
    """

    channels: int
    enabled: bool
    bias_ua: list[float]
    trigger_mv: list[float]

    def __init__(self, config: DetectorConfig, rng: np.random.Generator) -> None:
        self._config = config
        self._rng = rng
        self.channels = config.channels
        self.enabled = False
        self.bias_ua = [0.0] * config.channels
        self.trigger_mv = [100.0] * config.channels
        self.latency_ps = math.ceil(_JITTER_SIGMAS * config.jitter_ps)
        self._dead_ps = round(config.dead_time_ns * 1000.0)
        self._totals = [0] * config.channels
        self._last_click: list[int | None] = [None] * config.channels
        self._later: list[Times] = [np.empty(0, np.int64)] * config.channels

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
            dark = self._rng.poisson(self.dark_cps(channel) * (end_ps - start_ps) * 1e-12)
            if dark:
                arrivals.append(self._rng.integers(start_ps, end_ps, dark))
            clicks.append(self._click(channel, end_ps, arrivals))
        return clicks

    def _click(self, channel: int, end_ps: int, arrivals: list[Times]) -> Times:
        fresh = np.concatenate(arrivals) if arrivals else np.empty(0, np.int64)
        if fresh.size and self.latency_ps:
            jitter = self._rng.standard_normal(fresh.size) * self._config.jitter_ps
            jitter += self.latency_ps
            np.maximum(jitter, 0.0, out=jitter)
            fresh = fresh + np.rint(jitter).astype(np.int64)
        times = np.sort(np.concatenate((self._later[channel], fresh)))
        due = int(np.searchsorted(times, end_ps))
        self._later[channel], times = times[due:], times[:due]
        times = times[dead_time_mask(times, self._dead_ps, self._last_click[channel])]
        if times.size:
            self._last_click[channel] = int(times[-1])
            self._totals[channel] += times.size
        return times

    def _bias(self, channel: int) -> float:
        return self.bias_ua[channel] / self._config.full_bias_ua

    def _counts(self, channel: int) -> bool:
        bias = self._bias(channel)
        return (
            self.enabled
            and 0.0 < bias <= LATCHING_BIAS
            and abs(self.trigger_mv[channel]) < PULSE_MV * bias
        )


def _saturation(bias: float) -> float:
    return 1.0 / (1.0 + math.exp((_SIGMOID_CENTRE - bias) / _SIGMOID_WIDTH))


def dead_time_mask(times_ps: Times, dead_ps: int, last_ps: int | None) -> npt.NDArray[np.bool_]:
    """Which of the sorted times survive a dead time that a lost photon does not prolong.

    `last_ps` is the last click before them. The surviving rate is r / (1 + r dead) (Knoll,
    Radiation Detection and Measurement, 4.VII, nonparalyzable model).
    """
    kept = np.ones(times_ps.size, dtype=np.bool_)
    if not times_ps.size:
        return kept
    if last_ps is not None and times_ps[0] < last_ps + dead_ps:
        kept[: np.searchsorted(times_ps, last_ps + dead_ps)] = False
    alive = np.flatnonzero(kept)
    while alive.size:
        times = times_ps[alive]
        early = np.flatnonzero(times[1:] - times[:-1] < dead_ps)
        if not early.size:
            break
        # A run of early ones begins after a click that is sure; those in its shadow are lost, and
        # the rest of the run is seen again.
        first = np.ones(early.size, dtype=np.bool_)
        first[1:] = np.diff(early) > 1
        sure = early[first]
        edges = np.zeros(alive.size + 1, dtype=np.int8)
        edges[sure + 1] = 1
        edges[np.searchsorted(times, times[sure] + dead_ps)] = -1
        lost = np.cumsum(edges[:-1]) > 0
        kept[alive[lost]] = False
        alive = alive[~lost]
    return kept
