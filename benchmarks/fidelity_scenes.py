"""Scenes for the fidelity estimator: links whose true fidelity is known, at rest and in motion.

The errors of each link are drawn anew: F from 0.55 to 0.98, shared by the bases as chance has it,
and its motion. Whether the interval at some instant holds the true F is one trial. Many links are
followed at once, with the filter of the unit; `tests/link_layer/test_feu_coverage.py` shows that
the unit says the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from link_layer.feu_chance import Chance
from link_layer.feu_filter import BASES, ResidualFilter

STEP_S = 10.0
ROUNDS_PER_S = 20.0
WINDOWS = 16
"""Delayed windows in which accidentals are counted."""
SAMPLES = 2048
QUANTILE = 1.959964
TEN_MINUTES_S, HOUR_S = 600.0, 3600.0

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Path:
    """True errors of many links, (links, steps, 3), and what somebody would know who knew how they
    move: the shapes of which they are sums, (links, steps, shapes), or how they walk."""

    errors: Floats
    shapes: Floats | None = None
    walk: Floats | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """How errors go with time, the instants at which they are judged, and what is told of them."""

    line: str
    path: Callable[[Floats, Floats, Rng], Path]
    judged_s: tuple[float, ...] = (TEN_MINUTES_S, HOUR_S)
    rounds_per_s: tuple[float, float] = (ROUNDS_PER_S, ROUNDS_PER_S)
    accidentals: float = 0.0
    fitted: bool = True
    """How far the unit relies on its regimes was fitted to it, on other seeds."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Of many links at one instant: interval, truth, and the width of an ideal interval."""

    low: Floats
    high: Floats
    true: Floats
    ideal: Floats

    @property
    def held(self) -> NDArray[np.bool_]:
        """Whether the interval holds the truth."""
        return (self.low <= self.true) & (self.true <= self.high)


def _rest(start: Floats, times: Floats, rng: Rng) -> Path:
    errors = np.broadcast_to(start[:, None], (len(start), times.size, 3))
    return Path(errors, np.ones((len(start), times.size, 1)))


def _walk(start: Floats, times: Floats, rng: Rng) -> Path:
    """Each error on its own: a walk of theta by 4e-4 to 4e-3 per square root of a second."""
    step = 10 ** rng.uniform(-3.4, -2.4, (len(start), 1, 1))
    steps = rng.normal(0, step * math.sqrt(STEP_S), (len(start), times.size, 3))
    walked = np.arcsin(np.sqrt(start))[:, None] + np.cumsum(steps, axis=1)
    return Path(np.sin(walked) ** 2, walk=step[:, 0, 0])


def _steady(within_s: float, split: Callable[[int, Rng], Floats]) -> Callable[..., Path]:
    """F by 0.05 to 0.15 within a time, either way."""

    def path(start: Floats, times: Floats, rng: Rng) -> Path:
        change = _either(len(start), rng) * rng.uniform(0.05, 0.15, (len(start), 1))
        change = change * split(len(start), rng)
        moved = change[:, None] * (times / within_s)[:, None]
        line = np.stack([np.ones_like(times), times / within_s], axis=-1)
        return Path(_clipped(start[:, None] + moved), np.tile(line, (len(start), 1, 1)))

    return path


def _turning(
    start: Floats,
    times: Floats,
    rng: Rng,
    since_s: float = 0.0,
    turns: tuple[float, float] = (0.25, 0.75),
) -> Path:
    """F to and fro by 0.025 to 0.075, so many times in ten minutes: one turn takes 13 to 40."""
    swing = rng.uniform(0.05, 0.15, (len(start), 1)) / 3
    turns_per_s = rng.uniform(*turns, (len(start), 1)) / TEN_MINUTES_S
    phase = rng.uniform(0, 2 * math.pi, (len(start), 1))
    turned = 2 * math.pi * turns_per_s * np.maximum(times - since_s, 0.0)
    moved = swing * (np.sin(turned + phase) - (np.sin(phase) if since_s else 0.0))
    shapes = np.stack([np.ones_like(turned), np.sin(turned), np.cos(turned)], axis=-1)
    return Path(_clipped(start[:, None] + moved[..., None]), shapes)


def _slow_turning(start: Floats, times: Floats, rng: Rng) -> Path:
    """F to and fro by as much, in one and a half to four hours."""
    return _turning(start, times, rng, turns=(1 / 24, 1 / 9))


