"""Keeps the journal from growing for ever: details go after days, the rest after months.

A node writes some 400 MB of figures a day. Those of each second, and every single pair, are wanted
when something has just gone wrong; later one a minute is enough for any history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from qnodeos.config import JournalTable
from qnodeos.store import OldRows, Store

LOOK_S = 60.0
AT_ONCE = 2000
"""So many rows are looked at in one go; what comes to be written meanwhile waits."""

BETWEEN_S = 0.1
S_PER_DAY = 86_400.0
FINAL = "state IN ('done', 'refused', 'failed')"


@dataclass(slots=True)
class _Rule:
    """Rows that go once they are `days` old; `done` is the last that was looked at."""

    rows: OldRows
    days: float
    done: int = 0


class JournalKeeper:
    """Removes what is older than the table says, a little at a time. `wall`: seconds since 1970."""

    def __init__(self, store: Store, table: JournalTable, wall: Callable[[], float]):
        self.removed = 0
        self._store, self._wall = store, wall
        details, rest = table.details_days, table.keep_days
        seconds = "kind IN ('status', 'clock') AND CAST(time_s AS INTEGER) % 60 >= 2"
        self._rules = [
            _Rule(OldRows("events", "time_s", f"{seconds} OR kind = 'test-round'"), details),
            _Rule(OldRows("deliveries", "time_s"), details),
            _Rule(OldRows("pairs", "heralded_s", "state != 'held'"), details),
            _Rule(OldRows("events", "time_s"), rest),
            _Rule(OldRows("fidelities", "time_s"), rest),
            _Rule(OldRows("results", "time_s"), rest),
            _Rule(OldRows("requests", "created_s", FINAL), rest),
        ]

    def status(self) -> dict[str, float | int | str | bool]:
        """Rows removed since the start."""
        return {"removed": self.removed}

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Remove all that is due, in small steps."""
        now_s = self._wall()
        for rule in self._rules:
            until_s = now_s - rule.days * S_PER_DAY
            more = True
            while more:
                gone = await self._store.remove(rule.rows, rule.done, until_s, AT_ONCE)
                if gone is None:
                    return  # the disk does not take it: it is tried again
                self.removed += gone.removed
                rule.done, more = gone.last, gone.more
                if more:
                    await asyncio.sleep(BETWEEN_S)
