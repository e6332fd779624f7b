"""The slots of the network schedule in which a link may attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from qnodeos.config import ScheduleTable
from timing.alarm import Alarm, alarm_in
from timing.slots import SlotPattern

_PS_PER_MS = 10**9
_PS_PER_S = 10**12


class LinkSlots:
    """Those of one link at its leading end; without a table any instant is one.

    `begins` and `ends` are called at their borders, from when a slot was asked for. `network_s` is
    network time in seconds.
    """

    def __init__(
        self,
        table: ScheduleTable | None,
        network_s: Callable[[], float],
        *,
        begins: Callable[[], None],
        ends: Callable[[], None],
    ):
        self._pattern = _pattern(table) if table is not None else None
        self._network_s = network_s
        self._begins, self._ends = begins, ends
        self._timer: Alarm | asyncio.TimerHandle | None = None

    @property
    def on(self) -> bool:
        """A slot of the link is on; False without a schedule, by which nobody comes first."""
        return self._pattern is not None and self._pattern.left_ps(self._now_ps()) > 0

    @property
    def text(self) -> str:
        """Until when the link has to wait, for people; "" if it has not."""
        wait_ps = 0 if self._pattern is None else self._pattern.until_ps(self._now_ps())
        if not wait_ps:
            return ""
        return f"its slot of the network schedule begins in {wait_ps / _PS_PER_MS:.3g} ms"

    def wait(self) -> str:
        """The same, of a link that wants to attempt; it is told when its slot begins and ends."""
        if self._pattern is None:
            return ""
        text = self.text
        if self._timer is None:
            self._next()
        return text

    def _next(self) -> None:
        """A timer for the next border."""
        assert self._pattern is not None
        now_ps = self._now_ps()
        left_ps = self._pattern.left_ps(now_ps)
        border_ps = left_ps or self._pattern.until_ps(now_ps)
        ring = partial(self._border, left_ps > 0)
        self._timer = alarm_in(border_ps / _PS_PER_S, ring)

    def _border(self, ended: bool) -> None:
        self._timer = None
        if ended:
            self._ends()
        else:
            self._begins()

    def _now_ps(self) -> int:
        return round(self._network_s() * _PS_PER_S)


def _pattern(table: ScheduleTable) -> SlotPattern:
    period, offset, length = (
        round(each * _PS_PER_MS) for each in (table.period_ms, table.offset_ms, table.length_ms)
    )
    return SlotPattern(period, offset, length)
