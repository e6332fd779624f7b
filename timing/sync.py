"""The tags of two ends, brought onto one timescale by their own photons.

sync = PairSynchronizer(window_ps=6000)
sync.add_local(batch, label)                      # as they come from the tagger
sync.add_remote(times, start, stop, sequence, label)  # as they come from the far end
if (request := sync.acquisition_input()) is not None:
    result = await loop.run_in_executor(pool, run_acquisition, request)
    sync.accept(request, result)
for overlap in sync.advance():
    match(overlap.local.time_ps, overlap.remote_mapped_ps)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from timing.acquire import Acquisition, NoCorrelation, Search, acquire
from timing.buffer import LabelledTags, TagBuffer, labelled
from timing.clock import ClockModel, ClockState
from timing.tags import PS_PER_S, TagBatch, TimesPs
from timing.track import ClockTracker, TrackStatistics

Side = Literal["local", "remote"]

ANY_OFFSET = Search(max_offset_ps=10**18, most_s=1.0)
"""A search over all offsets at which two records overlap: counters that start anywhere."""


@dataclass(frozen=True, slots=True)
class AcquisitionInput:
    """What a worker process needs for one acquisition."""

    local_ps: TimesPs
    remote_ps: TimesPs
    search: Search
    generation: int


def run_acquisition(request: AcquisitionInput) -> Acquisition | NoCorrelation:
    """Acquire; for an executor."""
    return acquire(request.local_ps, request.remote_ps, request.search)


@dataclass(frozen=True, slots=True)
class Overlap:
    """A span that both ends have covered, [start, stop) on the local scale, with all its tags.

    Spans follow each other in time order, and a tag is in one of them at most; a span ends where no
    two tags of the ends are near each other, so no pair is cut in two. `remote.time_ps` is the far
    end's own time, `remote_mapped_ps` the same on the local scale (ascending).
    """

    local: LabelledTags
    remote: LabelledTags
    remote_mapped_ps: TimesPs
    start_ps: int
    stop_ps: int
    state: ClockState
    model: ClockModel


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Where the synchronisation stands. Tags that never came into an Overlap are counted.

    `dropped_*` left a full buffer; `skipped_*` lay where the other end had no data, or where the
    clock was in doubt.
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


@dataclass(slots=True)
class _End:
    buffer: TagBuffer
    gaps_ps: list[int] = field(default_factory=list)
    sequence: int | None = None
    skipped: int = 0


class PairSynchronizer:
    """Buffers both ends' tags, says when to acquire, tracks, and returns the spans both covered.

    `window_ps` is the full coincidence window of the matching. `clock_noise_1s` is the white
    frequency noise of the difference of the clocks at 1 s. `step_s` is the length of a span and so
    of a tracker's batch. `buffer_s` and `max_tags` bound what each end may hold.
    """

    def __init__(
        self,
        *,
        window_ps: int,
        clock_noise_1s: float = 1.5e-11,
        search: Search = ANY_OFFSET,
        acquire_span_s: float = 1.0,
        step_s: float = 0.1,
        buffer_s: float = 6.0,
        max_tags: int = 2_000_000,
    ):
        if buffer_s < 2 * acquire_span_s:
            raise ValueError(
                f"PairSynchronizer: found buffer_s {buffer_s}, expected at least twice "
                f"acquire_span_s {acquire_span_s}"
            )
        self._window_ps = window_ps
        self._clock_noise_1s = clock_noise_1s
        self._search = search
        self._acquire_ps = round(acquire_span_s * PS_PER_S)
        self._step_ps = round(step_s * PS_PER_S)
        # Farther than any pair may lie apart, with room for what the clock does within a span.
        self._guard_ps = 2 * window_ps
        buffer_ps = round(buffer_s * PS_PER_S)
        self._ends: dict[Side, _End] = {
            "local": _End(TagBuffer(buffer_ps, max_tags)),
            "remote": _End(TagBuffer(buffer_ps, max_tags)),
        }
        self._tracker: ClockTracker | None = None
        self._lost = False
        self._generation = 0
        self._pending = False
        self._not_before_ps: int | None = None
        self._position_ps: int | None = None
        self._acquired_from_ps = self._acquired_until_ps = 0
        self._acquisitions = self._failures = self._losses = self._duplicates = 0
        self._last_failure = ""

    @property
    def state(self) -> ClockState:
        """What is known of the remote clock."""
        if self._tracker is not None:
            return self._tracker.state
        return ClockState.LOST if self._lost else ClockState.ACQUIRING

    @property
    def model(self) -> ClockModel | None:
        """The clock now, if known."""
        return None if self._tracker is None else self._tracker.model

    def add_local(self, batch: TagBatch, label: int = 0) -> None:
        """Take in a batch of this end's tagger, all channels; `sequence` counts the batches."""
        number = (self._ends["local"].sequence or 0) + 1
        gap = batch.lost or batch.overflow
        tags = labelled(batch.time_ps, batch.channel, number - 1, label)
        self._add("local", tags, batch.start_ps, batch.stop_ps, gap)
        self._ends["local"].sequence = number

    def add_remote(
        self,
        time_ps: TimesPs,
        start_ps: int,
        stop_ps: int,
        sequence: int,
        label: int = 0,
        *,
        lost: bool = False,
    ) -> None:
        """Take in a batch of the far end's times, ascending int64 in [start, stop), its own scale.

        A repeated sequence number is ignored and counted; a missing one is a gap; a smaller one,
        like times that run backwards, is a restart. Raises ValueError for times out of order.
        """
        if len(time_ps) and (
            time_ps[0] < start_ps or time_ps[-1] >= stop_ps or bool(np.any(np.diff(time_ps) < 0))
        ):
            raise ValueError(
                f"remote batch {sequence}: expected ascending times in [{start_ps}, {stop_ps}) ps"
            )
        end = self._ends["remote"]
        if end.sequence is not None:
            if sequence == end.sequence:
                self._duplicates += 1
                return
            if sequence < end.sequence:
                self.reset("remote")
            elif sequence > end.sequence + 1:
                lost = True
        tags = labelled(time_ps, np.zeros(len(time_ps), np.uint8), sequence, label)
        self._add("remote", tags, start_ps, stop_ps, lost)
        end.sequence = sequence

    def reset(self, side: Side | None = None) -> None:
        """An end has restarted: its timescale is a new one. Without a side, both have."""
        for name, end in self._ends.items():
            if side is None or side == name:
                self._skip(end, len(end.buffer))
                end.buffer.clear()
                end.gaps_ps.clear()
                end.sequence = None
        self._forget_clock(lost=False)

    def acquisition_input(self) -> AcquisitionInput | None:
        """The latest tags of both ends, when a clock is to be found and there is enough; else None.

        One at a time: the next is offered after `accept`, or after a reset.
        """
        if self._tracker is not None or self._pending:
            return None
        local_stop_ps = self._ends["local"].buffer.stop_ps
        if local_stop_ps is None or (
            self._not_before_ps is not None and local_stop_ps < self._not_before_ps
        ):
            return None
        recent: list[TimesPs] = []
        for end in self._ends.values():
            if end.buffer.stop_ps is None or end.buffer.span_ps < self._acquire_ps:
                return None
            times_ps = end.buffer.tags().time_ps
            first = np.searchsorted(times_ps, end.buffer.stop_ps - self._acquire_ps)
            recent.append(times_ps[first:].copy())
        # After a failure half of the next record is to be new.
        self._not_before_ps = local_stop_ps + self._acquire_ps // 2
        self._pending = True
        return AcquisitionInput(recent[0], recent[1], self._search, self._generation)

    def accept(self, request: AcquisitionInput, result: Acquisition | NoCorrelation) -> bool:
        """Take in a result; False, and no change, if an end has restarted since it was asked."""
        if request.generation != self._generation or not self._pending:
            return False
        self._pending = False
        if isinstance(result, NoCorrelation):
            self._failures += 1
            self._last_failure = result.reason
            return True
        self._acquisitions += 1
        self._lost = False
        self._tracker = ClockTracker(
            result, window_ps=self._window_ps, clock_noise_1s=self._clock_noise_1s
        )
        self._acquired_from_ps = result.remote_start_ps
        self._acquired_until_ps = result.remote_stop_ps
        self._position_ps = None
        return True

    def advance(self) -> list[Overlap]:
        """Track as far as both ends' data go, and return the spans newly covered by both."""
        spans: list[Overlap] = []
        tracker = self._tracker
        local, remote = self._ends["local"], self._ends["remote"]
        if tracker is None or local.buffer.stop_ps is None or remote.buffer.stop_ps is None:
            return spans
        while self._tracker is not None:
            model = tracker.model
            assert local.buffer.start_ps is not None
            assert remote.buffer.start_ps is not None
            begin_ps = max(
                local.buffer.start_ps,
                model.instant_to_local(max(remote.buffer.start_ps, self._acquired_from_ps)),
            )
            position_ps = self._position_ps
            if position_ps is not None and begin_ps < position_ps + self._guard_ps:
                # The clock has moved by little since the last span ended there.
                begin_ps = position_ps
            complete_ps = min(local.buffer.stop_ps, model.instant_to_local(remote.buffer.stop_ps))
            stop_ps = begin_ps + self._step_ps
            gap_ps = self._next_gap(tracker, begin_ps)
            at_gap = gap_ps is not None and gap_ps <= min(stop_ps, complete_ps)
            if gap_ps is not None and at_gap:
                stop_ps = gap_ps
            elif stop_ps + self._guard_ps > complete_ps:
                break
            span = self._span(tracker, begin_ps, stop_ps, exact=at_gap)
            if span is not None:
                spans.append(span)
        if self._tracker is not None:
            tracker.idle(self._latest_remote_ps(tracker.model))
            self._drop_lost_clock()
        return spans

    def status(self) -> SyncStatus:
        """Where it stands."""
        tracker = self._tracker
        local, remote = self._ends["local"], self._ends["remote"]
        uncertainty_ps = None
        if tracker is not None:
            uncertainty_ps = tracker.uncertainty_ps(self._latest_remote_ps(tracker.model))
        return SyncStatus(
            state=self.state,
            model=self.model,
            uncertainty_ps=uncertainty_ps,
            statistics=None if tracker is None else tracker.statistics(),
            acquisitions=self._acquisitions,
            failures=self._failures,
            last_failure=self._last_failure,
            losses=self._losses,
            dropped_local=local.buffer.dropped,
            dropped_remote=remote.buffer.dropped,
            skipped_local=local.skipped,
            skipped_remote=remote.skipped,
            duplicates=self._duplicates,
        )

    def _add(self, side: Side, tags: LabelledTags, start_ps: int, stop_ps: int, gap: bool) -> None:
        end = self._ends[side]
        known_until_ps = end.buffer.stop_ps
        if known_until_ps is not None and start_ps < known_until_ps:
            self.reset(side)
        elif known_until_ps is not None and (gap or start_ps > known_until_ps):
            if self._tracker is None:
                # A record with a hole in its timescale is not worth a search.
                self._skip(end, len(end.buffer))
                end.buffer.clear()
                self._generation += 1
                self._pending = False
            else:
                end.gaps_ps.append(start_ps)
        end.buffer.add(tags, start_ps, stop_ps)

    def _next_gap(self, tracker: ClockTracker, begin_ps: int) -> int | None:
        """The next gap after an instant, local scale; the tracker is told of those reached."""
        upcoming: list[int] = []
        for side, end in self._ends.items():
            ahead: list[int] = []
            for gap_ps in end.gaps_ps:
                at_ps = gap_ps if side == "local" else tracker.model.instant_to_local(gap_ps)
                if at_ps <= begin_ps:
                    tracker.doubt()
                else:
                    ahead.append(gap_ps)
                    upcoming.append(at_ps)
            end.gaps_ps[:] = ahead
        return min(upcoming, default=None)

    def _span(
        self, tracker: ClockTracker, begin_ps: int, stop_ps: int, *, exact: bool
    ) -> Overlap | None:
        """Track on and take out one span; None where the clock is not to be trusted."""
        local, remote = self._ends["local"], self._ends["remote"]
        local_tags, remote_tags = local.buffer.tags(), remote.buffer.tags()
        mapped_ps = tracker.model.to_local(remote_tags.time_ps)
        if not exact:
            stop_ps = quiet_instant(
                local_tags.time_ps, mapped_ps, begin_ps, stop_ps, self._guard_ps
            )
        low_l, high_l = np.searchsorted(local_tags.time_ps, [begin_ps, stop_ps]).tolist()
        low_r, high_r = np.searchsorted(mapped_ps, [begin_ps, stop_ps]).tolist()
        local_part = local_tags.part(low_l, high_l)
        remote_part = remote_tags.part(low_r, high_r)
        remote_begin_ps = tracker.model.instant_to_remote(begin_ps)
        remote_stop_ps = tracker.model.instant_to_remote(stop_ps)
        if remote_begin_ps >= self._acquired_until_ps:
            # Earlier tags have gone into the acquisition; they must not count twice.
            tracker.update(local_part.time_ps, remote_part.time_ps, remote_begin_ps, remote_stop_ps)
        if self._drop_lost_clock():
            return None
        local.buffer.consume(high_l, stop_ps)
        remote.buffer.consume(high_r, remote_stop_ps)
        self._position_ps = stop_ps
        self._skip(local, low_l)
        self._skip(remote, low_r)
        if not tracker.trusted:
            self._skip(local, len(local_part))
            self._skip(remote, len(remote_part))
            return None
        return Overlap(
            local=local_part,
            remote=remote_part,
            remote_mapped_ps=tracker.model.to_local(remote_part.time_ps),
            start_ps=begin_ps,
            stop_ps=stop_ps,
            state=tracker.state,
            model=tracker.model,
        )

    def _latest_remote_ps(self, model: ClockModel) -> int:
        local_stop_ps = self._ends["local"].buffer.stop_ps
        remote_stop_ps = self._ends["remote"].buffer.stop_ps
        instants = [model.epoch_ps]
        if local_stop_ps is not None:
            instants.append(model.instant_to_remote(local_stop_ps))
        if remote_stop_ps is not None:
            instants.append(remote_stop_ps)
        return max(instants)

    def _drop_lost_clock(self) -> bool:
        if self._tracker is None or self._tracker.state is not ClockState.LOST:
            return False
        self._losses += 1
        self._forget_clock(lost=True)
        return True

    def _forget_clock(self, *, lost: bool) -> None:
        self._tracker = None
        self._lost = lost
        self._generation += 1
        self._pending = False
        self._not_before_ps = None
        self._position_ps = None
        for end in self._ends.values():
            end.gaps_ps.clear()

    @staticmethod
    def _skip(end: _End, count: int) -> None:
        end.skipped += count


def quiet_instant(
    local_ps: TimesPs, mapped_ps: TimesPs, begin_ps: int, stop_ps: int, guard_ps: int
) -> int:
    """The last instant in (begin, stop] in the middle of a quiet time longer than the guard time.

    Cutting there separates no two tags closer than the guard time. If there is none among the last
    few hundred tags, `stop`.
    """
    near = []
    for times_ps in (local_ps, mapped_ps):
        # The first tag after the cut counts too: it ends the last quiet time.
        after = int(np.searchsorted(times_ps, stop_ps)) + 1
        first = max(0, after - 256)
        near.append(times_ps[first:after])
        if first:
            begin_ps = max(begin_ps, int(times_ps[first]))
    tags_ps = np.sort(np.concatenate(near))
    tags_ps = tags_ps[(tags_ps > begin_ps) & (tags_ps < stop_ps + guard_ps)]
    edges_ps = np.concatenate(([begin_ps], tags_ps, [stop_ps + guard_ps]))
    quiet_ps = np.diff(edges_ps)
    long = np.flatnonzero(quiet_ps > guard_ps)
    if not len(long):
        return stop_ps
    last = int(long[-1])
    return min(stop_ps, int(edges_ps[last]) + int(quiet_ps[last]) // 2)
