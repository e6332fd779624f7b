"""Attempts in bursts: a kernel blocks, so it makes a few at a time and comes back to be asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from qnodeos_artiq.sequencer import Fault

BURST_S = 0.02
"""How long a burst is: whatever else is asked meanwhile waits for its end."""

BELL_STATES = ("", "PSI_PLUS", "PSI_MINUS", "PHI_PLUS", "PHI_MINUS")
"""What a midpoint's `attempt` returns as herald, by number."""


class Attempts:
    """One run of attempts.

    `call` runs a method of the sequencer when it is free; `tell` sends an event to the node.
    """

    def __init__(
        self,
        call: Callable[..., Awaitable[Any]],
        tell: Callable[[dict[str, Any]], Awaitable[None]],
        *,
        period_s: float,
        midpoint: bool,
        goes_on: bool,
        first_slot: int,
        count: int,
    ) -> None:
        self._call, self._tell = call, tell
        self._period_s = period_s
        self._burst = max(1, round(BURST_S / period_s)) if period_s > 0 else 1
        self._midpoint, self._goes_on = midpoint, goes_on
        self._slot, self._left = first_slot, count
        self._ending = asyncio.Event()
        self._over = False
        self._task = asyncio.create_task(self._run(), name="attempts")

    @property
    def running(self) -> bool:
        """Whether attempts are being made."""
        return not self._over and not self._task.done()

    async def end(self) -> None:
        """Make no more attempts after the burst under way, whose herald is told."""
        self._ending.set()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._wait_for_first()
            while not self._ending.is_set():
                if await self._one_burst():
                    return
        except Fault as fault:
            self._over = True
            await self._tell({"event": "fault", "code": fault.code, "text": fault.text})

    async def _one_burst(self) -> bool:
        """Whether the run is over."""
        burst = min(self._burst, self._left) if self._left else self._burst
        slot, time_ps, herald = (
            int(number) for number in await self._call("attempt", self._slot, burst)
        )
        if slot < self._slot:
            raise Fault(4, f"attempt from slot {self._slot} on returned slot {slot}")
        self._slot = slot + 1
        if herald:
            self._over = not self._goes_on
            await self._tell(self._herald(slot, time_ps, herald))
            if self._over:
                return True
        # Without a herald all of the burst was made.
        elif self._left and self._left <= burst:
            self._over = True
            await self._tell({"event": "stopped", "slot": slot})
            return True
        if self._left:
            self._left = max(1, self._left - burst)
        return False

    def _herald(self, slot: int, time_ps: int, herald: int) -> dict[str, Any]:
        event = {"event": "herald", "slot": slot, "time_ps": time_ps}
        if not self._midpoint:
            return {**event, "qubit": 0}
        if not 0 < herald < len(BELL_STATES):
            raise Fault(
                4, f"attempt returned herald {herald}, expected 0 to {len(BELL_STATES) - 1}"
            )
        return {**event, "bell_state": BELL_STATES[herald]}

    async def _wait_for_first(self) -> None:
        """A kernel that waits for a far slot would let nobody else in."""
        while not self._ending.is_set():
            now, _ = await self._call("now")
            wait_s = (self._slot - int(now) - self._burst) * self._period_s
            if wait_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), min(wait_s, 1.0))
