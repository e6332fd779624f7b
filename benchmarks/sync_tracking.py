"""Tracking of a free-running pair of clocks through a day, and what it costs."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.frame import Row
from benchmarks.sync_bad_tracking import bad_rows
from benchmarks.sync_data import Day, Interval, Oscillator, TwoEnds, gaps_of_a_day
from timing.acquire import Search
from timing.clock import ClockState
from timing.clock_class import declared_noise
from timing.sync import Overlap, PairSynchronizer, run_acquisition
from timing.tags import TagBatch

WINDOW_PS = 6000
STEP_S = 0.2
PRIOR = Search(max_offset_ps=10**13, max_skew=2e-6)


@dataclass(slots=True)
class DayResult:
    """What a tracked day showed; errors in ps, times in s; `*_s` of work are CPU times."""

    hours: float
    bound_ps: float
    errors_ps: list[float] = field(default_factory=list)
    stated_ps: list[float] = field(default_factory=list)
    undeclared: int = 0
    longest_undeclared_s: float = 0.0
    reacquired_s: list[float] = field(default_factory=list)
    losses: int = 0
    recoveries: int = 0
    acquisitions: int = 0
    product_s: float = 0.0
    whole_s: float = 0.0
    tags: int = 0
    tracked_share: float = 0.0

    @property
    def residual_ps(self) -> float:
        """Root mean square of the map's error while tracking."""
        return float(np.sqrt(np.mean(np.square(self.errors_ps)))) if self.errors_ps else math.nan


def ocxo_day(hours: float, seed: int, gaps: int = 30) -> Day:
    """An OCXO pair at 20 kcps a side and 400 pairs/s, with gaps, bursts and a daily swing."""
    rng = np.random.default_rng(seed)
    dark = gaps_of_a_day(rng, hours, gaps)
    starts = rng.uniform(10, hours * 3600 - 10, max(1, round(2 * hours)))
    bursts = tuple(Interval(s, s + 0.3) for s in starts.tolist())
    return Day(gaps=dark, bursts=bursts)


def track_day(hours: float, seed: int = 1, gaps: int = 30) -> DayResult:
    """Track a simulated day through the whole product path."""
    day = ocxo_day(hours, seed, gaps)
    noise_1s = math.hypot(day.local.white_fm_1s, day.remote.white_fm_1s)
    bound_ps = math.sqrt(day.jitter_ps * noise_1s * 1e12 / math.sqrt(day.pairs_cps))
    result = DayResult(hours, bound_ps)
    ends = TwoEnds(day, seed)
    sync = PairSynchronizer(
        window_ps=WINDOW_PS,
        noise=declared_noise("ocxo", "ocxo"),
        search=PRIOR,
        acquire_span_s=2.0,
        step_s=STEP_S,
    )
    began_s = time.process_time()
    bad_s = 0.0
    tracking_s = 0.0
    light = [gap.stop_s for gap in day.gaps]
    channels = np.ones(1 << 20, dtype=np.uint8)
    number = 0
    while ends.at_s < hours * 3600:
        piece = ends.next()
        number += 1
        start_s = time.process_time()
        sync.add_local(
            TagBatch(piece.local_ps, channels[: len(piece.local_ps)], *piece.local_span_ps)
        )
        sync.add_remote(piece.remote_ps, *piece.remote_span_ps, number)
        request = sync.acquisition_input()
        if request is not None:
            sync.accept(request, run_acquisition(request))
        spans = sync.advance()
        result.product_s += time.process_time() - start_s
        result.tags += len(piece.local_ps) + len(piece.remote_ps)
        if not spans:
            bad_s = 0.0
            continue
        errors = errors_ps(ends, spans)
        for span, error in zip(spans, errors, strict=True):
            length_s = (span.stop_ps - span.start_ps) * 1e-12
            bad_s = bad_s + length_s if abs(error) > 3 * span.uncertainty_ps else 0.0
            if bad_s > 1.0:
                result.undeclared += bad_s - length_s <= 1.0
                result.longest_undeclared_s = max(result.longest_undeclared_s, bad_s)
            if span.state is ClockState.TRACKING:
                tracking_s += length_s
                result.errors_ps.append(error)
                result.stated_ps.append(span.uncertainty_ps)
                stop_s = _true_s(ends, span)
                while light and light[0] + STEP_S / 2 < stop_s:
                    result.reacquired_s.append(stop_s - light.pop(0))
    status = sync.status()
    result.whole_s = time.process_time() - began_s
    result.losses, result.recoveries = status.losses, status.recoveries
    result.acquisitions = status.acquisitions
    result.tracked_share = tracking_s / (hours * 3600)
    return result


