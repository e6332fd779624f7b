"""Tags of one end waiting for those of the other, each with where it came from."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timing.tags import Channels, TimesPs

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where `count` tags in a row came from: the batch's number, the first one's place in it, and
    the caller's label of the batch."""

    count: int
    sequence: int
    first: int
    label: int


@dataclass(frozen=True, slots=True)
class LabelledTags:
    """Tags of one end, ascending, with their origins in order; arrays of shape (n,).

    `channel` is 0 for an end that tells times only.
    """

    time_ps: TimesPs
    channel: Channels
    origins: tuple[Origin, ...]

    def __len__(self) -> int:
        return len(self.time_ps)

    @property
    def sequence(self) -> Ints:
        """The number of the batch that each tag came in, made when asked for."""
        return self._each([origin.sequence for origin in self.origins])

    @property
    def label(self) -> Ints:
        """The caller's label of each tag's batch, made when asked for."""
        return self._each([origin.label for origin in self.origins])

    @property
    def index(self) -> Ints:
        """The place of each tag in its batch, made when asked for."""
        runs = [np.arange(o.first, o.first + o.count, dtype=np.int64) for o in self.origins]
        return np.concatenate(runs) if runs else np.empty(0, np.int64)

    def part(self, low: int, high: int) -> LabelledTags:
        """The tags from index low to before high."""
        kept: list[Origin] = []
        at = 0
        for o in self.origins:
            first, past = max(low, at), min(high, at + o.count)
            if first < past:
                kept.append(Origin(past - first, o.sequence, o.first + first - at, o.label))
            at += o.count
        return LabelledTags(self.time_ps[low:high], self.channel[low:high], tuple(kept))

    def _each(self, values: list[int]) -> Ints:
        counts = [origin.count for origin in self.origins]
        return np.repeat(np.array(values, dtype=np.int64), counts)


def labelled(time_ps: TimesPs, channel: Channels, sequence: int, label: int) -> LabelledTags:
    """One batch as labelled tags."""
    return LabelledTags(time_ps, channel, (Origin(len(time_ps), sequence, 0, label),))


def joined(batches: list[LabelledTags]) -> LabelledTags:
    """Batches in time order as one."""
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return _NOTHING
    return LabelledTags(
        np.concatenate([batch.time_ps for batch in batches]),
        np.concatenate([batch.channel for batch in batches]),
        tuple(origin for batch in batches for origin in batch.origins),
    )


_NOTHING = LabelledTags(np.empty(0, np.int64), np.empty(0, np.uint8), ())


class TagBuffer:
    """Bounded: past `max_span_ps` of time or `max_tags` tags the oldest tags go, counted."""

    def __init__(self, max_span_ps: int, max_tags: int):
        self._max_span_ps = max_span_ps
        self._max_tags = max_tags
        self._batches: deque[LabelledTags] = deque()
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
        if len(tags):
            self._batches.append(tags)
        self._count += len(tags)
        self.stop_ps = stop_ps
        if self.span_ps > self._max_span_ps or self._count > self._max_tags:
            self._trim()

    def _trim(self) -> None:
        # A tenth more than needed goes, so that not every batch has to make room.
        assert self.stop_ps is not None
        cut_ps = self.stop_ps - self._max_span_ps * 9 // 10
        too_many = self._count - self._max_tags
        if too_many > 0:
            cut = min(self._count, too_many + self._max_tags // 10)
            cut_ps = max(cut_ps, self._time_of(cut))
        self.dropped += self.consume(cut_ps)

    def _time_of(self, index: int) -> int:
        for batch in self._batches:
            if index < len(batch):
                return int(batch.time_ps[index])
            index -= len(batch)
        assert self.stop_ps is not None
        return self.stop_ps

    def tags(self) -> LabelledTags:
        """All that is held, in time order."""
        return joined(list(self._batches))

    def between(self, low_ps: int, high_ps: int) -> LabelledTags:
        """What is held of [low, high), in time order; only that is copied."""
        pieces: list[LabelledTags] = []
        for batch in self._batches:
            if batch.time_ps[0] >= high_ps:
                break
            if batch.time_ps[-1] < low_ps:
                continue
            low, high = np.searchsorted(batch.time_ps, [low_ps, high_ps]).tolist()
            pieces.append(batch.part(low, high))
        return joined(pieces)

    def consume(self, until_ps: int) -> int:
        """Forget the tags before an instant, and that the time before it was covered; how many."""
        if self.stop_ps is None:
            return 0
        before = self._count
        while self._batches and self._batches[0].time_ps[-1] < until_ps:
            self._count -= len(self._batches.popleft())
        if self._batches and self._batches[0].time_ps[0] < until_ps:
            first = self._batches[0]
            cut = int(np.searchsorted(first.time_ps, until_ps))
            self._batches[0] = first.part(cut, len(first))
            self._count -= cut
        self.start_ps = min(max(until_ps, self.start_ps or until_ps), self.stop_ps)
        return before - self._count

    def clear(self) -> None:
        """Forget everything held; the count of dropped tags stays."""
        self._batches.clear()
        self._count = 0
        self.start_ps = self.stop_ps = None
