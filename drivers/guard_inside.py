"""A guard without a process of its own, for instruments on `mem://` and for virtual time.

It does what `drivers.guard` does, on the loop of the node that it watches: good for rehearsing what
a guard does, and no protection from a node that really hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from drivers.devices import Instrument
from drivers.guard import BadOrder, make_safe, prepared
from drivers.links.memory import Registry
from drivers.safety import ACT_LIMIT_S, GuardEntry, GuardLost, StartGuard


class GuardInside:
    """Watches until it is released; without renewal for `lease_s` it makes all safe."""

    def __init__(
        self,
        makers: Sequence[tuple[GuardEntry, type[Instrument]]],
        memory: Registry,
        lease_s: float,
    ):
        self._makers, self._memory, self._lease_s = makers, memory, lease_s
        self._loop = asyncio.get_running_loop()
        self._acting: asyncio.Task[int] | None = None
        self._released = False
        self._timer = self._loop.call_later(lease_s, self._act)

    def renew(self) -> None:
        """Reassure it; raises GuardLost when it has acted or gone."""
        if self._released or self._acting is not None:
            raise GuardLost("the guard has ended")
        self._timer.cancel()
        self._timer = self._loop.call_later(self._lease_s, self._act)

    async def release(self, *, timeout_s: float = 3.0) -> None:
        """Send it home without touching anything."""
        self._released = True
        self._timer.cancel()

    def abandon(self) -> None:
        """It acts now, as if the node had died."""
        self._act()

    async def wait(self, *, timeout_s: float) -> int:
        """Wait until it has ended: 0 all is safe, else not; raises GuardLost when it has not."""
        if self._acting is None:
            return 0
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._acting)
        except TimeoutError:
            raise GuardLost(f"the guard has not ended within {timeout_s:g} s") from None

    def _act(self) -> None:
        self._timer.cancel()
        if not self._released and self._acting is None:
            self._acting = self._loop.create_task(self._make_all_safe(), name="guard acts")

    async def _make_all_safe(self) -> int:
        done = await asyncio.gather(
            *(make_safe(*maker, ACT_LIMIT_S, self._memory) for maker in self._makers)
        )
        return 0 if all(done) else 1


def guard_inside(memory: Registry) -> StartGuard:
    """What starts such a guard, for `keep_armed`."""
    return partial(_start, memory)


async def _start(
    memory: Registry, entries: Sequence[GuardEntry], *, data_dir: Path, lease_s: float
) -> GuardInside:
    try:
        makers = [prepared(entry, memory) for entry in entries]
    except BadOrder as error:
        raise GuardLost(str(error)) from error
    return GuardInside(makers, memory, lease_s)
