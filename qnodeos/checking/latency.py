"""How late an event loop comes on this computer: every herald waits at least for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qnodeos.checking.findings import Finding

STEP_S = 0.001
SLOW_MS = 5.0


async def loop_lateness_ms(seconds: float, told: Callable[[float, str], None]) -> list[float]:
    """By how much each of a row of 1 ms sleeps was late, sorted; milliseconds."""
    clock = asyncio.get_running_loop().time
    start_s = clock()
    late_ms: list[float] = []
    while (now_s := clock()) < start_s + seconds:
        await asyncio.sleep(STEP_S)
        late_ms.append(1e3 * (clock() - now_s - STEP_S))
        if len(late_ms) % 50 == 0:
            told((now_s - start_s) / seconds, "")
    return sorted(late_ms)


def lateness_finding(late_ms: list[float]) -> Finding:
    """What sorted lateness means for a node."""
    middle, p99, worst = late_ms[len(late_ms) // 2], late_ms[int(0.99 * len(late_ms))], late_ms[-1]
    found = f"{middle:.2f} ms late at the median, {p99:.2f} ms at 99 %, {worst:.2f} ms at worst"
    if p99 < SLOW_MS:
        return Finding("ok", "event loop", found)
    do = "something else takes the processor: see `top`, a virtual machine's host, power saving"
    return Finding("note", "event loop", found, do)
