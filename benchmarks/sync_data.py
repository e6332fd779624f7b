"""Streams of two ends whose clocks wander, made piece by piece, and what is true of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Floats = NDArray[np.float64]

PS = 10**12
_DAY_S = 86400.0
_KNOT_S = 0.01


@dataclass(frozen=True, slots=True)
class Oscillator:
    """A clock: white and random-walk FM (per root second), skew, ageing in a day."""

    white_fm_1s: float = 1e-11
    random_walk_fm_1s: float = 1e-13
    skew: float = 0.0
    ageing_per_day: float = 1e-10


@dataclass(frozen=True, slots=True)
class Interval:
    """[start, stop) in seconds."""

    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class Day:
    """What happens: rates of each end, pairs among them, jitter of their difference, the clocks,
    the fibre's daily swing (peak to peak), dark times and bursts of background at the remote end.
    """

    singles_cps: tuple[float, float] = (20e3, 20e3)
    pairs_cps: float = 400.0
    jitter_ps: float = 300.0
    dark_cps: float = 500.0
    local: Oscillator = field(default_factory=lambda: Oscillator(skew=3e-7))
    remote: Oscillator = field(default_factory=lambda: Oscillator(skew=-2e-7))
    remote_zero_ps: int = 3_217_000_000_000
    swing_ps: float = 10_000.0
    gaps: tuple[Interval, ...] = ()
    bursts: tuple[Interval, ...] = ()
    burst_cps: float = 200e3


def gaps_of_a_day(
    rng: np.random.Generator, hours: float, count: int, longest_s: float = 600.0
) -> tuple[Interval, ...]:
    """Dark times of 1 s to `longest_s`, evenly over the logarithm, none near another."""
    lengths = np.exp(rng.uniform(0, math.log(longest_s), count))
    # The longest and the shortest belong to every day.
    lengths[0], lengths[-1] = 1.0, longest_s
    rng.shuffle(lengths)
    room = hours * 3600 / count
    gaps = []
    for k, length in enumerate(lengths.tolist()):
        # A short day has room for short gaps only.
        length = min(length, 0.6 * room)
        start = k * room + 0.2 * room + rng.uniform(0, 0.8 * room - length) * 0.9
        gaps.append(Interval(start, start + length))
    return tuple(gaps)


class _Wander:
    """Phase of a clock against true time, in ps, at knots of a hundredth of a second."""

    def __init__(self, clock: Oscillator, rng: np.random.Generator):
        self._clock, self._rng = clock, rng
        self._phase_ps = 0.0
        self._skew = clock.skew * 1e12
        self._ageing = clock.ageing_per_day / _DAY_S * 1e12

    def knots(self, count: int) -> Floats:
        """The phase at the next `count` knots and at the one that follows them."""
        clock, rng = self._clock, self._rng
        turns = rng.normal(0.0, clock.random_walk_fm_1s * 1e12 * math.sqrt(_KNOT_S), count)
        skews = self._skew + np.cumsum(turns + self._ageing * _KNOT_S)
        steps = rng.normal(0.0, clock.white_fm_1s * 1e12 * math.sqrt(_KNOT_S), count)
        phase = self._phase_ps + np.concatenate(([0.0], np.cumsum(skews * _KNOT_S + steps)))
        self._phase_ps, self._skew = float(phase[-1]), float(skews[-1])
        return phase


@dataclass(frozen=True, slots=True)
class Piece:
    """Both ends' tags of one piece of time, each on its own scale, and the spans they cover."""

    local_ps: Times
    remote_ps: Times
    local_span_ps: tuple[int, int]
    remote_span_ps: tuple[int, int]