def errors_ps(ends: TwoEnds, spans: list[Overlap]) -> list[float]:
    """Mapped minus true local time in the middle of each span."""
    middles = np.array(
        [
            (s.model.instant_to_remote(s.start_ps) + s.model.instant_to_remote(s.stop_ps)) // 2
            for s in spans
        ]
    )
    whole, rest = ends.offset_ps(middles)
    errors = []
    for k, span in enumerate(spans):
        mapped_whole, mapped_rest = span.model.shift_ps(middles[k : k + 1])
        errors.append(float(mapped_whole - int(whole[k])) + float(mapped_rest[0] - rest[k]))
    return errors


def _true_s(ends: TwoEnds, span: Overlap) -> float:
    """When a span stopped, true time."""
    zero_ps = ends.remote_instant_ps(0.0)
    return (span.model.instant_to_remote(span.stop_ps) - zero_ps) * 1e-12


def day_rows(hours: float = 24.0, seed: int = 1, gaps: int = 30) -> list[Row]:
    """The rows of a tracked day."""
    found = track_day(hours, seed, gaps)
    name = f"tracking {hours:g} h of an OCXO pair"
    return [
        Row(f"{name}: errors beyond 3 stated sigma for over 1 s", found.undeclared, "", at_most=0),
        Row(f"{name}: residual", found.residual_ps, "ps"),
        Row(f"{name}: residual over bound", found.residual_ps / found.bound_ps, "", at_most=1.5),
        Row(f"{name}: gaps survived", len(found.reacquired_s), "", at_least=gaps, at_most=gaps),
        Row(
            f"{name}: longest re-acquisition after a gap, data time",
            max(found.reacquired_s, default=math.nan),
            "s",
            at_most=2.0,
        ),
        Row(f"{name}: clock losses", found.losses, ""),
        Row(f"{name}: found again narrowly", found.recoveries, ""),
        Row(f"{name}: share of time tracking", found.tracked_share, ""),
        Row(
            f"{name}: real time over CPU time, product alone",
            hours * 3600 / found.product_s,
            "",
            at_least=100,
        ),
        Row(
            f"{name}: real time over CPU time, making the tags included",
            hours * 3600 / found.whole_s,
            "",
        ),
        Row(f"{name}: tags through the product", found.tags / found.product_s / 1e6, "Mtags/s"),
    ]


def cost_rows(seconds: float = 10.0) -> list[Row]:
    """CPU of tracking two streams of 1 Mcps, batches of 40 ms, as a share of a core."""
    quiet = Oscillator()
    day = Day(
        singles_cps=(1e6, 1e6),
        pairs_cps=20e3,
        local=quiet,
        remote=Oscillator(skew=2e-7),
        swing_ps=0.0,
    )
    ends = TwoEnds(day, 5, piece_s=0.04)
    sync = PairSynchronizer(
        window_ps=2000, noise=declared_noise("ocxo", "ocxo"), search=PRIOR, max_tags=4_000_000
    )
    used_s, tracked_s, number = 0.0, 0.0, 0
    channels = np.ones(1 << 20, dtype=np.uint8)
    while tracked_s < seconds and number < 1000:
        piece = ends.next()
        number += 1
        start_s = time.process_time()
        sync.add_local(
            TagBatch(piece.local_ps, channels[: len(piece.local_ps)], *piece.local_span_ps)
        )
        sync.add_remote(piece.remote_ps, *piece.remote_span_ps, number)
        spans = sync.advance()
        taken_s = time.process_time() - start_s
        if sync.state is ClockState.TRACKING and tracked_s + len(spans) > 0:
            used_s += taken_s
            tracked_s += ends.piece_s
        request = sync.acquisition_input()
        if request is not None:
            sync.accept(request, run_acquisition(request))
            sync.advance()
    share = 100 * used_s / tracked_s if tracked_s else math.nan
    return [Row("tracking 2 x 1 Mcps: share of a core", share, "%", at_most=10.0)]


def tracking_rows(hours: float = 24.0) -> list[Row]:
    """All rows of tracking."""
    return [*day_rows(hours), *cost_rows(), *bad_rows()]
