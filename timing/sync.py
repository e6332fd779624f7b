"""The tags of two ends, brought onto one timescale by their own photons.

sync = PairSynchronizer(window_ps=6000)
sync.add_local(batch, label)                      # as they come from the tagger
sync.add_remote(times, start, stop, sequence, label)  # as they come from the far end
if (request := sync.acquisition_input()) is not None:
    result = await loop.run_in_executor(pool, run_acquisition, request)
    sync.accept(request, result)
for overlap in sync.advance():
    match(overlap.local.time_ps, overlap.remote_mapped_ps, overlap.window_ps)
"""

from __future__ import annotations

import numpy as np

from timing.acquire import Acquisition, NoCorrelation, Search
from timing.acquiring import Acquiring
from timing.buffer import labelled
from timing.clock import ClockModel, ClockState
from timing.clock_class import ProcessNoise, white_noise
from timing.ends import End, Ends, Side, checked_times
from timing.pulsed import Period, Pulsed
from timing.reacquire import ANY_OFFSET, AcquisitionInput, run_acquisition
from timing.spans import Overlap, quiet_instant
from timing.sync_status import SyncStatus
from timing.tags import PS_PER_S, TagBatch, TimesPs
from timing.track import ClockTracker

__all__ = [
    "ANY_OFFSET",
    "AcquisitionInput",
    "Overlap",
    "PairSynchronizer",
    "Side",
    "SyncStatus",
    "quiet_instant",
    "run_acquisition",
]


