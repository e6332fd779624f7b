"""Faults drawn from a seed: anything that can go wrong with anything, so many a minute."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sim_backends.faults.kinds import KINDS
from sim_backends.faults.script import FaultConfig, Things
from sim_backends.seeds import generator

__all__ = ["drawn_faults"]

LONGEST_S = 10.0
SHORTEST_S = 0.5


def drawn_faults(things: Things, *, seed: int, per_minute: float) -> Iterator[FaultConfig]:
    """Faults without end in the order of their onsets, which are a Poisson process.

    Each thing and each of its kinds is as likely as any other. A fault lasts half a second to ten,
    and is as strong as its kind usually is, or weaker by a factor of up to ten.
    """
    rng = generator(seed, "faults")
    possible = [
        (f"{section}.{name}", word)
        for (section, word) in KINDS
        for name in sorted(things.get(section, ()))
    ]
    at_s = 0.0
    while possible and per_minute > 0.0:
        at_s += float(rng.exponential(60.0 / per_minute))
        of, word = possible[int(rng.integers(len(possible)))]
        yield _drawn(of, word, at_s, rng)


def _drawn(of: str, word: str, at_s: float, rng: np.random.Generator) -> FaultConfig:
    kind = KINDS[of.partition(".")[0], word]
    for_s = _between(SHORTEST_S, LONGEST_S, rng)
    size = None
    if kind.unit:
        # Where 1 means "no change", the factor is on what is above it.
        floor = max(kind.least, 0.0)
        size = floor + (kind.size - floor) * _between(0.1, 1.0, rng)
    shapes = ("step", "ramp", "pulse", "periodic") if kind.graded else ("step",)
    shape = shapes[int(rng.integers(len(shapes)))]
    return FaultConfig.model_validate(
        {
            "kind": word,
            "of": of,
            "at_s": at_s,
            "for_s": for_s,
            "shape": shape,
            "rise_s": for_s / 2.0 if shape == "ramp" else None,
            "period_s": for_s / 4.0 if shape == "periodic" else None,
            "size": size,
        }
    )


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Drawn evenly on a logarithmic scale."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
