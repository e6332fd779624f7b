"""What heralds an attempt may bring, how likely, and what pair each leaves: closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from sim_backends.bell_diagonal import BellDiagonal, exchanged
from sim_backends.interference import WavePackets, share_within, visibility
from sim_backends.lab import MidpointConfig
from sim_backends.lab_parts import PhotonConfig

__all__ = ["Cause", "CauseName", "HeraldOdds", "interference_visibility", "single_click_coherence"]

CauseName: TypeAlias = Literal["pair", "both_bright", "dark"]


@dataclass(frozen=True, slots=True)
class Cause:
    """One way to a herald: its probability an attempt, and the pair that a Psi+ herald leaves."""

    name: CauseName
    probability: float
    psi_plus: BellDiagonal

    def pair(self, psi_minus: bool) -> BellDiagonal:
        """The pair left by a herald of Psi+ or Psi-."""
        return exchanged(self.psi_plus) if psi_minus else self.psi_plus


@dataclass(frozen=True)
class HeraldOdds:
    """All causes of a herald, false ones first."""

    causes: tuple[Cause, ...]

    @classmethod
    def of(cls, config: MidpointConfig) -> HeraldOdds:
        """The odds of a midpoint's own numbers."""
        causes = _single_click(config) if config.scheme == "single_click" else _double_click(config)
        share = config.residual_depolarising
        return cls(
            tuple(
                Cause(cause.name, config.duty * cause.probability, _mixed(cause.psi_plus, share))
                for cause in causes
            )
        )

    @property
    def true(self) -> float:
        """Probability an attempt of a herald by the photons that it is meant for."""
        return math.fsum(cause.probability for cause in self.causes if cause.name == "pair")

    @property
    def false(self) -> float:
        """Probability an attempt of a herald with a dark count in it."""
        return math.fsum(cause.probability for cause in self.causes if cause.name == "dark")

    @cached_property
    def total(self) -> float:
        """Probability of a herald an attempt."""
        return math.fsum(cause.probability for cause in self.causes)

    @property
    def false_share(self) -> float:
        """The share of heralds that dark counts made."""
        return self.false / self.total if self.total > 0.0 else 0.0

    @property
    def mean_pair(self) -> BellDiagonal:
        """The mean pair left by a Psi+ herald; maximally mixed where none is possible."""
        total = self.total
        if total <= 0.0:
            return 0.25, 0.25, 0.25, 0.25
        a, b, c, d = (
            math.fsum(cause.probability * cause.psi_plus[k] for cause in self.causes) / total
            for k in range(4)
        )
        return a, b, c, d

    @property
    def fidelity(self) -> float:
        """Mean fidelity of a fresh pair with its heralded Bell state."""
        return self.mean_pair[2]

    def drawn(self, chance: float) -> Cause:
        """The cause of a herald, for a number drawn uniformly from [0, 1)."""
        left = chance * self.total
        for cause in self.causes[:-1]:
            if left < cause.probability:
                return cause
            left -= cause.probability
        return self.causes[-1]


def interference_visibility(config: MidpointConfig) -> float:
    """`visibility` of the midpoint times the temporal overlap of its photons, where given."""
    if config.photons is None:
        return config.visibility
    return visibility(_packets(config.photons, config.visibility), _window_ns(config.photons))


def single_click_coherence(
    visibility: float, phase_sigma_deg: float, double_excitation: float
) -> float:
    """C = sqrt(V) exp(-sigma^2/2) (1 - p_2e) of the pair that one click heralds.

    The herald erases which emitter the photon came from by the overlap of two photons' amplitudes,
    whose square V is; Gaussian noise of the optical phase averages to exp(-sigma^2/2) (Humphreys
    et al., Nature 558, 268 (2018), methods).
    """
    sigma = math.radians(phase_sigma_deg)
    return math.sqrt(visibility) * math.exp(-(sigma**2) / 2.0) * (1.0 - double_excitation)