class PairSynchronizer:
    """Buffers both ends' tags, says when to acquire, tracks, and returns the spans both covered.

    `window_ps` is the full coincidence window of the matching. `noise` is the process noise of the
    difference of the clocks; without it, `clock_noise_1s` is its white frequency noise at 1 s. With
    `estimate_noise` the data correct it. `period_ps` is that of a pulsed source, `"estimate"` to
    find it in the tags. `step_s` is the length of a span and so of a tracker's batch. `buffer_s`
    and `max_tags` bound what each end may hold.
    """

    def __init__(
        self,
        *,
        window_ps: int,
        noise: ProcessNoise | None = None,
        clock_noise_1s: float = 1.5e-11,
        estimate_noise: bool = False,
        period_ps: Period = None,
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
        self._noise = white_noise(clock_noise_1s) if noise is None else noise
        self._estimate_noise = estimate_noise
        self._period = period_ps
        self._acquiring = Acquiring(search, round(acquire_span_s * PS_PER_S))
        self._step_ps = round(step_s * PS_PER_S)
        # Farther than any pair may lie apart, with room for what the clock does within a span.
        self._guard_ps = 2 * window_ps
        self._ends = Ends(round(buffer_s * PS_PER_S), max_tags)
        self._tracker: ClockTracker | None = None
        # A lost clock is looked for near where it should be, and by ever wider acquisitions.
        self._lost: ClockTracker | None = None
        self._looked_until_ps: int | None = None
        self._position_ps: int | None = None
        self._acquired_from_ps = self._acquired_until_ps = 0
        self._losses = self._recoveries = self._duplicates = 0

    @property
    def state(self) -> ClockState:
        """What is known of the remote clock."""
        if self._tracker is not None:
            return self._tracker.state
        return ClockState.ACQUIRING if self._lost is None else ClockState.LOST

    @property
    def model(self) -> ClockModel | None:
        """The clock now, if known."""
        return None if self._tracker is None else self._tracker.model

    def add_local(self, batch: TagBatch, label: int = 0) -> None:
        """Take in a batch of this end's tagger, all channels; `sequence` counts the batches."""
        end = self._ends.local
        if end.runs_back(batch.start_ps):
            self.reset("local")
        elif batch.lost or batch.overflow or end.gap_before(batch.start_ps):
            self._gap(end, batch.start_ps)
        number = end.sequence or 0
        tags = labelled(batch.time_ps, batch.channel, number, label)
        end.buffer.add(tags, batch.start_ps, batch.stop_ps)
        end.sequence = number + 1

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
        checked_times(time_ps, start_ps, stop_ps, sequence)
        end = self._ends.remote
        if end.sequence is not None:
            if sequence == end.sequence:
                self._duplicates += 1
                return
            if sequence < end.sequence:
                self.reset("remote")
            elif sequence > end.sequence + 1:
                lost = True
        if end.runs_back(start_ps):
            self.reset("remote")
        elif lost or end.gap_before(start_ps):
            self._gap(end, start_ps)
        tags = labelled(time_ps, np.zeros(len(time_ps), np.uint8), sequence, label)
        end.buffer.add(tags, start_ps, stop_ps)
        end.sequence = sequence

    def reset(self, side: Side | None = None) -> None:
        """An end has restarted: its timescale is a new one. Without a side, both have."""
        for name, end in (("local", self._ends.local), ("remote", self._ends.remote)):
            if side is None or side == name:
                end.skip_all()
                end.sequence = None
        self._lost = None
        self._forget_clock()

    def set_noise(self, noise: ProcessNoise, pulled: float = 0.0) -> None:
        """A clock has locked to a reference, or lost it; see `ClockTracker.set_noise`."""
        self._noise = noise
        for tracker in (self._tracker, self._lost):
            if tracker is not None:
                tracker.set_noise(noise, pulled)

    def observe_reference(
        self, offset_whole_ps: int, variance: float, at_ps: int, offset_ps: float = 0.0
    ) -> bool:
        """What a reference says the clocks differ by; see `ClockTracker.observe_reference`.

        False if it is an outlier, or no clock was found yet.
        """
        tracker = self._tracker or self._lost
        return tracker is not None and tracker.observe_reference(
            offset_whole_ps, variance, at_ps, offset_ps
        )

    def acquisition_input(self) -> AcquisitionInput | None:
        """The latest tags of both ends, when a clock is to be found and there is enough; else None.

        One at a time: the next is offered after `accept`, or after a reset.
        """
        if self._tracker is not None:
            return None
        return self._acquiring.request(self._ends, self._lost)

    def accept(self, request: AcquisitionInput, result: Acquisition | NoCorrelation) -> bool:
        """Take in a result; False, and no change, if an end has restarted since it was asked."""
        if not self._acquiring.settled(request, result):
            return False
        if isinstance(result, NoCorrelation):
            return True
        lost = self._lost
        expected = None if lost is None else lost.predicted(result.model.epoch_ps)
        result, pulsed = Pulsed.of(request, result, self._period, expected)
        self._tracker = ClockTracker(
            result,
            window_ps=self._window_ps,
            noise=self._noise,
            estimate_noise=self._estimate_noise,
            pulsed=pulsed,
            previous=lost,
        )
        self._lost = None
        self._acquired_from_ps = result.remote_start_ps
        self._acquired_until_ps = result.remote_stop_ps
        self._position_ps = None
        return True

    def advance(self) -> list[Overlap]:
        """Track as far as both ends' data go, and return the spans newly covered by both."""
        spans: list[Overlap] = []
        if not self._ends.both:
            return spans
        if self._lost is not None:
            self._look_again(self._lost)
        tracker = self._tracker
        while tracker is not None and self._tracker is tracker:
            place = self._next_span(tracker)
            if place is None:
                tracker.idle(self._ends.latest_remote_ps(tracker.model))
                self._drop_lost_clock(tracker)
                break
            span = self._span(tracker, *place)
            if span is not None:
                spans.append(span)
        return spans

    def status(self) -> SyncStatus:
        """Where it stands."""
        tracker = self._tracker
        uncertainty_ps = None
        if tracker is not None:
            uncertainty_ps = tracker.uncertainty_ps(self._ends.latest_remote_ps(tracker.model))
        known = tracker or self._lost
        return SyncStatus(
            state=self.state,
            model=self.model,
            uncertainty_ps=uncertainty_ps,
            statistics=None if tracker is None else tracker.statistics(),
            acquisitions=self._acquiring.acquisitions,
            failures=self._acquiring.failures,
            last_failure=self._acquiring.last_failure,
            losses=self._losses,
            dropped_local=self._ends.local.buffer.dropped,
            dropped_remote=self._ends.remote.buffer.dropped,
            skipped_local=self._ends.local.skipped,
            skipped_remote=self._ends.remote.skipped,
            duplicates=self._duplicates,
            recoveries=self._recoveries,
            comb=None if known is None else known.comb,
            change=known.changes[-1] if known is not None and known.changes else None,
        )

    def _gap(self, end: End, start_ps: int) -> None:
        if self._tracker is not None:
            end.gaps_ps.append(start_ps)
            return
        # A record with a hole in its timescale is not worth a search.
        end.skip_all()
        if self._lost is not None:
            self._lost.doubt()
        self._acquiring.forget()

    def _next_span(self, tracker: ClockTracker) -> tuple[int, int, bool] | None:
        """Begin and end of the next span, local scale, and whether that end is exact."""
        model = tracker.model
        begin_ps = self._ends.begin_ps(model, self._acquired_from_ps)
        position_ps = self._position_ps
        if position_ps is not None and begin_ps < position_ps + self._guard_ps:
            # The clock has moved by little since the last span ended there.
            begin_ps = position_ps
        complete_ps = self._ends.complete_ps(model)
        stop_ps = begin_ps + self._step_ps
        reached, gap_ps = self._ends.gaps_from(model, begin_ps)
        if reached:
            tracker.doubt()
        if gap_ps is not None and gap_ps <= min(stop_ps, complete_ps):
            return begin_ps, gap_ps, True
        if stop_ps + self._guard_ps > complete_ps:
            return None
        return begin_ps, stop_ps, False

    def _span(
        self, tracker: ClockTracker, begin_ps: int, stop_ps: int, exact: bool
    ) -> Overlap | None:
        """Track on and take out one span; None where the clock is not to be trusted."""
        model = tracker.model
        past_ps = stop_ps + self._guard_ps
        remote_begin_ps = model.instant_to_remote(begin_ps)
        local_tags = self._ends.local.buffer.between(begin_ps, past_ps)
        remote_tags = self._ends.remote.buffer.between(
            remote_begin_ps, model.instant_to_remote(past_ps)
        )
        if not exact:
            near_ps = model.to_local(_around(remote_tags.time_ps, model.instant_to_remote(stop_ps)))
            stop_ps = quiet_instant(local_tags.time_ps, near_ps, begin_ps, stop_ps, self._guard_ps)
        remote_stop_ps = model.instant_to_remote(stop_ps)
        local_part = self._ends.local.take(begin_ps, stop_ps, local_tags)
        remote_part = self._ends.remote.take(remote_begin_ps, remote_stop_ps, remote_tags)
        if remote_begin_ps >= self._acquired_until_ps:
            # Earlier tags have gone into the acquisition; they must not count twice.
            tracker.update(local_part.time_ps, remote_part.time_ps, remote_begin_ps, remote_stop_ps)
        self._position_ps = stop_ps
        self._drop_lost_clock(tracker)
        if not tracker.trusted:
            self._ends.local.skipped += len(local_part)
            self._ends.remote.skipped += len(remote_part)
            return None
        now = tracker.model
        middle_ps = (remote_begin_ps + remote_stop_ps) // 2
        return Overlap(
            local=local_part,
            remote=remote_part,
            remote_mapped_ps=now.to_local(remote_part.time_ps),
            start_ps=begin_ps,
            stop_ps=stop_ps,
            state=tracker.state,
            model=now,
            uncertainty_ps=now.uncertainty_ps(middle_ps),
            window_ps=tracker.window_ps(middle_ps),
        )

    def _look_again(self, lost: ClockTracker) -> None:
        """Look for a lost clock near where it should be, in the tags that have come since.

        The tags stay: an acquisition may need them.
        """
        while self._tracker is None:
            model = lost.model
            begin_ps = self._ends.begin_ps(model, self._acquired_from_ps)
            if self._looked_until_ps is not None:
                begin_ps = max(begin_ps, self._looked_until_ps)
            stop_ps = begin_ps + self._step_ps
            if stop_ps + self._guard_ps > self._ends.complete_ps(model):
                return
            self._looked_until_ps = stop_ps
            span = model.instant_to_remote(begin_ps), model.instant_to_remote(stop_ps)
            local = self._ends.local.buffer.between(begin_ps, stop_ps)
            remote = self._ends.remote.buffer.between(*span)
            if lost.look_again(local.time_ps, remote.time_ps, *span):
                self._recoveries += 1
                self._forget_clock()
                self._tracker, self._lost = lost, None
                self._acquired_from_ps = self._acquired_until_ps = span[1]
            elif lost.lit((len(local), len(remote)), self._step_ps):
                # Light, but not where it should be: that calls for a search.
                self._acquiring.at_latest(stop_ps + self._acquiring.record_ps)

    def _drop_lost_clock(self, tracker: ClockTracker) -> None:
        if tracker.state is ClockState.LOST and self._tracker is tracker:
            self._losses += 1
            self._lost = tracker
            self._forget_clock()

    def _forget_clock(self) -> None:
        self._tracker = None
        self._acquiring.begin_again()
        self._position_ps = self._looked_until_ps = None
        self._ends.local.gaps_ps.clear()
        self._ends.remote.gaps_ps.clear()


def _around(times_ps: TimesPs, at_ps: int) -> TimesPs:
    """The tags that decide where to cut near an instant: some before it, and those after."""
    return times_ps[max(0, int(np.searchsorted(times_ps, at_ps)) - 300) :]
