"""How late the slots of a network schedule begin and end, beside asyncio's own timer.

A node's loop that has nothing else to do sets timers for the borders of slots of 0.4 ms in 1 ms, by
`timing.alarm` and by `call_later`, in the same run.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.frame import Row, benchmark
from qnodeos.config import ScheduleTable
from qnodeos.link_slots import LinkSlots
from timing.slots import SlotPattern

BORDERS = 2000
TABLE = ScheduleTable(period_ms=1.0, offset_ms=0.2, length_ms=0.4)


async def _by_link(late_us: list[float]) -> None:
    """As a link does it."""
    done = asyncio.get_running_loop().create_future()
    pattern = SlotPattern(1_000_000_000, 200_000_000, 400_000_000)

    def border(begins: bool) -> None:
        into_ps = (round(time.time() * 1e12) - pattern.offset_ps) % pattern.period_ps
        late_us.append((into_ps if begins else into_ps - pattern.length_ps) * 1e-6)
        if len(late_us) < BORDERS:
            slots.wait()
        elif not done.done():
            done.set_result(None)

    slots = LinkSlots(TABLE, time.time, begins=lambda: border(True), ends=lambda: border(False))
    slots.wait()
    await done


async def _by_call_later(late_us: list[float]) -> None:
    """The same instants by asyncio's timer."""
    loop = asyncio.get_running_loop()
    pattern = SlotPattern(1_000_000_000, 200_000_000, 400_000_000)
    while len(late_us) < BORDERS:
        now_ps = round(time.time() * 1e12)
        wait_s = (pattern.left_ps(now_ps) or pattern.until_ps(now_ps)) * 1e-12
        rung = loop.create_future()
        due_s = time.time() + wait_s
        loop.call_later(wait_s, rung.set_result, None)
        await rung
        late_us.append(1e6 * (time.time() - due_s))


@benchmark("slots", "how late slots of 0.4 ms begin and end, beside asyncio's own timer")
def run() -> list[Row]:
    """Microseconds late at 50 and 99 % of borders, and the ratio at 50 %."""
    rows, halves_us = [], []
    for name, way in (("schedule", _by_link), ("asyncio's call_later", _by_call_later)):
        late_us: list[float] = []
        asyncio.run(way(late_us))
        late_us.sort()
        halves_us.append(late_us[len(late_us) // 2])
        rows += [
            Row(f"{name}: late at 50 %", halves_us[-1], "us"),
            Row(f"{name}: late at 99 %", late_us[len(late_us) * 99 // 100], "us"),
        ]
    rows.append(Row("late at 50 %, beside call_later", halves_us[0] / halves_us[1], ""))
    return rows
