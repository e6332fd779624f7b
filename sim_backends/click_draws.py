"""The clicks of single attempts at a midpoint: photons that meet at a beam splitter, and darks.

Nothing here knows the closed forms of `heralding`: what an attempt brings is drawn photon by photon
and click by click, so that one can be tested against the other.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.heralding import CauseName
from sim_backends.lab import MidpointConfig
from sim_backends.lab_parts import SIGMAS
from sim_backends.states import BellName

__all__ = ["AttemptDraws", "Clicks"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_PLUS: Final = 1
_MINUS: Final = 2
_BATCH: Final = 64
_ROUNDS: Final = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Clicks:
    """Clicks in the order of slot and place; all arrays of shape (n,).

    `place` is port + 2 mode (early or H first), `after_ns` the time from its window's begin.
    """

    slot: Integers
    place: Integers
    after_ns: Floats

    def of(self, chosen: npt.NDArray[np.bool_]) -> Clicks:
        """Those chosen."""
        return Clicks(self.slot[chosen], self.place[chosen], self.after_ns[chosen])


class AttemptDraws:
    """Draws the clicks of attempts at a midpoint with `photons` and `clicks`.

    With two photons each is in one of two modes, and of different modes they herald; with a single
    click there is one mode. Photons of one mode leave by different ports with (1 - x)/2, x their
    overlap at the times at which they click (Legero et al., Appl. Phys. B 77, 797 (2003)).
    """

    def __init__(self, config: MidpointConfig) -> None:
        assert config.photons is not None
        assert config.clicks is not None  # checked with the file
        self._photons, self._clicks = config.photons, config.clicks
        self._overlap = config.visibility
        self.modes = 2 if config.scheme == "double_click" else 1
        self._states = np.zeros(16, np.uint8)
        if self.modes == 2:
            self._states[[0b0101, 0b1010]] = _PLUS
            self._states[[0b1001, 0b0110]] = _MINUS
        else:
            self._states[[0b01, 0b10]] = _PLUS, _MINUS
        self._contents, self._chances = _contents(config, 2 * self.modes)
        self._both_bright = _both_bright(config)

    @property
    def lead_ns(self) -> float:
        """From a window's begin to the earliest photon of the first end."""
        photons, sigmas = self._photons, SIGMAS
        early_ps = max(0.0, sigmas * photons.jitter_ps - photons.offset_ps)
        return 1e-3 * (early_ps + sigmas * self._clicks.jitter_ps)

    @property
    def busy(self) -> float:
        """Probability that an attempt brings a click at all."""
        return float(1.0 - self._chances[0])

    def free(self, rng: np.random.Generator, slots: Integers) -> Clicks:
        """What attempts in these slots bring, whatever it is."""
        busy = _sparse(rng, slots.size, self.busy)
        return self._bring(rng, slots[busy], self._drawn(rng, self._chances, busy.size, first=1))

    def silent(self, rng: np.random.Generator, slots: Integers) -> Clicks:
        """What attempts in these slots bring that are known not to herald."""
        parts = []
        left = slots[_sparse(rng, slots.size, self.busy)]
        for _ in range(_ROUNDS):
            if not left.size:
                break
            clicks = self._bring(rng, left, self._drawn(rng, self._chances, left.size, first=1))
            heralding, _ = self.heralds(clicks)
            parts.append(clicks.of(~np.isin(clicks.slot, heralding)))
            left = heralding[rng.random(heralding.size) < self.busy]
        return _joined(parts)

    def heralding(
        self, rng: np.random.Generator, slot: int, bell_state: BellName, cause: CauseName
    ) -> Clicks:
        """What an attempt brings that is known to herald this state by this cause."""
        wanted = _PLUS if bell_state == "PSI_PLUS" else _MINUS
        chances = self._chances * self._may(cause)
        batch = np.arange(_BATCH)
        for _ in range(_ROUNDS):
            clicks = self._bring(rng, batch, self._drawn(rng, chances, _BATCH))
            numbers, states = self.heralds(clicks)
            fitting = numbers[states == wanted]
            if fitting.size:
                chosen = clicks.of(clicks.slot == fitting[0])
                return Clicks(np.full_like(chosen.slot, slot), chosen.place, chosen.after_ns)
        raise ArithmeticError(f"no {cause} herald of {bell_state} in {_ROUNDS * _BATCH} draws")

    def heralds(self, clicks: Clicks) -> tuple[Integers, npt.NDArray[np.uint8]]:
        """The slots whose clicks herald, and which state: 1 Psi+, 2 Psi-."""
        if not clicks.slot.size:
            return clicks.slot, np.empty(0, np.uint8)
        numbers, first = np.unique(clicks.slot, return_index=True)
        states = self._states[np.bitwise_or.reduceat(1 << clicks.place, first)]
        if self._photons.window_ns is not None:
            apart = np.maximum.reduceat(clicks.after_ns, first)
            apart -= np.minimum.reduceat(clicks.after_ns, first)
            states = np.where(apart <= self._photons.window_ns, states, 0).astype(np.uint8)
        heralding = states > 0
        return numbers[heralding], states[heralding]

    def jittered(self, rng: np.random.Generator, clicks: Clicks) -> Floats:
        """The clicks' times from their windows' begin with the detectors' jitter, ns."""
        jitter_ns = 1e-3 * self._clicks.jitter_ps * rng.standard_normal(clicks.slot.size)
        limit_ns = 1e-3 * SIGMAS * self._clicks.jitter_ps
        late: Floats = clicks.after_ns + np.clip(jitter_ns, -limit_ns, limit_ns)
        return np.clip(late, 0.0, self._clicks.window_ns)

    def _may(self, cause: CauseName) -> Floats:
        """For each content of an attempt the share of it that is of this cause."""
        photons = self._contents[:, :2].sum(axis=1)
        darks = self._contents[:, 2:].sum(axis=1)
        share: Floats = ((darks == 0) & (photons == self.modes)).astype(np.float64)
        if cause == "dark":
            share = ((darks > 0) & (photons + darks == self.modes)).astype(np.float64)
        elif cause == "both_bright":
            share = self._both_bright[photons] * (darks == 0)
        return share

    def _drawn(
        self, rng: np.random.Generator, chances: Floats, count: int, *, first: int = 0
    ) -> npt.NDArray[np.bool_]:
        """Contents of so many attempts, those before `first` excluded."""
        limits = np.cumsum(chances[first:])
        kinds = np.searchsorted(limits, rng.random(count) * limits[-1], side="right")
        contents: npt.NDArray[np.bool_] = self._contents[first + kinds]
        return contents

    def _bring(
        self, rng: np.random.Generator, slots: Integers, contents: npt.NDArray[np.bool_]
    ) -> Clicks:
        """The clicks of slots with these contents, a detector's first one in each window."""
        count, photons = slots.size, self._photons
        ports = rng.integers(0, 2, (2, count))
        modes = rng.integers(0, self.modes, (2, count))
        late_ns = photons.offset_ps + photons.jitter_ps * np.clip(
            rng.standard_normal(count), -SIGMAS, SIGMAS
        )
        late_ns *= 1e-3
        after_ns = rng.exponential(photons.lifetime_ns, (2, count))
        after_ns[1] += late_ns
        theta_ns = after_ns[0] - after_ns[1]
        turn = 2e-3 * np.pi * theta_ns  # times a frequency in MHz
        overlap = self._overlap * np.cos(turn * photons.detuning_mhz)
        overlap *= np.exp(-2.0 * np.abs(turn) * photons.dephasing_mhz)
        # Only where either click may be of either photon do the two ways interfere.
        overlap[after_ns.min(axis=0) < np.maximum(late_ns, 0.0)] = 0.0
        meet = contents[:, 0] & contents[:, 1] & (modes[0] == modes[1])
        together = meet & (rng.random(count) >= (1.0 - overlap) / 2.0)
        ports[1] = np.where(meet, ports[0] ^ ~together, ports[1])
        after_ns += self.lead_ns
        which, dark = np.nonzero(contents[:, 2:])
        slot = np.concatenate((slots[contents[:, 0]], slots[contents[:, 1]], slots[which]))
        place = np.concatenate([(ports[k] + 2 * modes[k])[contents[:, k]] for k in (0, 1)] + [dark])
        times_ns = np.concatenate(
            [after_ns[k][contents[:, k]] for k in (0, 1)]
            + [rng.uniform(0.0, self._clicks.window_ns, which.size)]
        )
        order = np.lexsort((times_ns, place, slot))
        slot, place, times_ns = slot[order], place[order], times_ns[order]
        first = np.ones(slot.size, np.bool_)
        first[1:] = (np.diff(slot) != 0) | (np.diff(place) != 0)
        return Clicks(slot[first], place[first], times_ns[first])