class TwoEnds:
    """Makes the streams of a day in pieces of `piece_s`, and remembers the clocks for a while."""

    def __init__(self, day: Day, seed: int, piece_s: float = 2.0):
        self.day = day
        self.piece_s = piece_s
        self._rng = np.random.default_rng(seed)
        rngs = np.random.default_rng(seed + 1).spawn(2)
        self._clocks = [_Wander(day.local, rngs[0]), _Wander(day.remote, rngs[1])]
        self._at_s = 0.0
        self._kept: list[tuple[float, Floats, Floats]] = []

    @property
    def at_s(self) -> float:
        """True time until which pieces were made."""
        return self._at_s

    def next(self) -> Piece:
        """The next piece; whole picoseconds, ascending."""
        day, rng, start_s = self.day, self._rng, self._at_s
        span_ps = self.piece_s * 1e12
        count = round(self.piece_s / _KNOT_S)
        knots = [clock.knots(count) for clock in self._clocks]
        self._kept.append((start_s, knots[0], knots[1]))
        del self._kept[:-10]
        self._at_s += self.piece_s
        pairs = self._lit(self._poisson(day.pairs_cps, span_ps), start_s)
        ends = []
        for phase, singles, clock_zero in zip(
            knots, day.singles_cps, (0, day.remote_zero_ps), strict=True
        ):
            remote = clock_zero != 0
            lit = self._lit(self._poisson(singles - day.pairs_cps - day.dark_cps, span_ps), start_s)
            times = [lit, self._poisson(day.dark_cps, span_ps)]
            seen = pairs + rng.normal(0.0, day.jitter_ps / math.sqrt(2), len(pairs))
            if remote:
                seen = seen + self._delay_ps(start_s + pairs * 1e-12)
                times += self._bursts(start_s)
            true = np.concatenate((seen, *times))
            true.sort()
            wander = _interpolated(phase, true)
            tags = np.rint(true + wander).astype(np.int64)
            zero_ps = round(start_s * PS) + clock_zero
            edges = (round(phase[0]), round(phase[-1] + span_ps))
            # Jitter may carry a tag over the edge of its piece.
            tags = np.clip(tags, edges[0], edges[1] - 1)
            ends.append((tags + zero_ps, (edges[0] + zero_ps, edges[1] + zero_ps)))
        return Piece(ends[0][0], ends[1][0], ends[0][1], ends[1][1])

    def offset_ps(self, remote_ps: Times) -> tuple[Times, Floats]:
        """True local minus remote time of pairs seen at remote instants of the last ten pieces:
        whole ps, and the rest."""
        first_s = self._kept[0][0]
        local = np.concatenate([k[1][:-1] for k in self._kept] + [self._kept[-1][1][-1:]])
        remote = np.concatenate([k[2][:-1] for k in self._kept] + [self._kept[-1][2][-1:]])
        reading = (remote_ps - self.day.remote_zero_ps - round(first_s * PS)).astype(np.float64)
        true = reading
        for _ in range(3):
            true = reading - _interpolated(remote, true)
        delay = self._delay_ps(first_s + true * 1e-12)
        true = true - delay
        rest = _interpolated(local, true) - _interpolated(remote, true) - delay
        whole = np.full(len(remote_ps), -self.day.remote_zero_ps, dtype=np.int64)
        return whole, rest

    def remote_instant_ps(self, true_s: float) -> int:
        """About when a true instant is on the remote scale: to a few ppm of the time so far."""
        phase = float(self._kept[-1][2][-1])
        return round(true_s * PS + phase) + self.day.remote_zero_ps

    def _poisson(self, rate_cps: float, span_ps: float) -> Floats:
        mean = max(rate_cps, 0.0) * span_ps * 1e-12
        return self._rng.random(self._rng.poisson(mean)) * span_ps

    def _lit(self, times_ps: Floats, start_s: float) -> Floats:
        stop_s = start_s + self.piece_s
        for gap in self.day.gaps:
            if gap.start_s < stop_s and gap.stop_s > start_s:
                low, high = (gap.start_s - start_s) * 1e12, (gap.stop_s - start_s) * 1e12
                times_ps = times_ps[(times_ps < low) | (times_ps >= high)]
        return times_ps

    def _bursts(self, start_s: float) -> list[Floats]:
        found = []
        for burst in self.day.bursts:
            low = max(0.0, burst.start_s - start_s)
            high = min(self.piece_s, burst.stop_s - start_s)
            if low < high:
                found.append(self._poisson(self.day.burst_cps, (high - low) * 1e12) + low * 1e12)
        return found

    def _delay_ps(self, true_s: Floats) -> Floats:
        return self.day.swing_ps / 2 * np.sin(2 * np.pi * true_s / _DAY_S)


def _interpolated(phase: Floats, true_ps: Floats) -> Floats:
    """The phase between knots, straight."""
    place = true_ps * (1e-12 / _KNOT_S)
    low = np.clip(place.astype(np.int64), 0, len(phase) - 2)
    before = phase[low]
    result: Floats = before + (place - low) * (phase[low + 1] - before)
    return result
