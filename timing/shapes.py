"""The shape of a peak of pairs, Gaussian or exponentially modified, and where such a peak lies.

An exponentially modified Gaussian is the sum of a Gaussian of width `sigma` and an exponential
delay of mean `tail`: a detector whose avalanche or current pulse starts late now and then
(Grushka 1972, Anal. Chem. 44, 1733). Both shapes are written about their mean, so that a position
means the same whichever was chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timing.peak import Floats

Complex = NDArray[np.complex128]

_POINTS = 1024
_REACH = 16.0
_ROUNDS = 40


@dataclass(frozen=True, slots=True)
class PeakShape:
    """Distribution of local minus mapped remote time of true pairs, of mean 0.

    `tail_ps` is the mean of the exponential part, positive towards larger differences, 0 for a
    Gaussian.
    """

    sigma_ps: float
    tail_ps: float = 0.0

    @property
    def rms_ps(self) -> float:
        """Standard deviation, the tail included."""
        return math.hypot(self.sigma_ps, self.tail_ps)

    @property
    def name(self) -> str:
        """`gaussian` or `exponentially modified gaussian`."""
        return "exponentially modified gaussian" if self.tail_ps else "gaussian"


class ShapeTable:
    """Density and slope of a shape on a fine grid, for many evaluations.

    `information` is what one pair tells of the position, 1/ps^2.
    """

    def __init__(self, shape: PeakShape):
        self.shape = shape
        step = 2 * _REACH * shape.rms_ps / _POINTS
        omega: Floats = 2 * np.pi * np.fft.rfftfreq(_POINTS, step).astype(np.float64)
        spectrum = _spectrum(omega, shape.sigma_ps, shape.tail_ps)
        self._first, self._step = -_REACH * shape.rms_ps, step
        self._density = np.maximum(_on_grid(spectrum, step), 0.0)
        self._slope = _on_grid(-1j * omega * spectrum, step)
        solid = self._density > 1e-9 * self._density.max()
        self.information = step * float(np.sum(self._slope[solid] ** 2 / self._density[solid]))

    def at(self, x_ps: Floats) -> tuple[Floats, Floats]:
        """Density (1/ps) and its derivative (1/ps^2) at differences from the mean."""
        place = (x_ps - self._first) / self._step
        place = np.maximum(np.minimum(place, _POINTS - 1.001), 0.0)
        low = place.astype(np.int64)
        part = place - low
        density, slope = self._density, self._slope
        return (
            density[low] + part * (density[low + 1] - density[low]),
            slope[low] + part * (slope[low + 1] - slope[low]),
        )


def _spectrum(omega: Floats, sigma: float, tail: float) -> Complex:
    """E[exp(i omega x)] of a shape of mean 0."""
    turn = 1j * omega * tail
    value: Complex = np.exp(-0.5 * (sigma * omega) ** 2 - turn) / (1 - turn)
    return value


def _on_grid(spectrum: Complex, step: float) -> Floats:
    """The function with that spectrum at (k - points/2) step."""
    grid: Floats = np.fft.fftshift(np.fft.irfft(np.conj(spectrum), _POINTS)) / step
    return grid


@dataclass(frozen=True, slots=True)
class PeakFit:
    """A peak on a flat background: where its mean is (ps), how sure (ps^2), pairs in it."""

    position_ps: float
    variance: float
    pairs: float


def fit_peak(
    centres_ps: Floats, counts: Floats, table: ShapeTable, position_ps: float
) -> PeakFit | None:
    """Maximum-likelihood position of a peak of known shape in a histogram; None if it collapses.

    Expectation-maximisation, each step in position by the information of a peak without background,
    which is never too long. The variance is the inverse of the expected information, background
    included, so it does not vary with the luck of a few pairs.
    """
    filled = np.flatnonzero(counts)
    x, many = centres_ps[filled], counts[filled]
    total = float(many.sum())
    if total < 3:
        return None
    width = float(centres_ps[-1] - centres_ps[0]) + float(centres_ps[1] - centres_ps[0])
    share, rms = 0.8, table.shape.rms_ps
    for _ in range(_ROUNDS):
        density, slope = table.at(x - position_ps)
        mixed = share * density + (1 - share) / width
        pairs = float(many @ (share * density / mixed))
        if pairs < 2:
            return None
        score = -float(many @ (share * slope / mixed))
        moved = min(max(score / (pairs * table.information), -rms), rms)
        grown = min(pairs / total, 1 - 1e-9) - share
        position_ps += moved
        share += grown
        # A hundredth of the standard deviation is nothing.
        if abs(moved) < 0.01 * rms / math.sqrt(pairs) and abs(grown) < 0.005:
            break
    if not centres_ps[0] < position_ps < centres_ps[-1]:
        return None
    density, slope = table.at(centres_ps - position_ps)
    mixed = share * density + (1 - share) / width
    bin_ps = float(centres_ps[1] - centres_ps[0])
    information = total * bin_ps * float(np.sum((share * slope) ** 2 / mixed))
    if information <= 0:
        return None
    return PeakFit(position_ps, 1 / information, share * total)


@dataclass(frozen=True, slots=True)
class ShapeFit:
    """A shape fitted to a histogram, with the logarithm of its likelihood."""

    shape: PeakShape
    log_likelihood: float
    position_ps: float


def fit_shape(
    centres_ps: Floats, counts: Floats, sigma_ps: float, tail_ps: float
) -> ShapeFit | None:
    """Maximum-likelihood shape with position and background free, by scoring; None if it fails.

    A start with `tail_ps` = 0 stays Gaussian; the sign of the tail is that of the start.
    """
    total = float(counts.sum())
    bins = len(centres_ps)
    bin_ps = float(centres_ps[1] - centres_ps[0])
    narrowest = max(sigma_ps * 0.2, bin_ps / 2)
    size = 4 * bins
    omega: Floats = 2 * np.pi * np.fft.rfftfreq(size, bin_ps).astype(np.float64)
    smear = np.sinc(omega * bin_ps / 2 / np.pi)
    middle = float(centres_ps[bins // 2])
    first = size // 2 - bins // 2
    position, share = float(counts @ centres_ps) / total, 0.9
    with_tail = tail_ps != 0.0

    def grid(spectrum: Complex) -> Floats:
        turned = np.conj(spectrum * np.exp(1j * omega * (position - middle)))
        values: Floats = np.fft.fftshift(np.fft.irfft(turned, size))[first : first + bins]
        return values

    best: ShapeFit | None = None
    damping = 1.0
    for _ in range(_ROUNDS):
        spectrum = _spectrum(omega, sigma_ps, tail_ps) * smear
        peak = np.maximum(grid(spectrum), 0.0)
        # Pairs outside the histogram are nobody's: within it the peak is a whole.
        inside = float(peak.sum())
        chances = share * peak / inside + (1 - share) / bins
        value = float(counts @ np.log(chances))
        if best is not None and value < best.log_likelihood - 1e-9 * abs(value):
            damping /= 2
        if best is None or value > best.log_likelihood:
            done = best is not None and value - best.log_likelihood < 1e-3
            best = ShapeFit(PeakShape(sigma_ps, tail_ps), value, position)
            if done:
                break
        turn = 1j * omega
        pull = [
            share * grid(turn * spectrum),
            share * grid(-((sigma_ps * omega) ** 2) * spectrum),
            peak / inside - 1 / bins,
        ]
        if with_tail:
            pull.append(share * grid(-(omega**2) * tail_ps / (1 - turn * tail_ps) * spectrum))
        slopes = np.array(pull)
        score = slopes @ (counts / chances - total)
        information = total * (slopes / chances) @ slopes.T
        scale = np.sqrt(np.diag(information))
        if not np.all(scale > 0):
            break
        information /= np.outer(scale, scale)
        step = np.linalg.lstsq(information, score / scale, rcond=1e-9)[0] / scale * damping
        limit = 0.5 * math.hypot(sigma_ps, tail_ps)
        position += float(np.clip(step[0], -limit, limit))
        sigma_ps = max(narrowest, sigma_ps * math.exp(float(np.clip(step[1], -0.4, 0.4))))
        share = float(np.clip(share + step[2], 0.02, 1 - 1e-6))
        if with_tail:
            sign = math.copysign(1.0, tail_ps)
            changed = abs(tail_ps) + sign * float(np.clip(step[3], -limit, limit))
            tail_ps = sign * max(narrowest * 0.1, changed)
        if damping < 1e-3:
            break
    return best


class JitterEstimate:
    """Residuals of all pairs about the tracked clock, old ones forgotten; which shape they have.

    `grain_ps` is the width of a bin; the histogram reaches `reach_ps` either way.
    """

    _LEAST_PAIRS = 1000
    _KEPT = 50_000.0
    _CONVINCING = 8.0

    def __init__(self, jitter_ps: float):
        self.bin_ps = max(1, round(jitter_ps / 8))
        self.bins = 2 * max(8, math.ceil(8 * jitter_ps / self.bin_ps))
        self.low_ps = -(self.bins // 2) * self.bin_ps
        places = np.arange(self.bins, dtype=np.float64) + 0.5
        self._centres: Floats = self.low_ps + places * self.bin_ps - 0.5
        self._counts = np.zeros(self.bins)
        self._next = float(self._LEAST_PAIRS)
        self._seen = 0.0
        self.table = ShapeTable(PeakShape(jitter_ps))

    @property
    def shape(self) -> PeakShape:
        """The shape that is likeliest so far."""
        return self.table.shape

    def add(self, counts: Floats, shift_ps: float, centres_ps: Floats) -> None:
        """Add a histogram of differences whose peak lies at `shift_ps`."""
        filled = np.flatnonzero(counts)
        many = counts[filled]
        place = np.floor((centres_ps[filled] - shift_ps + 0.5 - self.low_ps) / self.bin_ps)
        good = (place >= 0) & (place < self.bins)
        self._counts += np.bincount(
            place[good].astype(np.int64), weights=many[good], minlength=self.bins
        )
        self._seen += float(many[good].sum())
        if self._seen >= self._next:
            self._decide()

    def _decide(self) -> None:
        total = float(self._counts.sum())
        self._next = self._seen + max(float(self._LEAST_PAIRS), min(total, self._KEPT / 5))
        rms = self.shape.rms_ps
        best = fit_shape(self._centres, self._counts, rms, 0.0)
        least = 0.0 if best is None else best.log_likelihood + self._CONVINCING
        for sign in (-1.0, 1.0):
            tailed = fit_shape(self._centres, self._counts, 0.75 * rms, sign * 0.66 * rms)
            # One parameter more has to earn its place.
            if best is not None and tailed is not None and tailed.log_likelihood > least:
                best, least = tailed, tailed.log_likelihood
        if total > self._KEPT:
            self._counts *= 0.5
        # The residuals are about a clock that itself errs a little; a jump of the shape is no news.
        if best is not None and 0.3 * rms < best.shape.rms_ps < 3 * rms:
            self.table = ShapeTable(best.shape)
