"""A pulsed source shows a comb of peaks, a period apart: which of them holds the pairs.

Pulses of one pair source coincide at every period by chance alone, and a source in a cavity has
true pairs in several peaks. What is always so: the envelope of the peaks has one top, and falls to
both sides alike. Each peak is asked how likely the counts are if the top is there, with the
likeliest envelope for that (Poisson, symmetric, falling: isotonic regression, Barlow et al. 1972).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cext.coincidence import count_pairs_at
from cext.histogram import difference_histogram
from timing.clock import ClockModel
from timing.peak import Floats
from timing.tags import TimesPs

REACH = 8
"""Peaks looked at on either side."""

NEEDED = math.log(1e4)
"""Logarithm of the likelihood ratio to every other peak at which the top is believed."""

_BLURRED = 0.35
_LINE = 12.0


@dataclass(frozen=True, slots=True)
class CombAnswer:
    """The peak with the pairs, `shift` periods later than the clock's map says.

    `told` is false where another peak is nearly as likely. `log_ratio` compares with the likeliest
    rival, `log_ratios` with the two neighbours (before, after): natural logarithms.
    """

    shift: int
    told: bool
    log_ratio: float
    log_ratios: tuple[float, float]
    reason: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of the offset from elsewhere: where it lies from the map, and how surely.

    A clock held over, or another acquisition carried on with its skew, tells peaks apart whose
    counts are alike.
    """

    position_ps: float
    sigma_ps: float


def blurred(period_ps: float, jitter_ps: float) -> bool:
    """The jitter hides the comb: there is one wide peak, and nothing to tell apart."""
    return jitter_ps > _BLURRED * period_ps


def comb_counts(
    local_ps: TimesPs,
    mapped_ps: TimesPs,
    period_ps: float,
    jitter_ps: float,
    reach: int = REACH,
) -> NDArray[np.int64]:
    """Pairs in each peak from -reach to reach periods about the map, int64[2 reach + 1]."""
    half_ps = max(1, int(min(2.5 * jitter_ps, period_ps / 2)))
    shifts = [round(k * period_ps) for k in range(-reach, reach + 1)]
    counts: NDArray[np.int64] = count_pairs_at(mapped_ps, local_ps, -half_ps, half_ps - 1, shifts)
    return counts


def resolved(
    counts: NDArray[np.int64] | Floats,
    period_ps: float,
    jitter_ps: float,
    expected: Expected | None = None,
    needed: float = NEEDED,
) -> CombAnswer:
    """Which peak holds the pairs, by the counts of `comb_counts` and what else is known."""
    many = np.asarray(counts, dtype=np.float64)
    reach = len(many) // 2
    shifts = np.arange(-reach, reach + 1)
    if blurred(period_ps, jitter_ps):
        return CombAnswer(
            0,
            False,
            0.0,
            (0.0, 0.0),
            f"the peaks run into each other: found a jitter of {jitter_ps:.0f} ps, expected at "
            f"most {_BLURRED * period_ps:.0f} ps for a period of {period_ps:.0f} ps",
        )
    likely = np.array([_with_top(many, at) for at in range(len(many))])
    if expected is not None:
        away = (shifts * period_ps - expected.position_ps) / max(expected.sigma_ps, jitter_ps)
        likely -= away**2 / 2
    top = int(np.argmax(likely))
    lead = likely[top] - likely
    rivals = np.delete(lead, top)
    ratio = float(rivals.min())
    before = float(lead[top - 1]) if top else math.inf
    after = float(lead[top + 1]) if top < len(many) - 1 else math.inf
    at_edge = top in (0, len(many) - 1)
    told = ratio >= needed and not at_edge
    if told:
        reason = ""
    elif at_edge:
        reason = f"the envelope still rises at the last peak looked at, {shifts[top]} periods away"
    else:
        rival = int(np.argsort(lead)[1])
        reason = (
            f"peaks {shifts[top]} and {shifts[rival]} periods away hold {many[top]:.0f} and "
            f"{many[rival]:.0f} pairs: found a likelihood ratio of {math.exp(min(ratio, 700)):.3g},"
            f" expected at least {math.exp(needed):.3g}; more light tells, or an offset known to "
            f"{period_ps / 9:.0f} ps from elsewhere"
        )
    return CombAnswer(int(shifts[top]), told, ratio, (before, after), reason)


def shifted(model: ClockModel, shift: int, period_ps: float) -> ClockModel:
    """The map that puts the peak `shift` periods away on 0."""
    return model.adjusted(shift * period_ps, 0.0, model.covariance)


def estimated_period(
    local_ps: TimesPs,
    mapped_ps: TimesPs,
    jitter_ps: float,
    *,
    shortest_ps: float | None = None,
    bins: int = 1 << 15,
) -> float | None:
    """The period of the peaks of two streams, ps, from their differences; None if there is none.

    Looks for periods from `shortest_ps`, by default three jitters, to a twentieth of the range of
    differences, which is `bins` quarters of the jitter.
    """
    bin_ps = max(1, int(jitter_ps / 4))
    counts = difference_histogram(mapped_ps, local_ps, -(bins // 2) * bin_ps, bin_ps, bins)
    if counts.sum() < 100:
        return None
    # The pairs themselves, in one place, would hide the comb of the rest.
    level = np.minimum(counts.astype(np.float64), _ceiling(counts))
    window = np.hanning(bins)
    power = np.abs(np.fft.rfft((level - level.mean()) * window, 4 * bins)) ** 2
    least = 3 * jitter_ps if shortest_ps is None else shortest_ps
    first, last = 4 * 20, min(len(power) - 2, int(4 * bins * bin_ps / least))
    if last <= first:
        return None
    noise = float(level.var() * np.sum(window**2))
    strong = np.flatnonzero(power[first:last] > _LINE * 2 * noise) + first
    if not len(strong):
        return None
    # Harmonics are multiples of the lowest strong line.
    highest = float(power[strong].max())
    top = int(strong[power[strong] > 0.25 * highest][0])
    while power[top + 1] > power[top]:
        top += 1
    left, middle, right = np.log(power[top - 1 : top + 2]).tolist()
    place = top + 0.5 * (left - right) / (left - 2 * middle + right)
    return float(4 * bins * bin_ps / place)


def _ceiling(counts: NDArray[np.int64]) -> float:
    mean = float(counts.mean())
    return float(np.quantile(counts, 0.99)) + 5 * math.sqrt(mean) + 1


def _with_top(counts: Floats, top: int) -> float:
    """Log-likelihood of the counts with the likeliest symmetric falling envelope about a top."""
    far = np.abs(np.arange(len(counts)) - top)
    size = int(far.max()) + 1
    sums = np.bincount(far, weights=counts, minlength=size)
    weights = np.bincount(far, minlength=size).astype(np.float64)
    blocks: list[tuple[float, float]] = []
    for total, weight in zip(sums.tolist(), weights.tolist(), strict=True):
        blocks.append((total, weight))
        while len(blocks) > 1 and blocks[-1][0] * blocks[-2][1] > blocks[-2][0] * blocks[-1][1]:
            (a, u), (b, v) = blocks.pop(), blocks.pop()
            blocks.append((a + b, u + v))
    return sum(total * math.log(total / weight) for total, weight in blocks if total > 0)
