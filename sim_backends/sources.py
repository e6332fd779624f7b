"""Pair sources: photons by down-conversion, drawn only where a detector will see them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim_backends.analyzers import WaveplatePair, analyzer_states
from sim_backends.channels import FibreChannel
from sim_backends.detectors import DetectorBank
from sim_backends.lab import SourceConfig
from sim_backends.lasers import LaserModel
from sim_backends.states import joint_probabilities, werner

__all__ = ["PairSource"]

Times = npt.NDArray[np.int64]


class PairSource:
    """Emits polarization-entangled pairs at a Poisson rate proportional to the pump's power.

    Pairs are independent, so that several in one coincidence window (multi-pair emission) come out
    of the statistics. `arms` are, for each end, the channel, analyzer and detectors of its photon.
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

    def detection_probabilities(self) -> npt.NDArray[np.float64]:
        """P[i, j] that a pair clicks in channel i at the first and in j at the second end now.

        0 and 1 are the transmitted and reflected channel; 2 is "not detected".
        """
        angles = tuple(angle for arm in self._arms for angle in arm[1].angles_deg())
        efficiencies = tuple(
            fibre.transmissivity * bank.efficiency(channel)
            for fibre, _, bank in self._arms
            for channel in (0, 1)
        )
        if angles != self._seen_angles:
            self._joint = joint_probabilities(
                self._density, analyzer_states(*angles[:2]), analyzer_states(*angles[2:])
            )
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
        # The nine kinds of a Poisson process are independent Poisson processes.
        means = rate * self.detection_probabilities().reshape(-1)[:8]
        counts = self._rng.poisson(means)
        emitted = self._rng.integers(start_ps, end_ps, int(counts.sum()))
        delays = [round(fibre.delay_ps) for fibre, _, _ in self._arms]
        stop = np.cumsum(counts)
        for kind in range(8):
            times = emitted[stop[kind] - counts[kind] : stop[kind]]
            if not times.size:
                continue
            for end, channel in enumerate(divmod(kind, 3)):
                if channel < 2:
                    arrivals[end][channel].append(times + delays[end])
        return arrivals
