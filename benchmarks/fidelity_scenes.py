"""Scenes for the fidelity estimator: links whose true fidelity is known, at rest and in motion.

A run is ten minutes of a link with about 20 test rounds a second. Its errors are drawn anew: F from
0.55 to 0.98, shared by the bases as chance has it. Whether the unit's last interval holds the true
F is one trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from link_layer.feu import FidelityUnit
from link_layer.states import BellState

RUN_S = 600.0
STEP_S = 4.0
ROUNDS_PER_S = 20.0
WINDOWS = 16
"""Delayed windows in which accidentals are counted."""

Errors = NDArray[np.float64]
Path = Callable[[float], Errors]


@dataclass(frozen=True, slots=True)
class Scene:
    """How the errors of X, Y and Z go with time, rounds a second, and the accidentals' share."""

    line: str
    path: Callable[[Errors, np.random.Generator], Path]
    rounds_per_s: Callable[[np.random.Generator], float] = lambda rng: ROUNDS_PER_S
    accidentals: float = 0.0


def _rest(start: Errors, rng: np.random.Generator) -> Path:
    return lambda time_s: start


def _walk(start: Errors, rng: np.random.Generator) -> Path:
    """Each error on its own: a walk of theta by 4e-4 to 4e-3 per square root of a second."""
    step = 10 ** rng.uniform(-3.4, -2.4) * math.sqrt(STEP_S)
    steps = rng.normal(0, step, (int(RUN_S / STEP_S) + 2, 3))
    walked = np.arcsin(np.sqrt(start)) + np.cumsum(steps, axis=0)
    return lambda time_s: np.asarray(np.sin(walked[int(time_s / STEP_S)]) ** 2)


def _linear(start: Errors, rng: np.random.Generator) -> Path:
    """All errors together: F by 0.05 to 0.15 in a run, either way."""
    change = -rng.uniform(0.05, 0.15) * rng.choice([-1, 1]) * 2 / 3
    return lambda time_s: np.clip(start + change * time_s / RUN_S, 1e-3, 0.6)


def _phase(start: Errors, rng: np.random.Generator) -> Path:
    """X and Y only, as when a phase is lost."""
    change = -rng.uniform(0.05, 0.15) * rng.choice([-1, 1])
    turned = np.array([change, change, 0.0])
    return lambda time_s: np.clip(start + turned * time_s / RUN_S, 1e-3, 0.6)


def _turning(start: Errors, rng: np.random.Generator) -> Path:
    """F to and fro by 0.025 to 0.075, in 13 to 40 minutes."""
    swing = rng.uniform(0.05, 0.15) / 3
    turns, phase = rng.uniform(0.25, 0.75), rng.uniform(0, 2 * math.pi)
    return lambda time_s: np.clip(
        start + swing * math.sin(2 * math.pi * turns * time_s / RUN_S + phase), 1e-3, 0.6
    )


def _jump(start: Errors, rng: np.random.Generator) -> Path:
    """Another link from some moment on."""
    at_s, after = rng.uniform(0.3, 0.9) * RUN_S, drawn_errors(rng)
    return lambda time_s: start if time_s < at_s else after


SCENES = {
    "rest": Scene("at rest", _rest),
    "few": Scene(
        "at rest, 15 to 60 test rounds in all", _rest, lambda rng: rng.uniform(15, 60) / RUN_S
    ),
    "accidentals": Scene("at rest, 10 % accidentals", _rest, accidentals=0.1),
    "walk": Scene("each basis walks at random", _walk),
    "linear": Scene("F drifts steadily", _linear),
    "phase": Scene("X and Y drift steadily", _phase),
    "turning": Scene("F drifts to and fro", _turning),
    "jump": Scene("F jumps", _jump),
}


def drawn_errors(rng: np.random.Generator) -> Errors:
    """Errors of X, Y and Z of a link: F = 1 - their half sum, from 0.55 to 0.98."""
    shares = rng.dirichlet([2, 2, 2])
    return np.asarray(np.minimum(2 * (1 - rng.uniform(0.55, 0.98)) * shares, 0.5))


def trial(scene: Scene, rng: np.random.Generator) -> tuple[bool, float]:
    """One run: whether the interval at its end holds the true F, and the interval's width."""
    now_s = 0.0
    unit = FidelityUnit(lambda: now_s)
    errors = scene.path(drawn_errors(rng), rng)
    per_basis = scene.rounds_per_s(rng) * STEP_S / 3
    chance = scene.accidentals / (1 - scene.accidentals) * per_basis
    while now_s < RUN_S:
        now_s += STEP_S
        for basis, error in zip("XYZ", errors(now_s), strict=True):
            rounds, by_chance = rng.poisson(per_basis), rng.poisson(chance)
            wrong = rng.binomial(rounds, error) + rng.binomial(by_chance, 0.5)
            delayed = rng.poisson(chance * WINDOWS)
            delayed_wrong = rng.binomial(delayed, 0.5)
            told = rounds + by_chance - wrong, wrong
            expected = (delayed - delayed_wrong) / WINDOWS, delayed_wrong / WINDOWS
            if basis == "Y":  # of Phi+, where outcomes in Y differ
                told, expected = told[::-1], expected[::-1]
            unit.add_counts(
                basis,
                BellState.PHI_PLUS,
                *told,
                chance_same=expected[0],
                chance_different=expected[1],
            )
        unit.renew()
    found = unit.goodness()
    if found is None:
        return False, 1.0
    true = 1 - float(errors(now_s).sum()) / 2
    return found.low <= true <= found.high, found.high - found.low
