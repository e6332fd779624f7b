"""What the two ends of a link have sent: their buffers, the gaps in them, and what was counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from timing.buffer import LabelledTags, TagBuffer
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


def checked_times(time_ps: TimesPs, start_ps: int, stop_ps: int, sequence: int) -> None:
    """Raise ValueError unless the times are ascending and in [start, stop)."""
    if len(time_ps) and (
        time_ps[0] < start_ps or time_ps[-1] >= stop_ps or bool(np.any(time_ps[1:] < time_ps[:-1]))
    ):
        raise ValueError(
            f"remote batch {sequence}: expected ascending times in [{start_ps}, {stop_ps}) ps"
        )