def _two_swings(start: Floats, times: Floats, rng: Rng) -> Path:
    """Two sines of as much together, with a turn in 13 to 40 minutes each."""
    paths = [_turning(start, times, rng) for _ in range(2)]
    moved = sum(path.errors - start[:, None] for path in paths) / 2
    shapes = [path.shapes for path in paths if path.shapes is not None]
    return Path(
        _clipped(start[:, None] + moved), np.concatenate([shapes[0], shapes[1][..., 1:]], axis=-1)
    )


def _wander(start: Floats, times: Floats, rng: Rng) -> Path:
    """Each error on its own: theta walks, and is drawn back to its middle within 5 to 60 minutes;
    its standard deviation is 0.02 to 0.1. The ideal is that of the walk alone."""
    memory_s = rng.uniform(300.0, HOUR_S, (len(start), 1, 1))
    spread = rng.uniform(0.02, 0.1, (len(start), 1, 1))
    kept = np.exp(-STEP_S / memory_s)
    away = spread[:, 0] * rng.normal(size=(len(start), 3))
    wandered = np.empty((len(start), times.size, 3))
    for step in range(times.size):
        wandered[:, step] = away
        drive = rng.normal(size=away.shape) * spread[:, 0] * np.sqrt(1 - kept[:, 0] ** 2)
        away = kept[:, 0] * away + drive
    theta = np.arcsin(np.sqrt(start))[:, None] + wandered
    walk = spread * np.sqrt(2 / memory_s)
    return Path(np.sin(theta) ** 2, walk=walk[:, 0, 0])


def _telegraph(start: Floats, times: Floats, rng: Rng) -> Path:
    """Between two values 0.02 to 0.1 of F apart, left after 5 to 30 minutes in the mean."""
    size = _either(len(start), rng) * rng.uniform(0.02, 0.1, (len(start), 1)) * 2 / 3
    stays_s = rng.uniform(300.0, 1800.0, (len(start), 1))
    leaves = rng.uniform(size=(len(start), times.size)) < -np.expm1(-STEP_S / stays_s)
    there = (np.cumsum(leaves, axis=1) % 2)[..., None]
    errors = _clipped(start[:, None] + size[:, None] * there)
    return Path(errors, np.concatenate([there, 1 - there], axis=-1).astype(float))


def _stopping(start: Floats, times: Floats, rng: Rng) -> Path:
    """F by 0.05 to 0.15 within the first ten minutes, and then no more."""
    change = _either(len(start), rng) * rng.uniform(0.05, 0.15, (len(start), 1)) * 2 / 3
    gone = np.minimum(times / TEN_MINUTES_S, 1.0)
    shapes = np.tile(np.stack([np.ones_like(gone), gone], axis=-1), (len(start), 1, 1))
    return Path(_clipped(start[:, None] + (change * gone)[..., None]), shapes)


def _onset(start: Floats, times: Floats, rng: Rng) -> Path:
    return _turning(start, times, rng, since_s=HOUR_S / 2)


def _zigzag(start: Floats, times: Floats, rng: Rng) -> Path:
    """F to and fro in straight lines by 0.025 to 0.075, in 10 to 60 minutes."""
    swing = rng.uniform(0.05, 0.15, (len(start), 1)) / 3
    turned = times / rng.uniform(TEN_MINUTES_S, HOUR_S, (len(start), 1))
    line = 4 * np.abs((turned + rng.uniform(0, 1, (len(start), 1))) % 1 - 0.5) - 1
    shapes = np.stack([np.ones_like(line), line], axis=-1)
    return Path(_clipped(start[:, None] + (swing * line)[..., None]), shapes)


def _settling(start: Floats, times: Floats, rng: Rng) -> Path:
    """F by 0.05 to 0.15, either way, as something warms up within 5 to 30 minutes."""
    change = _either(len(start), rng) * rng.uniform(0.05, 0.15, (len(start), 1)) * 2 / 3
    left = np.exp(-times / rng.uniform(300.0, 1800.0, (len(start), 1)))
    shapes = np.stack([np.ones_like(left), left], axis=-1)
    return Path(_clipped(start[:, None] + (change * (1 - left))[..., None]), shapes)


def _jump(start: Floats, times: Floats, rng: Rng) -> Path:
    """Another link from some moment of the first ten minutes on."""
    at_s = rng.uniform(0.3, 0.9, (len(start), 1)) * TEN_MINUTES_S
    return _stepped(start, drawn_errors(len(start), rng), times, at_s)


