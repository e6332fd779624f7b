"""Tags of one end waiting for those of the other, each with where it came from."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from timing.tags import Channels, TimesPs


@dataclass(frozen=True, slots=True)
class LabelledTags:
    """Tags of one end, ascending, with their origin; all arrays of shape (n,).

    `sequence` is the number of the batch a tag came in, `index` its place in that batch, `label`
    the caller's own label of the batch. `channel` is 0 for an end that tells times only.
    """

    time_ps: TimesPs
    channel: Channels
    sequence: NDArray[np.int64]
    index: NDArray[np.int64]
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_ps)

    def part(self, low: int, high: int) -> LabelledTags:
        """The tags from index low to before high."""
        return LabelledTags(*(getattr(self, f.name)[low:high] for f in fields(self)))


def labelled(time_ps: TimesPs, channel: Channels, sequence: int, label: int) -> LabelledTags:
    """One batch as labelled tags."""
    count = len(time_ps)
    return LabelledTags(
        time_ps,
        channel,
        np.full(count, sequence, dtype=np.int64),
        np.arange(count, dtype=np.int64),
        np.full(count, label, dtype=np.int64),
    )


def joined(batches: list[LabelledTags]) -> LabelledTags:
    """Batches in time order as one."""
    if len(batches) == 1:
        return batches[0]
    return LabelledTags(
        *(np.concatenate([getattr(b, f.name) for b in batches]) for f in fields(LabelledTags))
    )


_NOTHING = labelled(np.empty(0, np.int64), np.empty(0, np.uint8), 0, 0)


class TagBuffer:
    """Bounded: past `max_span_ps` of time or `max_tags` tags the oldest tags go, counted."""

    def __init__(self, max_span_ps: int, max_tags: int):
        self._max_span_ps = max_span_ps
        self._max_tags = max_tags
        self._batches: deque[tuple[LabelledTags, int]] = deque()
        self._count = 0
        self.start_ps: int | None = None
        self.stop_ps: int | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return self._count

    @property
    def span_ps(self) -> int:
        """Time covered by what is held."""
        if self.start_ps is None or self.stop_ps is None:
            return 0
        return self.stop_ps - self.start_ps

    def add(self, tags: LabelledTags, start_ps: int, stop_ps: int) -> None:
        """Append a batch that covers [start, stop); the batches come in time order."""
        if self.start_ps is None:
            self.start_ps = start_ps
        self._batches.append((tags, stop_ps))
        self._count += len(tags)
        self.stop_ps = stop_ps
        if self.span_ps > self._max_span_ps or self._count > self._max_tags:
            self._trim()

    def _trim(self) -> None:
        # A tenth more than needed goes, so that not every batch has to make room.
        tags = self.tags()
        assert self.stop_ps is not None
        cut_ps = self.stop_ps - self._max_span_ps * 9 // 10
        cut = int(np.searchsorted(tags.time_ps, cut_ps))
        too_many = len(tags) - self._max_tags
        if too_many > 0:
            cut = max(cut, min(len(tags), too_many + self._max_tags // 10))
        cut_ps = max(cut_ps, int(tags.time_ps[cut])) if cut < len(tags) else self.stop_ps
        self.dropped += cut
        self.consume(cut, cut_ps)

    def tags(self) -> LabelledTags:
        """All that is held, in time order."""
        if not self._batches:
            return _NOTHING
        if len(self._batches) > 1:
            whole = joined([tags for tags, _ in self._batches])
            stop_ps = self._batches[-1][1]
            self._batches.clear()
            self._batches.append((whole, stop_ps))
        return self._batches[0][0]

    def consume(self, count: int, until_ps: int) -> None:
        """Forget the oldest tags, and that the time before `until_ps` was covered."""
        tags = self.tags()
        if self.stop_ps is None:
            return
        self._batches.clear()
        rest = tags.part(count, len(tags))
        self._batches.append((rest, self.stop_ps))
        self._count = len(rest)
        self.start_ps = min(max(until_ps, self.start_ps or until_ps), self.stop_ps)

    def clear(self) -> None:
        """Forget everything held; the count of dropped tags stays."""
        self._batches.clear()
        self._count = 0
        self.start_ps = self.stop_ps = None
