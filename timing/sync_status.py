"""Where the synchronisation of two ends stands."""

from __future__ import annotations

from dataclasses import dataclass

from timing.changes import Change
from timing.clock import ClockModel, ClockState
from timing.comb import CombAnswer
from timing.score import TrackStatistics


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Where the synchronisation stands. Tags that never came into an Overlap are counted.

    `dropped_*` left a full buffer; `skipped_*` lay where the other end had no data, or where the
    clock was in doubt. `recoveries` are clocks found again, after a loss, near where they were.
    `comb` is what the peaks of a pulsed source say; `change` the latest step of path or clock.
    """

    state: ClockState
    model: ClockModel | None
    uncertainty_ps: float | None
    statistics: TrackStatistics | None
    acquisitions: int
    failures: int
    last_failure: str
    losses: int
    dropped_local: int
    dropped_remote: int
    skipped_local: int
    skipped_remote: int
    duplicates: int
    recoveries: int = 0
    comb: CombAnswer | None = None
    change: Change | None = None