def _step(start: Floats, times: Floats, rng: Rng) -> Path:
    """F by 0.02 to 0.05 at some moment of the last half hour."""
    at_s = rng.uniform(0.5, 0.97, (len(start), 1)) * HOUR_S
    size = _either(len(start), rng) * rng.uniform(0.02, 0.05, (len(start), 1)) * 2 / 3
    return _stepped(start, _clipped(start + size), times, at_s)


def _stepped(start: Floats, after: Floats, times: Floats, at_s: Floats) -> Path:
    later = (times >= at_s)[..., None]
    errors = np.where(later, after[:, None], start[:, None])
    return Path(errors, np.concatenate([later, ~later], axis=-1).astype(float))


def _either(links: int, rng: Rng) -> Floats:
    return np.asarray(rng.choice([-1.0, 1.0], (links, 1)))


def _clipped(errors: Floats) -> Floats:
    return np.clip(errors, 1e-3, 0.6)


def _alike(links: int, rng: Rng) -> Floats:
    return np.full((links, 3), 2 / 3)


def _xy(links: int, rng: Rng) -> Floats:
    return np.tile([1.0, 1.0, 0.0], (links, 1))


def _own(links: int, rng: Rng) -> Floats:
    return 2 * rng.dirichlet([2, 2, 2], links)


def _at_rates(*rates: float, fitted: bool) -> dict[str, Scene]:
    """Rest and three motions, at other rates of test rounds."""
    return {
        f"{name}_at_{rate:.0f}": Scene(
            f"{line}, {rate:.0f} rounds a second", path, rounds_per_s=(rate, rate), fitted=fitted
        )
        for name, line, path in (
            ("rest", "at rest", _rest),
            ("walk", "each basis walks at random", _walk),
            ("slow", "F drifts by 0.05 to 0.15 in an hour", _steady(HOUR_S, _alike)),
            ("turning", "F drifts to and fro", _turning),
        )
        for rate in rates
    }


EARLY = (60.0, 180.0)
FIRST = (TEN_MINUTES_S,)
FEW = (15 / TEN_MINUTES_S, 60 / TEN_MINUTES_S)
SCENES = {
    "rest": Scene("at rest", _rest),
    "few": Scene("at rest, 15 to 60 test rounds in all", _rest, FIRST, FEW),
    "accidentals": Scene("at rest, 10 % accidentals", _rest, accidentals=0.1),
    "walk": Scene("each basis walks at random", _walk),
    "slow": Scene("F drifts by 0.05 to 0.15 in an hour", _steady(HOUR_S, _alike)),
    "linear": Scene("F drifts as much in ten minutes", _steady(TEN_MINUTES_S, _alike), FIRST),
    "phase": Scene("X and Y drift so", _steady(TEN_MINUTES_S, _xy), FIRST),
    "own": Scene("each basis drifts so at its own speed", _steady(TEN_MINUTES_S, _own), FIRST),
    "turning": Scene("F drifts to and fro", _turning),
    "onset": Scene("F drifts to and fro after half an hour of rest", _onset, (2400.0, HOUR_S)),
    "zigzag": Scene("F drifts to and fro in straight lines", _zigzag),
    "settling": Scene("F settles by 0.05 to 0.15", _settling),
    "jump": Scene("F jumps", _jump, FIRST),
    "step": Scene("F steps by 0.02 to 0.05", _step, (HOUR_S,)),
    "stopping": Scene("F drifts for ten minutes and stops", _stopping),
    "slow_turning": Scene("F drifts to and fro in 1.5 to 4 hours", _slow_turning),
    "few_turning": Scene("F drifts to and fro, 15 to 60 test rounds in all", _turning, FIRST, FEW),
    "early": Scene("at rest", _rest, EARLY),
    "early_turning": Scene("F drifts to and fro", _turning, EARLY),
    "early_at_500": Scene("at rest, 500 rounds a second", _rest, EARLY, (500.0, 500.0)),
    **_at_rates(1.0, 5.0, 80.0, fitted=True),
    "wander": Scene("each basis wanders about a middle", _wander, fitted=False),
    "telegraph": Scene("F steps to and fro, every 5 to 30 minutes", _telegraph, fitted=False),
    "two_swings": Scene("F swings with two periods", _two_swings, fitted=False),
    "turning_by_chance": Scene(
        "F drifts to and fro, 10 % accidentals", _turning, accidentals=0.1, fitted=False
    ),
    "few_walk": Scene(
        "each basis walks, 15 to 60 test rounds in all", _walk, FIRST, FEW, fitted=False
    ),
    "resting_later": Scene("at rest", _rest, (1200.0, 4 * HOUR_S), fitted=False),
    **_at_rates(2.0, 40.0, 300.0, 3000.0, fitted=False),
}


