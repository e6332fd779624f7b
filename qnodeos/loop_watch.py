"""The watchdog of the node's event loop: how late it comes, and a sign of life to systemd.

Whatever holds the loop up holds up every herald. A stall is counted, told once, and written down;
one that lasts ends the node from outside, since the sign of life stops with the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qnodeos.bus import Bus
from qnodeos.status import Status
from qnodeos.store import Store
from qnodeos.systemd import Notifier

LOOK_S = 0.1
STALL_S = 0.25
"""Later than this is a stall: a stored half has lost a good part of its time."""

CALM_S = 30.0
"""Without a stall for so long, the alarm is cleared."""


class LoopWatch:
    """Sleeps a little, again and again, and sees by how much it was late."""

    def __init__(self, clock: Callable[[], float], store: Store, bus: Bus, notifier: Notifier):
        self._clock, self._store, self._bus, self._notifier = clock, store, bus, notifier
        self._stalls = 0
        self._longest_s = self._recent_s = 0.0
        self._last_stall_s: float | None = None

    def status(self) -> Status:
        """Stalls so far, the longest, and the latest that it came of late."""
        return {
            "stalls": self._stalls,
            "longest_stall_s": self._longest_s,
            "late_s": self._recent_s,
        }

    async def run(self) -> None:
        """Watch until cancelled."""
        every_s = self._notifier.watchdog_s / 3 if self._notifier.watchdog_s else None
        alive_s = self._clock()
        while True:
            due_s = self._clock() + LOOK_S
            await asyncio.sleep(LOOK_S)
            now_s = self._clock()
            self._saw(now_s - due_s, now_s)
            if every_s is not None and now_s >= alive_s:
                alive_s = now_s + every_s
                self._notifier.alive()

    def _saw(self, late_s: float, now_s: float) -> None:
        self._recent_s = max(late_s, 0.9 * self._recent_s, 0.0)
        if late_s >= STALL_S:
            self._stalls += 1
            self._longest_s = max(self._longest_s, late_s)
            self._store.event("loop-stall", {"late_s": late_s})
            if self._last_stall_s is None:
                self._bus.alarm("event-loop", f"the event loop stood still for {late_s:.2f} s")
            self._last_stall_s = now_s
        elif self._last_stall_s is not None and now_s - self._last_stall_s > CALM_S:
            self._last_stall_s = None
            self._bus.clear_alarm("event-loop")
