"""What the two ends of a link have sent: their buffers, the gaps in them, and what was counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from timing.buffer import LabelledTags, TagBuffer
from timing.clock import ClockModel
from timing.tags import TimesPs

Side = Literal["local", "remote"]


@dataclass(slots=True)
class End:
    """One end: tags waiting, instants after gaps on its own scale, number of the last batch."""

    buffer: TagBuffer
    gaps_ps: list[int] = field(default_factory=list)
    sequence: int | None = None
    skipped: int = 0

    def runs_back(self, start_ps: int) -> bool:
        """A batch that starts there begins before the last one ended: the end has restarted."""
        return self.buffer.stop_ps is not None and start_ps < self.buffer.stop_ps

    def gap_before(self, start_ps: int) -> bool:
        """Time is missing between the last batch and one that starts there."""
        return self.buffer.stop_ps is not None and start_ps > self.buffer.stop_ps

    def skip_all(self) -> None:
        """Nothing held is of use: count it and forget it."""
        self.skipped += len(self.buffer)
        self.buffer.clear()
        self.gaps_ps.clear()

    def latest(self, span_ps: int) -> TimesPs:
        """The times of the last while, a copy."""
        stop_ps = self.buffer.stop_ps
        assert stop_ps is not None
        return self.buffer.between(stop_ps - span_ps, stop_ps).time_ps.copy()

    def take(self, begin_ps: int, stop_ps: int, tags: LabelledTags) -> LabelledTags:
        """Consume up to an instant; the part of `tags` in [begin, stop). What lay before, and what
        is no longer of use, counts as skipped."""
        low, high = np.searchsorted(tags.time_ps, [begin_ps, stop_ps]).tolist()
        part = tags.part(low, high)
        self.skipped += self.buffer.consume(stop_ps) - len(part)
        return part


class Ends:
    """Both ends of a link, and what they have in common under a clock."""

    def __init__(self, buffer_ps: int, max_tags: int):
        self.local = End(TagBuffer(buffer_ps, max_tags))
        self.remote = End(TagBuffer(buffer_ps, max_tags))

    @property
    def both(self) -> bool:
        """Both have sent something."""
        return self.local.buffer.stop_ps is not None and self.remote.buffer.stop_ps is not None

    @property
    def span_ps(self) -> int:
        """The time that the end with less of it has covered."""
        return min(self.local.buffer.span_ps, self.remote.buffer.span_ps)

    def begin_ps(self, model: ClockModel, from_ps: int) -> int:
        """Where both have data from, local scale; `from_ps` is the earliest, remote."""
        assert self.local.buffer.start_ps is not None
        assert self.remote.buffer.start_ps is not None
        remote_ps = max(self.remote.buffer.start_ps, from_ps)
        return max(self.local.buffer.start_ps, model.instant_to_local(remote_ps))

    def complete_ps(self, model: ClockModel) -> int:
        """Until when both have sent their tags, local scale."""
        assert self.local.buffer.stop_ps is not None
        assert self.remote.buffer.stop_ps is not None
        return min(self.local.buffer.stop_ps, model.instant_to_local(self.remote.buffer.stop_ps))

    def latest_remote_ps(self, model: ClockModel) -> int:
        """The latest instant that either has covered, or the clock's epoch; remote scale."""
        instants = [model.epoch_ps]
        if self.local.buffer.stop_ps is not None:
            instants.append(model.instant_to_remote(self.local.buffer.stop_ps))
        if self.remote.buffer.stop_ps is not None:
            instants.append(self.remote.buffer.stop_ps)
        return max(instants)

    def gaps_from(self, model: ClockModel, begin_ps: int) -> tuple[bool, int | None]:
        """Was a gap reached by an instant, and where is the next one; local scale. Gaps that were
        reached are forgotten."""
        upcoming: list[int] = []
        reached = False
        for end in (self.local, self.remote):
            ahead: list[int] = []
            for gap_ps in end.gaps_ps:
                at_ps = gap_ps if end is self.local else model.instant_to_local(gap_ps)
                if at_ps <= begin_ps:
                    reached = True
                else:
                    ahead.append(gap_ps)
                    upcoming.append(at_ps)
            end.gaps_ps[:] = ahead
        return reached, min(upcoming, default=None)


def checked_times(time_ps: TimesPs, start_ps: int, stop_ps: int, sequence: int) -> None:
    """Raise ValueError unless the times are ascending and in [start, stop)."""
    if len(time_ps) and (
        time_ps[0] < start_ps or time_ps[-1] >= stop_ps or bool(np.any(time_ps[1:] < time_ps[:-1]))
    ):
        raise ValueError(
            f"remote batch {sequence}: expected ascending times in [{start_ps}, {stop_ps}) ps"
        )