def _double_click(config: MidpointConfig) -> list[Cause]:
    """Both photons click, and linear optics tells half the Bell states: eta_A eta_B / 2, of which
    those within the window count.

    False ones, to first order in each kind: one photon and a dark count in one of the two detectors
    that make a valid pattern with it, or no photon and one of the four valid pairs of dark counts.
    """
    first, second = (config.efficiency[end] for end in config.ends)
    dark = config.dark_probability
    one = first * (1.0 - second) + second * (1.0 - first)
    none = (1.0 - first) * (1.0 - second)
    right = (1.0 + interference_visibility(config)) / 2.0
    near = 1.0
    if config.photons is not None:
        near = share_within(_packets(config.photons, 1.0), _window_ns(config.photons))
    return [
        Cause("dark", 2.0 * dark * one + 4.0 * dark**2 * none, (0.25, 0.25, 0.25, 0.25)),
        Cause("pair", 0.5 * first * second * near, (0.0, 0.0, right, 1.0 - right)),
    ]


def _single_click(config: MidpointConfig) -> list[Cause]:
    """Exactly one of two detectors clicks, each end bright with its population alpha.

    To first order in the efficiencies p = alpha_A eta_A + alpha_B eta_B + 2 d, and for equal ends
    F = (2 alpha (1 - alpha) eta / p) (1 + C)/2. Kept beyond it: two photons that bunch in one
    detector count as one click, and the other detector must stay silent.
    """
    (bright_a, eta_a), (bright_b, eta_b) = (
        (config.bright_population[end], config.efficiency[end]) for end in config.ends
    )
    dark = config.dark_probability
    overlap = interference_visibility(config)
    silent = 1.0 - dark
    only_a = bright_a * (1.0 - bright_b) * eta_a * silent
    only_b = bright_b * (1.0 - bright_a) * eta_b * silent
    one = only_a + only_b
    bunched = eta_a * eta_b * (1.0 + overlap) / 2.0
    lone = eta_a * (1.0 - eta_b) + eta_b * (1.0 - eta_a)
    both = bright_a * bright_b * (lone + bunched) * silent
    # No photon arrived: each end is bright with the probability left after none was seen of it.
    unseen = (1.0 - bright_a * eta_a) * (1.0 - bright_b * eta_b)
    left_a = bright_a * (1.0 - eta_a) / (1.0 - bright_a * eta_a) if bright_a < 1.0 else 1.0
    left_b = bright_b * (1.0 - eta_b) / (1.0 - bright_b * eta_b) if bright_b < 1.0 else 1.0
    odd = (left_a * (1.0 - left_b) + left_b * (1.0 - left_a)) / 2.0
    coherence = single_click_coherence(overlap, config.phase_sigma_deg, config.double_excitation)
    if one > 0.0:
        coherence *= 2.0 * math.sqrt(only_a * only_b) / one
    right = (1.0 + coherence) / 2.0
    return [
        Cause("dark", 2.0 * dark * silent * unseen, (0.5 - odd, 0.5 - odd, odd, odd)),
        Cause("both_bright", both, (0.5, 0.5, 0.0, 0.0)),
        Cause("pair", one, (0.0, 0.0, right, 1.0 - right)),
    ]


def _mixed(pair: BellDiagonal, share: float) -> BellDiagonal:
    a, b, c, d = ((1.0 - share) * weight + share / 4.0 for weight in pair)
    return a, b, c, d


def _packets(photons: PhotonConfig, mode_overlap: float) -> WavePackets:
    return WavePackets(
        lifetime_ns=photons.lifetime_ns,
        offset_ns=photons.offset_ps * 1e-3,
        jitter_ns=photons.jitter_ps * 1e-3,
        detuning_mhz=photons.detuning_mhz,
        dephasing_mhz=photons.dephasing_mhz,
        mode_overlap=mode_overlap,
    )


def _window_ns(photons: PhotonConfig) -> float:
    return math.inf if photons.window_ns is None else photons.window_ns
