"""The tags that one end of a photonic link sends to the other, within a bandwidth."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from link_layer.messages import MOST_REPORT_BYTES
from qnodeos.status import Status
from timing.packed import pack_times
from timing.tags import TimesPs

MOST_REPORT_TAGS = 400_000
"""Tags of one report: those of a second at the most that a tagger of today sends."""

MESSAGE_BYTES = 240
"""What the envelope and the other fields of a report take, at most."""

BURST_S = 0.5
"""Bandwidth not used may be saved up for this long: batches come unevenly."""

WHOLE_AGAIN_S = 5.0
"""So long without leaving anything out, and the exchange is called whole again."""

RATE_OVER_S = 2.0


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a batch that is sent: its first `tags` tags, packed, all before `until_ps`."""

    data: bytes
    tags: int
    until_ps: int


class TagExchange:
    """Packs batches and keeps to so many bytes a second.

    What is too much is left out as one slice of time at the end of a batch, so that within the
    rest every coincidence survives. `changed` is called with True when that begins and with False
    when it is over.
    """

    def __init__(
        self,
        bytes_per_s: int,
        clock: Callable[[], float],
        counters: Counter[str],
        changed: Callable[[bool], None],
    ):
        self._bytes_per_s, self._clock, self._counters = bytes_per_s, clock, counters
        self._changed = changed
        self._saved_bytes = BURST_S * bytes_per_s
        self._saved_s = clock()
        self._thinned_s: float | None = None
        self._sent: deque[tuple[float, int]] = deque()

    def slice(self, time_ps: TimesPs, stop_ps: int) -> Slice:
        """As much of the ascending tags before `stop` as may be sent now, counted as sent."""
        now_s = self._clock()
        earned_bytes = (now_s - self._saved_s) * self._bytes_per_s
        self._saved_bytes = min(self._saved_bytes + earned_bytes, BURST_S * self._bytes_per_s)
        self._saved_s = now_s
        room_bytes = min(int(self._saved_bytes) - MESSAGE_BYTES, MOST_REPORT_BYTES)
        part = _longest(time_ps, stop_ps, room_bytes)
        sent_bytes = len(part.data) + MESSAGE_BYTES
        # Also an empty report has to be sent; its bytes are owed.
        self._saved_bytes -= sent_bytes
        self._sent.append((now_s, sent_bytes))
        while self._sent[0][0] < now_s - RATE_OVER_S:
            self._sent.popleft()
        self._counters["tags_sent"] += part.tags
        self._counters["tags_thinned"] += len(time_ps) - part.tags
        self._counters["reports_thinned"] += part.until_ps < stop_ps
        self._note(now_s, thinned=part.until_ps < stop_ps)
        return part

    def status(self) -> Status:
        """Bytes a second over the last while, and whether tags are left out."""
        now_s = self._clock()
        recent = sum(size for at_s, size in self._sent if at_s >= now_s - RATE_OVER_S)
        return {
            "exchange_bytes_per_s": recent / RATE_OVER_S,
            "exchange_thinned": self._thinned_s is not None,
        }

    def _note(self, now_s: float, *, thinned: bool) -> None:
        if thinned:
            if self._thinned_s is None:
                self._changed(True)
            self._thinned_s = now_s
        elif self._thinned_s is not None and now_s > self._thinned_s + WHOLE_AGAIN_S:
            self._thinned_s = None
            self._changed(False)


def _longest(time_ps: TimesPs, stop_ps: int, room_bytes: int) -> Slice:
    """The longest slice from the start that fits, to within a few per cent."""
    count, until_ps = len(time_ps), stop_ps
    if count > MOST_REPORT_TAGS:
        count, until_ps = _before(time_ps, MOST_REPORT_TAGS)
    while True:
        data = pack_times(time_ps[:count])
        if len(data) <= room_bytes or count == 0:
            return Slice(data, count, until_ps)
        share = max(0.0, room_bytes / len(data))
        count, until_ps = _before(time_ps, int(0.97 * share * count))


def _before(time_ps: TimesPs, count: int) -> tuple[int, int]:
    """A number of tags, at most `count`, that an instant parts from the rest, and the instant."""
    until_ps = int(time_ps[count])
    return int(np.searchsorted(time_ps, until_ps)), until_ps