def drawn_errors(links: int, rng: Rng) -> Floats:
    """Errors of X, Y and Z, (links, 3): F = 1 - their half sum, from 0.55 to 0.98."""
    shares = rng.dirichlet([2, 2, 2], links)
    return np.asarray(np.minimum(2 * (1 - rng.uniform(0.55, 0.98, (links, 1))) * shares, 0.5))


def trials(scene: Scene, links: int, rng: Rng) -> list[Judged]:
    """Follow so many links; what the intervals were at the instants of the scene."""
    times = np.arange(STEP_S, scene.judged_s[-1] + STEP_S / 2, STEP_S)
    path = scene.path(drawn_errors(links, rng), times, rng)
    rate = rng.uniform(*scene.rounds_per_s, links)
    per_basis = rate * STEP_S / 3
    by_chance = scene.accidentals / (1 - scene.accidentals) * per_basis
    own = ResidualFilter(shape=(links,))
    chances = [Chance() for _ in BASES]
    found = []
    for step, now_s in enumerate(times.tolist()):
        own.passes(STEP_S)
        for basis, chance, error in zip(BASES, chances, path.errors[:, step].T, strict=True):
            right, wrong = _told(per_basis, by_chance, error, chance, rng)
            share, against = chance.shares()
            own.hears(basis, right, wrong, contrast=1 - share, extra=against - share / 2)
            chance.fade(STEP_S)
        if now_s in scene.judged_s:
            found.append(_judge(own, path, step, rate, scene.accidentals))
    return found


def _told(
    per_basis: Floats, by_chance: Floats, error: Floats, chance: Chance, rng: Rng
) -> tuple[Floats, Floats]:
    rounds, accidentals = rng.poisson(per_basis), rng.poisson(by_chance)
    wrong = rng.binomial(rounds, error) + rng.binomial(accidentals, 0.5)
    told = (rounds + accidentals).astype(float)
    delayed = rng.poisson(by_chance * WINDOWS)
    delayed_wrong = rng.binomial(delayed, 0.5)
    chance.add(told, (delayed - delayed_wrong) / WINDOWS, delayed_wrong / WINDOWS)
    return told - wrong, wrong.astype(float)


def _judge(own: ResidualFilter, path: Path, step: int, rate: Floats, accidentals: float) -> Judged:
    """The interval as `FidelityUnit.goodness` has it, of every link."""
    links = len(path.errors)
    drawn = np.array([1 - own.drawn(SAMPLES, (link,)).sum(0) / 2 for link in range(links)])
    low, high = np.clip(np.quantile(drawn, (0.025, 0.975), axis=1), 0.0, 1.0)
    error = path.errors[:, step]
    # Each true round comes with a / (1 - a) by chance.
    odds = (1 - accidentals) * error + accidentals / 2
    noise = odds * (1 - odds) / (1 - accidentals) / (rate[:, None] / 3)
    ideal = 2 * QUANTILE * np.sqrt(_least(path, step, noise).sum(-1) / 4)
    return Judged(low, high, 1 - error.sum(-1) / 2, ideal)


def _least(path: Path, step: int, noise: Floats) -> Floats:
    """Least variance of each error for somebody who knows how the link moves, (links, 3).

    Cramer-Rao for a sum of known shapes; the Riccati equation for a walk. `noise` is the variance
    of the error seen for a second.
    """
    if path.walk is not None:
        error = path.errors[:, step]
        walked = path.walk[:, None] ** 2 * 4 * error * (1 - error)
        found = np.sqrt(walked * noise) / np.tanh((step + 1) * STEP_S * np.sqrt(walked / noise))
        return np.asarray(found)
    assert path.shapes is not None
    seen = path.shapes[:, : step + 1]
    told = np.einsum("nti,ntj->nij", seen, seen) * STEP_S
    last = seen[:, -1, :, None]
    gain = (np.swapaxes(last, -1, -2) @ np.linalg.pinv(told) @ last)[:, 0, 0]
    return np.asarray(gain[:, None] * noise)
