"""Heralds from a station's tags: which slot of the trigger line, and which Bell state.

The tagger sees the detectors and a pulse at the begin of each slot in which the station attempts.
Slots lie on one grid, so times between pulses count them; which slot a run of pulses begins with is
what the station's device has answered to `start`. Neither clock has to be set or to be good: the
grid's period on the tagger's clock is measured, and each run checks the count.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from link_layer.click_patterns import HERALDED, ClickPattern, HeraldStream
from link_layer.heralding import Mismatch
from link_layer.states import BellState
from timing.tags import TagBatch

OFF_GRID = 0.25
"""Of a period: a pulse farther from the grid is none of ours, or the clocks part."""

CLOCKS_PART = 5e-5
"""How fast the tagger's clock and the station's may part before their ratio is measured."""

MEASURED = 1e-7
"""How well it is known once it is."""

LONG_RUN = 20_000
"""Slots over which the ratio is measured."""

STARTS_KEPT = 64
BATCHES_KEPT = 4


class StationTags:
    """One stream of tags of a station. `pattern` has its windows after the pulse on `sync`.

    `period_ps` is that of the attempts by the station's own clock. `clicks`, `outside` and
    `ambiguous` count clicks in the windows and outside, and attempts whose clicks tell no state.
    """

    def __init__(self, pattern: ClickPattern, period_ps: float, sync: int):
        self._stream = HeraldStream(pattern, round(period_ps), clock_channel=sync)
        self._sync = sync
        self._period_ps, self._ratio_known = period_ps, CLOCKS_PART
        self._starts: deque[int] = deque(maxlen=STARTS_KEPT)
        self._last: tuple[int, int] | None = None
        self._mark: tuple[int, int] | None = None
        self._pulses = 0
        self._slots: deque[tuple[int, NDArray[np.int64]]] = deque(maxlen=BATCHES_KEPT)
        self.ambiguous = 0

    @property
    def clicks(self) -> int:
        """In the windows."""
        return self._stream.clicks

    @property
    def outside(self) -> int:
        """Not in the windows: dark counts, light that is not of the attempts, wrong windows."""
        return self._stream.outside

    def started(self, slot: int) -> None:
        """The station attempts from this slot on."""
        self._starts.append(slot)

    def feed(self, batch: TagBatch) -> list[tuple[int, BellState, int]]:
        """Slot, Bell state and time of the last click (the tagger's ps) of each herald.

        A batch with a gap tells none: a click that is missing may have made it ambiguous. Raises
        Mismatch of the kind "sequence" where pulses and starts do not fit; nothing is known then.
        """
        self._count(batch.time_ps[batch.channel == self._sync])
        found = self._stream.feed(batch.time_ps, batch.channel, batch.stop_ps)
        if batch.lost or batch.overflow:
            return []
        told = []
        for attempt, outcome, herald_ps in zip(
            found.attempt.tolist(), found.outcome.tolist(), found.herald_ps.tolist(), strict=True
        ):
            state, slot = HERALDED.get(outcome), self._slot(attempt)
            if state is None:
                self.ambiguous += 1
            elif slot is not None:
                told.append((slot, state, herald_ps))
        return told

    def _slot(self, attempt: int) -> int | None:
        for first, slots in reversed(self._slots):
            if first <= attempt < first + len(slots):
                return int(slots[attempt - first])
        return None

    def _count(self, pulses_ps: NDArray[np.int64]) -> None:
        """Give the pulses of a batch their slots."""
        if not len(pulses_ps):
            return
        slots = np.empty(len(pulses_ps), np.int64)
        apart = np.diff(pulses_ps, prepend=pulses_ps[:1]) / self._period_ps
        # Within a run pulses are a period apart; what lies between is where runs may begin.
        breaks = np.flatnonzero(np.abs(apart - 1) > OFF_GRID)
        if not len(breaks) or breaks[0] != 0:
            breaks = np.concatenate(([0], breaks))
        for begin, end in zip(breaks, [*breaks[1:], len(slots)], strict=True):
            first = self._first(int(pulses_ps[begin]))
            slots[begin:end] = np.arange(first, first + end - begin)
            self._last = int(slots[end - 1]), int(pulses_ps[end - 1])
            self._measure(first, int(pulses_ps[begin]))
        self._slots.append((self._pulses, slots))
        self._pulses += len(slots)

    def _first(self, time_ps: int) -> int:
        """The slot of a pulse that does not simply come after the one before."""
        if self._last is None:
            if len(self._starts) != 1:
                raise Mismatch(
                    "sequence",
                    f"the first pulse of the station's attempts may be of {len(self._starts)} runs",
                )
            return self._starts.popleft()
        slot, last_ps = self._last
        apart = (time_ps - last_ps) / self._period_ps
        unsure = OFF_GRID + apart * self._ratio_known
        while self._starts and self._starts[0] <= slot:
            self._starts.popleft()  # it began without a pause
        near = min(self._starts, key=lambda start: abs(start - slot - apart), default=slot)
        if near > slot and abs(near - slot - apart) < min(unsure, max(0.5, apart / 2)):
            return near
        if unsure < 0.5 and abs(apart - round(apart)) < unsure and apart > 0.5:
            return slot + round(apart)
        raise Mismatch(
            "sequence",
            f"a pulse {apart:.2f} periods after slot {slot} fits none of the starts "
            f"{list(self._starts)}",
        )

    def _measure(self, first: int, begin_ps: int) -> None:
        """The period on the tagger's clock, over a run of pulses without a question."""
        assert self._last is not None
        slot, time_ps = self._last
        if self._mark is None:
            self._mark = first, begin_ps
        slots = slot - self._mark[0]
        if slots >= LONG_RUN:
            self._period_ps = (time_ps - self._mark[1]) / slots
            self._ratio_known = MEASURED
            self._mark = slot, time_ps
