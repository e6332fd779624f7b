"""What test rounds say of a link that may drift: a Bayesian filter over the link's own errors.

In each basis the link's own error r (the share of pairs that contradict the Bell state once model,
accidentals and readout are accounted for) is a distribution on a grid of theta = arcsin sqrt(r), in
which counting noise is the same everywhere. How it moves is not known, so a bank of hypotheses goes
side by side: it stays, it diffuses, or all errors drift one way; each is weighted by how well it
foretold the test rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BASES = ("X", "Y", "Z")

CELLS = 128
WIDTH = math.pi / 2
STEP = WIDTH / CELLS
THETA = (np.arange(CELLS) + 0.5) * STEP
EDGES = np.sin(np.arange(CELLS + 1) * STEP) ** 2
ERRORS = np.sin(THETA) ** 2

PRIOR_A, PRIOR_B = 1 / 3, 3 / 2
"""Half a count against and for, shared by three bases whose errors add up to one infidelity."""

FORGET_S = 1800.0
"""The weights of the hypotheses go back to where they began over this time: a link that rested for
a day may begin to drift."""

JUMP_S = 14_400.0
"""Mean time between sudden changes, after which everything is possible."""

FOLLOWED_S = 60.0
"""A steady drift is counted as if its direction were known for this long."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How the errors may move: standard deviation of theta per square root of a second, and speed
    of theta per second in X and Y, and in Z."""

    diffusion: float = 0.0
    speed_xy: float = 0.0
    speed_z: float = 0.0


def _speeds(motion: Motion) -> tuple[float, float, float]:
    return motion.speed_xy, motion.speed_xy, motion.speed_z


def motions(scale_s: float = 60.0) -> tuple[tuple[Motion, float], ...]:
    """The hypotheses with their weights at the start. `scale_s`: the time within which the slowest
    drift of the bank would just be seen.
    """
    still = [(Motion(), 0.4)]
    diffusions = [0.004, 0.012, 0.04, 0.12]
    walks = [(Motion(each / math.sqrt(scale_s)), 0.25 / len(diffusions)) for each in diffusions]
    speeds = [sign * each / scale_s for each in (0.003, 0.01, 0.03) for sign in (-1, 1)]
    runs = [
        (Motion(0.008 / math.sqrt(scale_s), speed, speed * z), 0.35 / (2 * len(speeds)))
        for speed in speeds
        for z in (0, 1)
    ]
    return (*still, *walks, *runs)


class ResidualFilter:
    """The three errors r of a link, as a mixture of hypotheses on a grid; see the module.

    `contrast` of the rounds told is what the model leaves of each correlator: a round contradicts
    with probability (1 - contrast (1 - 2r))/2 + extra.
    """

    def __init__(self, bank: Sequence[tuple[Motion, float]] | None = None):
        self._bank = tuple(bank or motions())
        weights = np.array([weight for _, weight in self._bank])
        self._start = weights / weights.sum()
        self._weights = self._start.copy()
        self._fresh = _prior()
        shape = (len(self._bank), len(BASES), CELLS)
        self._share: Floats = np.broadcast_to(self._fresh, shape).copy()
        self._wave = math.pi * np.arange(CELLS + 1) / WIDTH

    @property
    def marginals(self) -> Floats:
        """Probability of each cell of r, by basis; shape (3, cells)."""
        mixed: Floats = np.tensordot(self._weights, self._share, 1)
        return mixed

    def passes(self, seconds: float) -> None:
        """Time goes by: every hypothesis moves as it says."""
        if seconds <= 0:
            return
        speeds = np.array([_speeds(motion) for motion, _ in self._bank])
        spread = np.array([m.diffusion for m, _ in self._bank]) ** 2 * seconds / 2
        moving = (spread > 0) | (speeds != 0).any(1)
        damped = -spread[moving, None, None] * self._wave**2
        kernel = np.exp(damped - 1j * speeds[moving, :, None] * seconds * self._wave)
        # On twice the range, then folded back: what would leave is reflected.
        wide = np.fft.rfft(self._share[moving], 2 * CELLS) * kernel
        moved = np.fft.irfft(wide, 2 * CELLS)
        folded = np.maximum(moved[..., :CELLS] + moved[..., : CELLS - 1 : -1], 0.0)
        self._share[moving] = folded / folded.sum(-1, keepdims=True)
        fresh = -math.expm1(-seconds / JUMP_S)
        self._share += fresh * (self._fresh - self._share)
        self._weights += -math.expm1(-seconds / FORGET_S) * (self._start - self._weights)

    def hears(
        self, basis: str, right: float, wrong: float, *, contrast: float = 1.0, extra: float = 0.0
    ) -> None:
        """Test rounds of a basis: `right` as the Bell state has it, `wrong` against it."""
        if right + wrong <= 0:
            return
        odds = np.clip((1 - contrast * (1 - 2 * ERRORS)) / 2 + extra, 1e-12, 1 - 1e-12)
        logs = right * np.log1p(-odds) + wrong * np.log(odds)
        likelihood = np.exp(logs - logs.max())
        axis = BASES.index(basis)
        heard = self._share[:, axis] * likelihood
        evidence = heard.sum(-1)
        floor = 1e-300
        self._share[:, axis] = heard / np.maximum(evidence, floor)[:, None]
        weights = self._weights * evidence
        total = weights.sum()
        if total <= floor:
            # Nothing foretold this: the link is another than it was.
            self.forget()
            return
        self._weights = weights / total

    def forget(self) -> None:
        """Everything is possible again."""
        self._share[:] = self._fresh
        self._weights = self._start.copy()

    @property
    def unrest(self) -> tuple[float, float, float]:
        """Variance that theta gains a second, by basis, as the hypotheses have it."""
        moved = np.array(
            [
                [m.diffusion**2 + speed**2 * FOLLOWED_S for speed in _speeds(m)]
                for m, _ in self._bank
            ]
        )
        x, y, z = (float(each) for each in self._weights @ moved)
        return x, y, z

    def drawn(self, samples: int) -> Floats:
        """Samples of r, shape (3, samples): the same each time for the same state."""
        uniform = _uniform(len(BASES), samples)
        cells = np.cumsum(self.marginals, axis=-1)
        found = np.empty_like(uniform)
        for row in range(len(BASES)):
            found[row] = np.interp(uniform[row], np.concatenate([[0.0], cells[row]]), EDGES)
        return found


@cache
def _uniform(rows: int, samples: int) -> Floats:
    """Even numbers from 0 to 1 in an order of its own in each row (a Latin hypercube)."""
    rng = np.random.default_rng(20190214)
    even = (np.arange(samples) + 0.5) / samples
    return np.array([rng.permutation(even) for _ in range(rows)])


def _prior() -> Floats:
    """Cell probabilities of Beta(1/3, 3/2): a link that heralds is likelier good than useless."""
    fine = 64
    theta = (np.arange(CELLS * fine) + 0.5) * (STEP / fine)
    density = np.sin(theta) ** (2 * PRIOR_A - 1) * np.cos(theta) ** (2 * PRIOR_B - 1)
    cells = density.reshape(CELLS, fine).sum(1)
    share: Floats = cells / cells.sum()
    return share
