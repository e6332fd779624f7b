"""Two taggers that watch the same pairs, with everything about them known."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Lab:
    """Tags of two ends and what is true of them: `pair` is a number a photon pair, -1 for none."""

    local_ps: Ints
    local_pair: Ints
    remote_ps: Ints
    remote_pair: Ints
    offset_ps: int
    skew: float
    remote_zero_ps: int

    def error_ps(self, model: object, at_ps: int) -> float:
        """Mapped minus true local time at a remote instant, where the clocks do not wander."""
        whole, rest = model.shift_ps(np.array([at_ps]))  # type: ignore[attr-defined]
        true_rest = self.skew * (at_ps - self.remote_zero_ps)
        return (whole - self.offset_ps) + float(rest[0]) - true_rest


@pytest.fixture
def lab() -> Callable[..., Lab]:
    """Makes streams: rates cps, span s, offset ps, skew; tags are cut to the taggers' tick."""

    def make(
        seed: int,
        *,
        span_s: float = 1.0,
        rates_cps: tuple[float, float] = (25e3, 15e3),
        pairs_cps: float = 3e3,
        offset_ps: int = 0,
        skew: float = 0.0,
        jitter_ps: float = 120.0,
        tick_ps: int = 2000,
        remote_zero_ps: int = 0,
        clock_noise_1s: float = 0.0,
        step_ps: float = 0.0,
    ) -> Lab:
        """`step_ps` is a jump of the remote clock in the middle of the span."""
        rng = np.random.default_rng(seed)
        span_ps = span_s * 1e12
        pairs = rng.uniform(0, span_ps, rng.poisson(pairs_cps * span_s))
        ends = []
        for rate in rates_cps:
            alone = rng.uniform(0, span_ps, rng.poisson((rate - pairs_cps) * span_s))
            seen = pairs + rng.normal(0, jitter_ps / np.sqrt(2), len(pairs))
            times = np.concatenate((seen, alone))
            numbers = np.concatenate((np.arange(len(pairs)), np.full(len(alone), -1)))
            order = np.argsort(times)
            ends.append((times[order], numbers[order]))
        (local, local_pair), (remote, remote_pair) = ends
        remote = remote / (1 + skew)
        steps = rng.normal(0, clock_noise_1s * 1e12 * 0.1, int(span_s * 100) + 2)
        remote = remote + np.interp(remote, 1e10 * np.arange(len(steps)), np.cumsum(steps))
        remote = remote + np.where(remote > span_ps / 2, step_ps, 0.0)

        def ticked(times: NDArray[np.float64]) -> Ints:
            return np.sort((np.floor(times / tick_ps) * tick_ps).astype(np.int64))

        return Lab(
            local_ps=ticked(local) + remote_zero_ps + offset_ps,
            local_pair=local_pair.astype(np.int64),
            remote_ps=ticked(remote) + remote_zero_ps,
            remote_pair=remote_pair.astype(np.int64),
            offset_ps=offset_ps,
            skew=skew,
            remote_zero_ps=remote_zero_ps,
        )

    return make


Floats = NDArray[np.float64]


class Source:
    """Pairs for a tracker, span by span: the remote clock is the true time, the local one is off by
    a function of it; the jitter, a Gaussian and an exponential tail of mean 0, is the local end's.
    """

    def __init__(
        self,
        seed: int,
        *,
        pairs_cps: float = 2000.0,
        singles_cps: tuple[float, float] = (20e3, 20e3),
        sigma_ps: float = 300.0,
        tail_ps: float = 0.0,
        period_ps: float = 0.0,
    ):
        self.rng = np.random.default_rng(seed)
        self.pairs_cps, self.singles_cps = pairs_cps, singles_cps
        self.sigma_ps, self.tail_ps = sigma_ps, tail_ps
        self.period_ps = period_ps

    def span(
        self,
        start_s: float,
        offset_ps: Callable[[Floats], Floats],
        *,
        length_s: float = 0.1,
        light: float = 1.0,
        burst_cps: float = 0.0,
    ) -> tuple[Ints, Ints, int, int]:
        """Local tags, remote tags, start and stop of a span; `light` multiplies all rates."""

        def poisson(rate_cps: float) -> Floats:
            mean = rate_cps * light * length_s
            times = self.rng.random(self.rng.poisson(mean)) * length_s * 1e12
            if self.period_ps:
                times = np.floor(times / self.period_ps) * self.period_ps
            return times

        pairs = poisson(self.pairs_cps)
        ends = [np.concatenate((pairs, poisson(r - self.pairs_cps))) for r in self.singles_cps]
        dark = self.rng.random(self.rng.poisson(burst_cps * length_s)) * length_s * 1e12
        remote = np.concatenate((ends[1], dark))
        local = ends[0]
        tail = self.rng.exponential(1.0, len(local)) - 1.0
        jitter = self.rng.normal(0.0, self.sigma_ps, len(local)) + self.tail_ps * tail
        local = local + offset_ps(start_s + local * 1e-12) + jitter
        zero = round(start_s * 1e12)
        return (
            np.sort(np.rint(local).astype(np.int64)) + zero,
            np.sort(np.rint(remote).astype(np.int64)) + zero,
            zero,
            zero + round(length_s * 1e12),
        )


@dataclass(frozen=True)
class Walk:
    """An offset, ps, as a function of time, s: white and random-walk FM at 1 s, of a seed."""

    step_s: float
    phase: Floats

    @classmethod
    def of(
        cls, seed: int, span_s: float, white_fm_1s: float, random_walk_fm_1s: float = 0.0
    ) -> "Walk":
        rng = np.random.default_rng(seed)
        step_s = 0.005
        count = int(span_s / step_s) + 2
        skew = np.cumsum(rng.normal(0.0, random_walk_fm_1s * 1e12 * np.sqrt(step_s), count))
        steps = rng.normal(0.0, white_fm_1s * 1e12 * np.sqrt(step_s), count)
        return cls(step_s, np.cumsum(skew * step_s + steps))

    def __call__(self, time_s: Floats) -> Floats:
        return np.interp(time_s / self.step_s, np.arange(len(self.phase)), self.phase)


@pytest.fixture
def source() -> type[Source]:
    """The class of sources of pairs."""
    return Source


@pytest.fixture
def walk() -> Callable[..., Walk]:
    """Makes wandering offsets."""
    return Walk.of
