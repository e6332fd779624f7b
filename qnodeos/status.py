"""What a node says of itself, twice a second on the bus and once a second in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from qnodeos.bus import Bus
from qnodeos.store import Store

INTERVAL_S = 0.5

Status = dict[str, float | int | str | bool]


async def publish_status(
    bus: Bus, store: Store, parts: Mapping[str, Callable[[], Status]], clock: Callable[[], float]
) -> None:
    """Publish the status of every part under its name; journal it at every second turn.

    What a part says no more is withdrawn.
    """
    turn = 0
    said: dict[str, set[str]] = {}
    while True:
        turn += 1
        for name, part in parts.items():
            status = part()
            for gone in sorted(said.get(name, set()) - status.keys()):
                bus.withdraw(name, gone)
            said[name] = set(status)
            for figure, value in status.items():
                bus.publish(name, figure, value)
            if turn % 2 == 0:
                store.event("status", {"of": name, "clock_s": clock(), **status})
            await asyncio.sleep(0)  # a herald does not wait for all parts to have spoken
        await asyncio.sleep(INTERVAL_S)
