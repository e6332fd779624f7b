"""The fast path: from herald to herald, and what measurements of the pairs would show.

An hour of attempts takes as long as its heralds are many. The chance is that of the lab: the same
odds, drawn geometrically.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sim_backends.bell_diagonal import (
    Hold,
    Pairs,
    correlators,
    fidelity_to,
    stored,
    swapped,
)
from sim_backends.heralding import HeraldOdds

__all__ = [
    "Chain",
    "FastLink",
    "Heralds",
    "chain_pairs",
    "estimated_fidelity",
    "heralds",
    "kept_pairs",
    "mean_fidelity",
    "pairs_of",
]

_SIGMAS: Final = 6.0
_PIECE: Final = 8192  # rounds of a chain at once: larger arrays fall out of the cache


@dataclass(frozen=True, slots=True)
class FastLink:
    """A link as its odds, its attempt period, and how its two halves are kept for `hold_s`.

    After a herald no attempts are made for `pause_s`.
    """

    odds: HeraldOdds
    period_s: float
    holds: tuple[Hold, Hold] | None = None
    hold_s: tuple[float, float] = (0.0, 0.0)
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Heralds:
    """Heralds in order: slots (int64), whether Psi- (bool), index of the cause (uint8)."""

    slots: npt.NDArray[np.int64]
    psi_minus: npt.NDArray[np.bool_]
    causes: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return self.slots.size


def heralds(link: FastLink, seconds: float, rng: np.random.Generator) -> Heralds:
    """All heralds of a time, of which there may be none."""
    slots = _success_slots(
        min(link.odds.total, 1.0),
        math.floor(seconds / link.period_s),
        math.ceil(link.pause_s / link.period_s),
        rng,
    )
    count = slots.size
    limits = np.cumsum([cause.probability for cause in link.odds.causes])
    chance = rng.random(count) * link.odds.total
    causes = np.zeros(count, np.uint8)
    for limit in limits[:-1]:
        causes += chance >= limit
    return Heralds(slots, rng.random(count) < 0.5, causes)


def pairs_of(link: FastLink, events: Heralds) -> Pairs:
    """The state of each herald's pair after it was kept, with respect to Psi+; shape (n, 4).

    A Psi- pair is told by its herald and turned by the phase flip that makes it Psi+.
    """
    return kept_pairs(link)[events.causes]


def estimated_fidelity(
    pairs: Pairs,
    rng: np.random.Generator,
    *,
    chosen: npt.NDArray[np.uint8] | None = None,
    readout_error: float = 0.0,
) -> tuple[float, float]:
    """Fidelity to Psi+ and its standard error from measuring each pair, (n, 4), in XX, YY or ZZ.

    With `chosen` the pairs are `pairs[chosen]`. F = (1 + <XX> + <YY> - <ZZ>)/4; the variances
    (1 - E^2)/N of the correlators add. Raises ValueError for fewer than three pairs.
    """
    count = len(pairs) if chosen is None else len(chosen)
    if count < 3:
        raise ValueError(f"estimated_fidelity: found {count} pairs, expected 3 or more")
    agreeing = (1.0 + correlators(pairs) * (1.0 - 2.0 * readout_error) ** 2) / 2.0
    counts, seen = np.zeros(3), np.zeros(3)
    for basis in range(3):
        chances = (
            agreeing[basis::3, basis] if chosen is None else agreeing[:, basis][chosen[basis::3]]
        )
        counts[basis] = chances.size
        seen[basis] = 2.0 * np.mean(rng.random(chances.size) < chances) - 1.0
    variance = (1.0 - seen**2) / counts
    return float((1.0 + seen @ (1.0, 1.0, -1.0)) / 4.0), math.sqrt(float(variance.sum())) / 4.0


@dataclass(frozen=True, slots=True)
class Chain:
    """Links in a row. In a round each attempts until its herald and then keeps its pair until the
    last has one; then all nodes between swap, and the next round begins after `swap_s`."""

    links: Sequence[FastLink]
    swap_depolarising: float = 0.0
    swap_s: float = 0.0


def chain_pairs(
    chain: Chain, rounds: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], Pairs]:
    """Duration in seconds of each round, and the pair between the chain's ends, (rounds, 4).

    Corrections are made in the Pauli frame, so that pairs are with respect to Phi+.
    """
    if not chain.links:
        raise ValueError("chain_pairs: found no links, expected one or more")
    pieces = [
        _chain_piece(chain, min(_PIECE, rounds - start), rng) for start in range(0, rounds, _PIECE)
    ]
    if not pieces:
        return np.empty(0), np.empty((0, 4))
    durations, pairs = zip(*pieces, strict=True)
    return np.concatenate(durations), np.concatenate(pairs)


def _chain_piece(
    chain: Chain, rounds: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], Pairs]:
    waits = np.stack(
        [rng.geometric(min(link.odds.total, 1.0), rounds) * link.period_s for link in chain.links]
    )
    last = waits.max(axis=0)
    # The unit of the Pauli group: nothing to swap with yet.
    outer: Pairs = np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (rounds, 4))
    for number, (link, wait) in enumerate(zip(chain.links, waits, strict=True)):
        limits = np.cumsum([cause.probability for cause in link.odds.causes])
        causes = np.searchsorted(limits[:-1], rng.random(rounds) * link.odds.total, side="right")
        # With respect to Phi+: a bit flip takes Psi+ there.
        pairs = np.array([cause.psi_plus for cause in link.odds.causes])[causes][:, [2, 3, 0, 1]]
        if link.holds is not None:
            idle = last - wait
            first_s, second_s = (idle + kept for kept in link.hold_s)
            pairs = stored(pairs, first_s, second_s, *link.holds)
        outer = swapped(outer, pairs, chain.swap_depolarising if number else 0.0)
    return last + chain.swap_s, outer


def mean_fidelity(link: FastLink) -> float:
    """The fidelity to its Bell state that a kept pair has in the mean, without statistics."""
    shares = np.array([cause.probability for cause in link.odds.causes]) / link.odds.total
    return float(shares @ fidelity_to(kept_pairs(link), "PSI_PLUS"))


def kept_pairs(link: FastLink) -> Pairs:
    """The pair of each cause after the hold, (causes, 4)."""
    fresh = np.array([cause.psi_plus for cause in link.odds.causes])
    return fresh if link.holds is None else stored(fresh, *link.hold_s, *link.holds)


def _success_slots(
    probability: float, slots: int, pause: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Slots below `slots` in which attempts succeed, with `pause` slots unused after each."""
    if probability <= 0.0 or slots <= 0:
        return np.empty(0, np.int64)
    parts: list[npt.NDArray[np.int64]] = []
    last = -1 - pause
    while last < slots:
        expected = (slots - last) * probability / (1.0 + pause * probability)
        count = math.ceil(expected + _SIGMAS * math.sqrt(expected) + 10.0)
        gaps = rng.geometric(probability, count)
        gaps += pause
        np.cumsum(gaps, out=gaps)
        gaps += last
        parts.append(gaps)
        last = int(gaps[-1])
    found = np.concatenate(parts)
    return found[: np.searchsorted(found, slots)]
