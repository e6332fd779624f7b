"""What test rounds say of a link that may drift: a dynamic model of the link's own errors.

In each basis the link's own error r is the share of pairs that contradict the Bell state once
model, accidentals and readout are accounted for. The three errors, their speeds, and how far they
are from the middle of a swing are followed as a dynamic generalised linear model (West, Harrison
and Migon, J. Am. Stat. Assoc. 80, 73 (1985)): by their mean and covariance, and a test round is
taken in through the beta distribution with the mean and variance of its error. How the link moves
is not known, so regimes go side by side, each weighted by how well it foretold the test rounds; now
and then a link goes over into another (an interacting multiple model: Blom and Bar-Shalom, IEEE
Trans. Autom. Control 33, 780 (1988)).

A filter may follow an array of links at once, which is how its coverage is measured.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache
from statistics import NormalDist

import numpy as np

from link_layer.feu_beta import LEAST_A, Floats, bounded, log_beta, quantiles
from link_layer.feu_regimes import Regime, regimes

BASES = ("X", "Y", "Z")
LEVEL, SPEED, AWAY = slice(0, 3), slice(3, 6), slice(6, 9)
DIAGONAL = (range(3), range(3))

PRIOR_A, PRIOR_B = LEAST_A, 3 / 2
"""Half a count against and for, shared by three bases whose errors add up to one infidelity."""

PRIOR_MEAN = PRIOR_A / (PRIOR_A + PRIOR_B)
PRIOR_VARIANCE = PRIOR_MEAN * (1 - PRIOR_MEAN) / (PRIOR_A + PRIOR_B + 1)

JUMP_S = 86_400.0
"""Mean time between sudden changes, after which everything is possible."""

LEAST_SIZE = 1.0
"""No belief in an error is weaker than a beta distribution of this a + b."""

FOLLOWED_S = 60.0
"""A drift is counted as if its direction were known for this long."""

SHARPNESS = 3.0
"""Power to which the regimes' weights are taken for an interval: 1 would be their average, and
without a bound it is the interval of the best one."""

AT_ONCE = 512
"""Samples are drawn in pieces of so many."""

_LEAST = 1e-12


class ResidualFilter:
    """The three errors r of a link, or of each of an array of links; see the module."""

    def __init__(self, bank: Sequence[Regime] | None = None, shape: tuple[int, ...] = ()):
        # The last one is a link that is new: what it was says nothing of what it is.
        bank = (*(bank or regimes()), Regime(0.0))
        self._bank = bank
        weights = np.array([each.weight for each in bank])
        self._start = weights / weights.sum()
        self._lasts_s = np.array([each.lasts_s for each in bank])
        self._trust = np.log([each.trust for each in bank])
        self._relied = int(self._trust.argmax())
        self._prices = np.array([each.price for each in bank])
        self._widths = np.array([each.width for each in bank])
        self._diffusions = np.array([each.diffusion**2 for each in bank])
        self._speeds = np.array([each.speeds() for each in bank])
        self._aways = np.array([each.aways() for each in bank])
        many = (*shape, len(bank))
        self._weights: Floats = np.empty(many)
        self._mean: Floats = np.empty((*many, 9))
        self._cov: Floats = np.empty((*many, 9, 9))
        self.forget()

    def forget(self) -> None:
        """Everything is possible again."""
        self._weights[...] = self._start
        self._mean[...] = 0.0
        self._mean[..., LEVEL] = PRIOR_MEAN
        self._cov[...] = 0.0
        self._cov[..., LEVEL, LEVEL] = PRIOR_VARIANCE * np.eye(3)
        self._cov[..., SPEED, SPEED] = self._speeds
        self._cov[..., AWAY, AWAY] = self._aways

    def passes(self, seconds: float) -> None:
        """Time goes by: every regime moves as it says, and some of the links go over."""
        for _ in self.passing(seconds):
            pass

    def passing(self, seconds: float) -> Iterator[None]:
        """The same in two pieces; between them it may be read."""
        if seconds <= 0:
            return
        self._restart()
        self._jump(seconds)
        self._switch(seconds)
        yield
        self._move(seconds)
        self._bound()

    def _restart(self) -> None:
        """Where a new link foretells better than all others together, it is the one there is."""
        taken = self._weights[..., -1] > 0.5
        if not np.any(taken):
            return
        mean = self._mean[..., -1:, LEVEL][taken]
        cov = self._cov[..., -1:, LEVEL, LEVEL][taken]
        self._mean[taken] = 0.0
        self._mean[taken, :, LEVEL] = mean
        self._cov[taken] = 0.0
        self._cov[taken, :, LEVEL, LEVEL] = cov
        self._cov[taken, :, SPEED, SPEED] = self._speeds
        self._cov[taken, :, AWAY, AWAY] = self._aways
        self._weights[taken] = self._start

    def _jump(self, seconds: float) -> None:
        """Some of the links become new ones."""
        share = -math.expm1(-seconds / JUMP_S)
        self._weights *= 1 - share
        self._weights[..., -1] += share
        part = (share / self._weights[..., -1])[..., None]
        mean, cov = self._mean[..., -1, LEVEL], self._cov[..., -1, LEVEL, LEVEL]
        away = mean - PRIOR_MEAN
        mean -= part * away
        part = part[..., None]
        cov *= 1 - part
        cov += part * ((1 - part) * _outer(away) + PRIOR_VARIANCE * np.eye(3))

    def _switch(self, seconds: float) -> None:
        """Some of the links go over into other regimes: the errors stay, the speeds are new."""
        old = self._weights[..., :-1]
        out = old * -np.expm1(-seconds / self._lasts_s[:-1])
        leaving = out.sum(-1, keepdims=True)
        inflow = leaving * self._start[:-1]
        mean, cov = self._mean[..., :-1, :], self._cov[..., :-1, :, :]
        # Mean and covariance of all that leave.
        shares = (out / leaving)[..., None]
        level = mean[..., LEVEL]
        middle = (shares * level).sum(-2, keepdims=True)
        spread = cov[..., LEVEL, LEVEL] + _outer(level - middle)
        spread = (shares[..., None] * spread).sum(-3, keepdims=True)
        self._weights[..., :-1] = old - out + inflow
        # Who comes back to where it left from has gone nowhere.
        part = (inflow / self._weights[..., :-1])[..., None] * (1 - shares)
        away = mean.copy()
        away[..., LEVEL] -= middle
        mean -= part * away
        part = part[..., None]
        cov *= 1 - part
        cov += part * (1 - part) * _outer(away)
        cov[..., LEVEL, LEVEL] += part * spread
        cov[..., SPEED, SPEED] += part * self._speeds[:-1]
        cov[..., AWAY, AWAY] += part * self._aways[:-1]

    def _move(self, seconds: float) -> None:
        # Regimes differ in speed more often than in how they move.
        kinds = {(each.steady_s, each.period_s): each for each in self._bank}
        moves = {kind: each.moves(seconds) for kind, each in kinds.items()}
        of_bank = [moves[each.steady_s, each.period_s] for each in self._bank]
        moved, added = (np.array([each[k] for each in of_bank]) for k in (0, 1))
        step = np.kron(moved, np.eye(3))
        noise = np.einsum("nij,nab->niajb", added, self._speeds).reshape(step.shape)
        self._mean = (step @ self._mean[..., None])[..., 0]
        self._cov = step @ self._cov @ np.swapaxes(step, -1, -2) + noise
        # d r = 2 sqrt(r (1 - r)) d theta
        walked = 4 * self._counting() * self._diffusions[:, None] * seconds
        self._cov[..., *DIAGONAL] += walked

    def _counting(self) -> Floats:
        """r (1 - r): the variance of one round."""
        error = np.clip(self._mean[..., LEVEL], 1e-3, 0.999)
        return np.asarray(error * (1 - error))

    def _bound(self) -> None:
        """An error is a share. It may be a little below 0, as accidentals are taken off it."""
        level = self._mean[..., LEVEL]
        np.clip(level, -0.2, 1.0, out=level)
        most = np.maximum(self._counting(), 0.01) / (1 + LEAST_SIZE)
        variance = self._cov[..., *DIAGONAL]
        if np.any(variance > most):
            shrunk = np.ones_like(self._mean)
            shrunk[..., LEVEL] = np.sqrt(np.minimum(1.0, most / np.maximum(variance, _LEAST)))
            self._cov *= _outer(shrunk)

    def hears(
        self,
        basis: str,
        right: Floats | float,
        wrong: Floats | float,
        *,
        contrast: Floats | float = 1.0,
        extra: Floats | float = 0.0,
    ) -> None:
        """Test rounds of a basis: `right` as the Bell state has it, `wrong` against it.

        `contrast` is what the model leaves of the correlator: a round contradicts with probability
        (1 - contrast (1 - 2r))/2 + extra. Numbers, or arrays of the shape of the links.
        """
        axis = BASES.index(basis)
        right, wrong = np.asarray(right)[..., None], np.asarray(wrong)[..., None]
        slope, offset = np.asarray(contrast)[..., None], np.asarray(extra)[..., None]
        variance = np.maximum(self._cov[..., axis, axis], _LEAST)
        # The beta distribution is that of the probability to contradict.
        spread = np.maximum(slope**2 * variance, _LEAST)
        odds = slope * self._mean[..., axis] + (1 - slope) / 2 + offset
        lowest = np.minimum(math.sqrt(LEAST_A) * np.sqrt(spread), 0.4)
        odds = np.clip(odds, lowest, 1 - 1e-6)
        counting = odds * (1 - odds)
        size = np.maximum(counting / spread - 1, LEAST_SIZE)
        a, b = odds * size, (1 - odds) * size
        evidence = log_beta(a + wrong, b + right) - log_beta(a, b)
        rounds = right + wrong
        after = (a + wrong) / (size + rounds)
        narrowed = after * (1 - after) / counting * (size + 1) / (size + rounds + 1)
        # What is learnt of one error tells of all that goes with it.
        column = self._cov[..., :, axis].copy()
        self._mean += column * (slope * (after - odds) / spread)[..., None]
        told = slope**2 * (1 - narrowed) / spread
        self._cov -= told[..., None, None] * _outer(column)
        evidence -= evidence.max(-1, keepdims=True)
        self._weights *= np.exp(evidence)
        self._weights /= self._weights.sum(-1, keepdims=True)

    @property
    def unrest(self) -> Floats:
        """Variance that r gains a second, by basis, as the regimes have it."""
        walked = 4 * self._counting() * self._diffusions[:, None]
        speeds = self._mean[..., SPEED] ** 2 + self._cov[..., range(3, 6), range(3, 6)]
        moved = walked + speeds * FOLLOWED_S
        return np.asarray((self._weights[..., None] * moved).sum(-2))

    def told(self, at: tuple[int, ...] = ()) -> Floats:
        """Share of each regime in the intervals: of the one that is trusted most, unless another
        has accounted for the test rounds better by far; see decision 0045.

        Averaged over regimes, an interval is too wide for whatever moves least, and which of them
        is ahead by a little is chance.
        """
        mean, cov = self._mean[at][..., self._relied, LEVEL], self._cov[at][..., self._relied, :, :]
        error = np.clip(mean, 1e-3, 0.999)
        rounds = (error * (1 - error) / np.maximum(cov[..., *DIAGONAL], _LEAST)).mean(-1)
        account = np.log(np.maximum(self._weights[at], _LEAST**2)) + self._trust
        account -= self._prices * np.log(rounds)[..., None]
        shares = np.exp(SHARPNESS * (account - account.max(-1, keepdims=True)))
        return np.asarray(shares / shares.sum(-1, keepdims=True))

    def expected(self, at: tuple[int, ...] = ()) -> Floats:
        """The best estimate of r, (3,), of one link: over all regimes as they are believed."""
        spread = np.sqrt(np.maximum(self._cov[at][..., *DIAGONAL], _LEAST))
        errors = bounded(self._mean[at][..., LEVEL], spread)
        return np.asarray(self._weights[at] @ errors / self._weights[at].sum())

    def drawn(self, samples: int, at: tuple[int, ...] = ()) -> Floats:
        """Samples of r, shape (3, samples), of one link, as `told` has it: the same each time for
        the same state."""
        found = np.empty((len(BASES), samples))
        for axis, first, piece in self.drawing(samples, at):
            found[axis, first : first + piece.size] = piece
        return found

    def drawing(self, samples: int, at: tuple[int, ...] = ()) -> Iterator[tuple[int, int, Floats]]:
        """The same in pieces: of which axis, from which sample on, and they. A piece takes 0.1 ms,
        in which no herald is heard."""
        even, scores = _even(samples)
        shares, mean, cov = self.told(at), self._mean[at].copy(), self._cov[at]
        inner = np.searchsorted(even, np.cumsum(shares)[:-1])
        borders = np.array([0, *inner, samples])
        level = cov[:, LEVEL, LEVEL]
        variances = np.maximum(level[:, *DIAGONAL], _LEAST)
        values, vectors = np.linalg.eigh(level / np.sqrt(_outer(variances)))
        mixing = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        variances *= self._widths[:, None] ** 2
        for axis, first in itertools.product(range(len(BASES)), range(0, samples, AT_ONCE)):
            within = np.clip(borders - first, 0, min(AT_ONCE, samples - first))
            (held,) = np.nonzero(np.diff(within))
            ends = [*within[held].tolist(), int(within[-1])]
            alike = np.empty((1, ends[-1]))
            for regime, (start, stop) in zip(held.tolist(), itertools.pairwise(ends), strict=True):
                those = slice(first + start, first + stop)
                alike[0, start:stop] = mixing[regime, axis] @ scores[:, those]
            yield (
                axis,
                first,
                quantiles(mean[None, held, axis], variances[None, held, axis], ends, alike)[0],
            )


def _outer(of: Floats) -> Floats:
    return np.asarray(of[..., :, None] * of[..., None, :])


@cache
def _even(samples: int) -> tuple[Floats, Floats]:
    """Even numbers from 0 to 1, and normal scores in three rows, each in an order of its own (a
    Latin hypercube)."""
    rng = np.random.default_rng(20190214)
    even = (np.arange(samples) + 0.5) / samples
    inverse = np.vectorize(NormalDist().inv_cdf)(even)
    return even, np.array([rng.permutation(inverse) for _ in BASES])