def _contents(config: MidpointConfig, places: int) -> tuple[npt.NDArray[np.bool_], Floats]:
    """What may be in an attempt (a photon of either end, a dark at each place), and how likely.

    The first is that there is nothing.
    """
    bright = [
        config.efficiency[end] * config.bright_population.get(end, 1.0) for end in config.ends
    ]
    dark = config.dark_probability
    contents = np.array(list(itertools.product((False, True), repeat=2 + places)))
    seen = np.array(bright)
    photons = np.where(contents[:, :2], seen, 1.0 - seen).prod(axis=1) * config.duty
    photons += np.where(contents[:, :2].any(axis=1), 0.0, 1.0 - config.duty)
    return contents, photons * np.where(contents[:, 2:], dark, 1.0 - dark).prod(axis=1)


def _both_bright(config: MidpointConfig) -> Floats:
    """Probability that both ends were bright where 0, 1 or 2 photons came to a click.

    A lone photon's end was bright, and the other bright without a photon or dim.
    """
    (alpha_a, eta_a), (alpha_b, eta_b) = (
        (config.bright_population.get(end, 1.0), config.efficiency[end]) for end in config.ends
    )
    lone = alpha_a * eta_a * (1.0 - alpha_b * eta_b) + alpha_b * eta_b * (1.0 - alpha_a * eta_a)
    both = alpha_a * alpha_b * (eta_a * (1.0 - eta_b) + eta_b * (1.0 - eta_a))
    return np.array([0.0, both / lone if lone > 0.0 else 0.0, 1.0])


def _sparse(rng: np.random.Generator, count: int, chance: float) -> Integers:
    """Which of `count` tries succeed, ascending; drawn from success to success."""
    if chance <= 0.0 or count <= 0:
        return np.empty(0, np.int64)
    parts, last = [], -1
    while last < count:
        most = int((count - last) * chance * 1.1) + 16
        tries = last + np.cumsum(rng.geometric(chance, most))
        parts.append(tries)
        last = int(tries[-1])
    found = np.concatenate(parts)
    return found[: int(np.searchsorted(found, count))]


def _joined(parts: list[Clicks]) -> Clicks:
    if not parts:
        return Clicks(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in Clicks.__slots__)
    return Clicks(*joined)
