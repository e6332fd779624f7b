"""Streams of correlated tags at two free-running clocks, with the truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timing.clock import ClockModel
from timing.tags import PS_PER_S, TimesPs


@dataclass(frozen=True, slots=True)
class Trial:
    """Two streams and their clocks: local = remote + offset + skew remote."""

    local_ps: TimesPs
    remote_ps: TimesPs
    offset_ps: int
    skew: float

    def error_ps(self, model: ClockModel) -> float:
        """Mapped minus true local time at the epoch of a clock."""
        whole_ps, rest_ps = model.shift_ps(np.array([model.epoch_ps]))
        return (whole_ps - self.offset_ps) + float(rest_ps[0]) - self.skew * model.epoch_ps


def trial(
    seed: int,
    *,
    span_s: float,
    rates_cps: tuple[float, float] = (200e3, 200e3),
    pairs_cps: float = 4e3,
    jitter_ps: float = 300.0,
    max_offset_ps: int = PS_PER_S,
    max_skew: float = 1e-5,
) -> Trial:
    """Poissonian singles and pairs; offset and skew drawn evenly from the whole range.

    `jitter_ps` is the standard deviation of the time differences of pairs.
    """
    rng = np.random.default_rng(seed)
    offset_ps = int(rng.integers(-max_offset_ps, max_offset_ps, endpoint=True))
    skew = float(rng.uniform(-max_skew, max_skew))
    pairs = rng.uniform(0, span_s * PS_PER_S, rng.poisson(pairs_cps * span_s))

    def seen(rate_cps: float) -> NDArray[np.float64]:
        jitter = rng.normal(0, jitter_ps / np.sqrt(2), len(pairs))
        alone = rng.uniform(0, span_s * PS_PER_S, rng.poisson((rate_cps - pairs_cps) * span_s))
        return np.sort(np.concatenate((pairs + jitter, alone)))

    local, remote = seen(rates_cps[0]), seen(rates_cps[1])
    return Trial(
        local_ps=np.rint(local).astype(np.int64) + offset_ps,
        remote_ps=np.rint(remote / (1 + skew)).astype(np.int64),
        offset_ps=offset_ps,
        skew=skew,
    )
