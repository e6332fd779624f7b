"""Pair sources: photons by down-conversion, drawn only where a detector will see them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sim_backends.analyzers import WaveplatePair, analyzer_states
from sim_backends.channels import FibreChannel
from sim_backends.detectors import DetectorBank
from sim_backends.emission import seen_pulses
from sim_backends.lab import SourceConfig
from sim_backends.lasers import LaserModel
from sim_backends.states import joint_probabilities, werner

__all__ = ["PairSource"]

Times = npt.NDArray[np.int64]


class PairSource:
    """Emits polarization-entangled pairs at a Poisson rate proportional to the pump's power.

    Pairs are independent, so that several in one coincidence window (multi-pair emission) come out
    of the statistics. With pulses they come in the numbers of `emission`.
    `arms` are, for each end, the channel, analyzer and detectors of its photon.
    """

    def __init__(
        self,
        config: SourceConfig,
        pump: LaserModel,
        arms: tuple[
            tuple[FibreChannel, WaveplatePair, DetectorBank],
            tuple[FibreChannel, WaveplatePair, DetectorBank],
        ],
        rng: np.random.Generator,
    ) -> None:
        self._config = config
        self._pump = pump
        self._arms = arms
        self._rng = rng
        self._density = werner(config.bell_state, config.fidelity)
        self._seen_angles: tuple[float, ...] = ()
        self._joint = np.zeros((2, 2))
        self._seen_efficiencies: tuple[float, ...] = ()
        self._probabilities = np.zeros((3, 3))

    def configure(self, config: SourceConfig) -> None:
        """Emit other pairs from now on."""
        self._config = config
        self._density = werner(config.bell_state, config.fidelity)
        self._seen_angles = ()

    @property
    def pairs_per_s(self) -> float:
        """Pairs that leave the crystal now."""
        return self._config.pairs_per_s_per_mw * self._pump.power_mw

    def moving(self) -> bool:
        """True while wave plates turn, when a step must be short."""
        return any(analyzer.moving() for _, analyzer, _ in self._arms)

    def detection_probabilities(self, lab_ps: int = 0) -> npt.NDArray[np.float64]:
        """P[i, j] that a pair clicks in channel i at the first and in j at the second end.

        0 and 1 are the transmitted and reflected channel; 2 is "not detected". Plates and
        detectors are as they are now, fibres as at the lab time.
        """
        angles = tuple(angle for arm in self._arms for angle in arm[1].angles_deg())
        efficiencies = tuple(
            fibre.transmissivity * bank.efficiency(channel)
            for fibre, _, bank in self._arms
            for channel in (0, 1)
        )
        turned = any(fibre.turns for fibre, _, _ in self._arms)
        if turned or angles != self._seen_angles:
            # A state <s| behind a fibre U is <s|U before it.
            states = [
                analyzer_states(*angles[2 * k : 2 * k + 2]) @ fibre.unitary(lab_ps).conj()
                if fibre.turns
                else analyzer_states(*angles[2 * k : 2 * k + 2])
                for k, (fibre, _, _) in enumerate(self._arms)
            ]
            self._joint = joint_probabilities(self._density, states[0], states[1])
        elif efficiencies == self._seen_efficiencies:
            return self._probabilities
        self._seen_angles, self._seen_efficiencies = angles, efficiencies
        joint, first, second = self._joint, np.array(efficiencies[:2]), np.array(efficiencies[2:])
        seen = np.zeros((3, 3))
        seen[:2, :2] = joint * first[:, None] * second[None, :]
        seen[:2, 2] = joint.sum(axis=1) * first - seen[:2, :2].sum(axis=1)
        seen[2, :2] = joint.sum(axis=0) * second - seen[:2, :2].sum(axis=0)
        seen[2, 2] = 1.0 - seen.sum()
        self._probabilities = np.clip(seen, 0.0, 1.0)
        return self._probabilities

    def step(self, start_ps: int, end_ps: int) -> tuple[list[list[Times]], list[list[Times]]]:
        """Arrival times, by end and channel, of the photons that click, emitted in [start, end)."""
        arrivals: tuple[list[list[Times]], list[list[Times]]] = ([[], []], [[], []])
        rate = self.pairs_per_s * (end_ps - start_ps) * 1e-12
        if rate <= 0.0:
            return arrivals
        probabilities = self.detection_probabilities(start_ps).reshape(-1)[:8]
        if self._config.pulses is None:
            # The nine kinds of a Poisson process are independent Poisson processes.
            counts = self._rng.poisson(rate * probabilities)
            emitted = self._rng.integers(start_ps, end_ps, int(counts.sum()))
        else:
            counts, emitted = self._pulsed(start_ps, end_ps, probabilities)
        shifts = self._shifts(emitted, start_ps, end_ps)
        stop = np.cumsum(counts)
        for kind in range(8):
            part = slice(stop[kind] - counts[kind], stop[kind])
            if not counts[kind]:
                continue
            for end, channel in enumerate(divmod(kind, 3)):
                if channel < 2:
                    shift = shifts[end]
                    if isinstance(shift, int):
                        times = emitted[part] + shift
                    else:
                        # What would come before its step comes at its begin.
                        times = np.maximum(emitted[part] + shift[part], start_ps)
                    arrivals[end][channel].append(times)
        return arrivals

    def _pulsed(
        self, start_ps: int, end_ps: int, probabilities: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], Times]:
        """Counts by kind and emission times, in the order of kinds."""
        pulses = self._config.pulses
        assert pulses is not None
        period_ps = 1e12 / pulses.rate_hz
        first = math.ceil(start_ps / period_ps)
        number = math.ceil(end_ps / period_ps) - first
        mean_seen = self.pairs_per_s / pulses.rate_hz * float(probabilities.sum())
        if number <= 0 or mean_seen <= 0.0:
            return np.zeros(8, np.int64), np.empty(0, np.int64)
        index = seen_pulses(self._rng, number, mean_seen, pulses.modes)
        emitted = np.rint((first + index) * period_ps).astype(np.int64)
        if pulses.length_ps:
            spread = self._rng.normal(0.0, pulses.length_ps, emitted.size)
            # No photon comes before its step, as detectors expect.
            emitted = np.maximum(emitted + np.rint(spread).astype(np.int64), start_ps)
        limits = np.cumsum(probabilities) / probabilities.sum()
        kinds = np.searchsorted(limits[:-1], self._rng.random(emitted.size), side="right")
        return np.bincount(kinds, minlength=8), emitted[np.argsort(kinds, kind="stable")]

    def _shifts(
        self, emitted: Times, start_ps: int, end_ps: int
    ) -> tuple[int | Times, int | Times]:
        """Delay of each photon at the two ends: flight, dispersion, and the pair's own spread."""
        first, second = (
            self._flight(fibre, emitted, start_ps, end_ps) for fibre, _, _ in self._arms
        )
        if self._config.bandwidth_nm:
            # Energy is conserved: what one photon's wavelength is longer, the other's is shorter.
            late_nm = self._rng.normal(0.0, self._config.bandwidth_nm, emitted.size)
            slopes = [fibre.dispersion_ps_per_nm for fibre, _, _ in self._arms]
            first = first + np.rint(late_nm * slopes[0]).astype(np.int64)
            second = second - np.rint(late_nm * slopes[1]).astype(np.int64)
        if self._config.correlation_ps:
            apart = self._rng.normal(0.0, self._config.correlation_ps, emitted.size)
            second = second + np.rint(apart).astype(np.int64)
        return first, second

    @staticmethod
    def _flight(fibre: FibreChannel, emitted: Times, start_ps: int, end_ps: int) -> int | Times:
        before_ps = fibre.delay_ps(start_ps)
        after_ps = fibre.delay_ps(end_ps)
        if before_ps == after_ps:
            return round(before_ps)
        slope = (after_ps - before_ps) / (end_ps - start_ps)
        late: Times = np.rint(before_ps + slope * (emitted - start_ps)).astype(np.int64)
        return late
