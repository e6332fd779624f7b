"""The station's heralds by the host: from its tagger's clicks, and not from a device's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from drivers.devices import TimeTagger
from link_layer.click_patterns import ClickPattern, polarization, single_click, time_bins
from link_layer.heralding import Mismatch
from link_layer.states import BellState
from link_layer.station_tags import StationTags
from qnodeos.config import ClicksTable
from qnodeos.status import Status
from timing.tags import TagBatch

SETTLE_S = 0.5
"""Pulses of an older run may still come for as long after a stop."""


class HostHeralds:
    """`heralded` hears slot and Bell state of each; `lost` why nothing is known of slots any more:
    the station has to stop, and is let attempt again when `missing` says nothing.
    """

    def __init__(
        self,
        table: ClicksTable,
        clock: Callable[[], float],
        counters: Counter[str],
        *,
        heralded: Callable[[int, BellState], None],
        lost: Callable[[str], None],
    ):
        self._pattern, self._sync, self._tagger = pattern_of(table), table.sync, table.tagger
        self._clock, self._counters = clock, counters
        self._heralded, self._lost = heralded, lost
        self._period_s: float | None = None
        self._tags: StationTags | None = None
        self._settled_s: float | None = None
        self._batch_s = 0.0

    @property
    def missing(self) -> str:
        """Why the station must not attempt; "" if it may."""
        if self._settled_s is None or self._clock() > self._batch_s + 1.0:
            return f"its tagger {self._tagger} gives no tags"
        return "" if self._clock() >= self._settled_s else "its tags begin anew"

    def device(self, period_s: float | None) -> None:
        """The station's device is there and attempts so often, or is gone (None)."""
        self._period_s = period_s
        self._anew()
        if self._settled_s is not None:
            self._settled_s = self._clock() + SETTLE_S

    def started(self, slot: int) -> None:
        """The station attempts from this slot on."""
        if self._tags is not None:
            self._tags.started(slot)

    def begin(self, tagger: TimeTagger) -> None:
        """A stream of tags begins."""
        self._anew()
        self._settled_s = self._clock() + SETTLE_S
        self._lost("the station's tags begin anew")

    def take(self, batch: TagBatch) -> None:
        """Tell what this batch heralds."""
        self._batch_s = self._clock()
        if self._tags is None or self.missing:
            return
        try:
            # The newest half is the least decayed; of single-mode ends there is one at most.
            for slot, state, _ in reversed(self._tags.feed(batch)):
                self._heralded(slot, state)
        except Mismatch as mismatch:
            mismatch.counted(self._counters)
            self._anew()
            self._settled_s = self._clock() + SETTLE_S
            self._lost(str(mismatch))

    def status(self) -> Status:
        """Clicks since the slots were counted last."""
        tags = self._tags
        if tags is None:
            return {}
        return {
            "clicks": tags.clicks,
            "clicks_outside": tags.outside,
            "clicks_ambiguous": tags.ambiguous,
        }

    def _anew(self) -> None:
        self._tags = (
            StationTags(self._pattern, self._period_s * 1e12, self._sync)
            if self._period_s
            else None
        )


def pattern_of(table: ClicksTable) -> ClickPattern:
    """The clicks that herald, as the table has them."""
    begin_ps, end_ps = table.window_ps
    if table.clicks == 1:
        return single_click(table.port_a[0], table.port_b[0], (begin_ps, end_ps))
    if len(table.port_a) == 2:
        (h_a, v_a), (h_b, v_b) = table.port_a, table.port_b
        return polarization((h_a, v_a), (h_b, v_b), (begin_ps, end_ps))
    late = begin_ps + table.apart_ps, end_ps + table.apart_ps
    return time_bins(table.port_a[0], table.port_b[0], (begin_ps, end_ps), late)
