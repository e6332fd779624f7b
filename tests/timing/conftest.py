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
