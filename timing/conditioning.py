"""Conditioning of tag streams that come in pieces; whichever way they are cut, the result is one.

Each class takes pieces by `feed` and gives back what is settled, and by `finish`, where it has
that, what is left. Times are int64 picoseconds, channels uint8, as in a `TagBatch`. Large pieces
are shared out to `threads`, with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cext.condition import (
    NEVER_PS,
    delay_channels,
    find_disorder,
    merge_two,
    select_tags,
)
from cext.condition_gate import (
    gate_after_marker,
    gate_between_markers,
    keep_one_in,
    veto_after_clicks,
)
from timing.tags import Channels, TimesPs

Tags = tuple[TimesPs, Channels]


def no_tags() -> Tags:
    """An empty stream."""
    return np.empty(0, np.int64), np.empty(0, np.uint8)


def by_channel(values: Mapping[int, int], default: int = 0) -> NDArray[np.int64]:
    """A table int64[256] of one value a channel; ValueError for a channel beyond 0 to 255."""
    table = np.full(256, default, np.int64)
    for channel, value in values.items():
        if not 0 <= channel <= 255:
            raise ValueError(f"by_channel: found channel {channel}, expected 0 to 255")
        table[channel] = value
    return table


class OrderRepair:
    """Sorts a stream whose tags come at most `bound_ps` late; keeps what may still be overtaken.

    A tag more than `bound_ps` before the latest one so far is late: what follows it may be out
    already, so it is left out and counted. Equal times keep their order. `steps_back` counts tags
    recorded right after a later one, `late` those left out, `first_late` is the index of the first
    of them in the stream or -1, `worst_ps` the farthest that any tag lay behind.
    """

    def __init__(self, bound_ps: int, *, threads: int = 1) -> None:
        self._threads = threads
        self.steps_back = 0
        self.late = 0
        self.first_late = -1
        self.worst_ps = 0
        self._bound_ps = bound_ps
        self._count = 0
        self._previous_ps = NEVER_PS
        self._latest_ps = NEVER_PS
        self._held = no_tags()

    def feed(self, time_ps: TimesPs, channel: Channels) -> Tags:
        """The tags that nothing to come can overtake, ascending."""
        steps_back, late, first_late, worst_ps, keep, self._latest_ps = find_disorder(
            time_ps, self._bound_ps, self._previous_ps, self._latest_ps, threads=self._threads
        )
        self.steps_back += steps_back
        self.worst_ps = max(self.worst_ps, worst_ps)
        if late and self.first_late < 0:
            self.first_late = self._count + first_late
        self.late += late
        self._count += len(time_ps)
        if len(time_ps):
            self._previous_ps = int(time_ps[-1])
        if keep is not None:
            time_ps, channel = select_tags(time_ps, channel, keep, threads=self._threads)
        if len(self._held[0]):
            time_ps = np.concatenate((self._held[0], time_ps))
            channel = np.concatenate((self._held[1], channel))
        if (time_ps[1:] < time_ps[:-1]).any():
            order = np.argsort(time_ps, kind="stable")
            time_ps, channel = time_ps[order], channel[order]
        settled_ps = max(self._latest_ps - self._bound_ps, NEVER_PS)
        settled = int(np.searchsorted(time_ps, settled_ps, side="right"))
        self._held = time_ps[settled:].copy(), channel[settled:].copy()
        return time_ps[:settled], channel[:settled]

    def finish(self) -> Tags:
        """What is left."""
        held, self._held = self._held, no_tags()
        return held


class ChannelDelays:
    """Adds a delay to each channel and puts the stream, which must ascend, back in order."""

    def __init__(self, delay_ps: Mapping[int, int], *, threads: int = 1) -> None:
        self._threads = threads
        self._delay_ps = by_channel(delay_ps)
        spread_ps = int(self._delay_ps.max() - self._delay_ps.min())
        self._order = OrderRepair(spread_ps, threads=threads)
        self._latest_ps = NEVER_PS

    def feed(self, time_ps: TimesPs, channel: Channels) -> Tags:
        """The tags that nothing to come can overtake; ValueError where the input steps back."""
        steps_back, *_, self._latest_ps = find_disorder(
            time_ps, 0, self._latest_ps, self._latest_ps, threads=self._threads
        )
        if steps_back:
            raise ValueError(
                f"ChannelDelays: the stream steps back at {steps_back} tags; repair its order first"
            )
        moved_ps = delay_channels(time_ps, channel, self._delay_ps, threads=self._threads)
        return self._order.feed(moved_ps, channel)

    def finish(self) -> Tags:
        """What is left."""
        return self._order.finish()


class StreamMerge:
    """Merges ascending streams; of equal times those of the stream named first come first.

    A tag is given back once every other stream has got past it. `until_ps` of `feed` says that a
    stream has nothing before this time to come, so that a dark one does not hold up the rest.
    """

    def __init__(self, streams: int, *, threads: int = 1) -> None:
        self._threads = threads
        self._held = [no_tags() for _ in range(streams)]
        self._until_ps = [NEVER_PS] * streams

    def feed(
        self, stream: int, time_ps: TimesPs, channel: Channels, until_ps: int | None = None
    ) -> Tags:
        """Take a piece of one stream; gives the merged tags that are settled.

        ValueError where a tag lies before what its stream had reached.
        """
        reached = self._until_ps[stream]
        if len(time_ps) and int(time_ps[0]) < reached:
            raise ValueError(
                f"StreamMerge: stream {stream} goes on at {int(time_ps[0])} ps, which lies before "
                f"the {reached} ps that it had reached"
            )
        last = int(time_ps[-1]) if len(time_ps) else reached
        self._until_ps[stream] = max(last, reached if until_ps is None else until_ps)
        held = self._held[stream]
        self._held[stream] = (
            np.concatenate((held[0], time_ps)),
            np.concatenate((held[1], channel)),
        )
        return merge([self._take(k) for k in range(len(self._held))], threads=self._threads)

    def _take(self, stream: int) -> Tags:
        """The tags of one stream that no other can precede, ties included."""
        time_ps, channel = self._held[stream]
        # Streams named earlier may still bring tags of the very time they have reached.
        before = min(self._until_ps[:stream], default=None)
        after = min(self._until_ps[stream:])
        count = int(np.searchsorted(time_ps, after, side="right"))
        if before is not None:
            count = min(count, int(np.searchsorted(time_ps, before, side="left")))
        self._held[stream] = time_ps[count:], channel[count:]
        return time_ps[:count], channel[:count]

    def finish(self) -> Tags:
        """What is left of all streams."""
        left, self._held = self._held, [no_tags() for _ in self._held]
        return merge(left, threads=self._threads)


def merge(streams: Sequence[Tags], *, threads: int = 1) -> Tags:
    """Ascending streams as one; of equal times those of the stream named first come first."""
    left = list(streams) or [no_tags()]
    while len(left) > 1:
        pairs = [
            merge_two(*left[k], *left[k + 1], threads=threads) for k in range(0, len(left) - 1, 2)
        ]
        left = pairs + left[2 * len(pairs) :]
    return left[0]


class DeadTime:
    """Leaves out tags within the dead time of their channel; `vetoed` counts them.

    `extended`: each tag starts the dead time anew, also one left out, as after-pulse trains need.
    """

    def __init__(
        self, dead_time_ps: Mapping[int, int], *, extended: bool = False, threads: int = 1
    ) -> None:
        self._threads = threads
        self.vetoed = 0
        self._dead_time_ps = by_channel(dead_time_ps)
        self._extended = extended
        self._last_ps = by_channel({}, NEVER_PS)

    def feed(self, time_ps: TimesPs, channel: Channels) -> Tags:
        """The tags that remain."""
        keep, self._last_ps = veto_after_clicks(
            time_ps,
            channel,
            self._dead_time_ps,
            self._last_ps,
            self._extended,
            threads=self._threads,
        )
        kept = select_tags(time_ps, channel, keep, threads=self._threads)
        self.vetoed += len(time_ps) - len(kept[0])
        return kept


class MarkerGate:
    """Keeps markers, and tags from `delay_ps` to before `delay_ps + length_ps` after a marker."""

    def __init__(
        self, marker_channel: int, delay_ps: int, length_ps: int, *, threads: int = 1
    ) -> None:
        self._threads = threads
        self._gate = marker_channel, delay_ps, length_ps
        self._markers_ps = np.empty(0, np.int64)

    def feed(self, time_ps: TimesPs, channel: Channels) -> Tags:
        """The tags that remain."""
        keep, self._markers_ps = gate_after_marker(
            time_ps, channel, *self._gate, self._markers_ps, threads=self._threads
        )
        return select_tags(time_ps, channel, keep, threads=self._threads)


class OpenCloseGate:
    """Keeps the tags between a marker that opens and the next that closes, and the markers."""

    def __init__(
        self, open_channel: int, close_channel: int, *, is_open: bool = False, threads: int = 1
    ) -> None:
        self._threads = threads
        self.is_open = is_open
        self._channels = open_channel, close_channel

    def feed(self, time_ps: TimesPs, channel: Channels) -> Tags:
        """The tags that remain."""
        keep, self.is_open = gate_between_markers(
            time_ps, channel, *self._channels, self.is_open, threads=self._threads
        )
        return select_tags(time_ps, channel, keep, threads=self._threads)


class DownSelect:
    """Keeps one tag in so many of each channel named, and none of the others."""

    def __init__(self, one_in: Mapping[int, int], *, threads: int = 1) -> None:
        self._threads = threads
        self._divisors = by_channel(one_in)
        self._counts = by_channel({})

    def feed(self, time_ps: TimesPs, channel: Channels) -> Tags:
        """The tags that remain."""
        keep, self._counts = keep_one_in(
            channel, self._divisors, self._counts, threads=self._threads
        )
        return select_tags(time_ps, channel, keep, threads=self._threads)
