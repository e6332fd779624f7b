"""Emptying a link of what an earlier life of the instrument or of this program left in it."""

from __future__ import annotations

import asyncio

from drivers.framing import Anything
from drivers.links.base import Link

_ANYTHING = Anything()


async def drain(link: Link, *, quiet_s: float, limit_s: float) -> tuple[int, bool]:
    """Drop what arrives until nothing has come for `quiet_s`, at most for `limit_s`.

    Returns the number of bytes dropped and whether it fell quiet. The link stays usable; raises
    NotConnected when it breaks.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    dropped = 0
    while True:
        try:
            async with asyncio.timeout(quiet_s):
                dropped += len(await link.receive(_ANYTHING, timeout_s=None, command="(draining)"))
        except TimeoutError:
            return dropped, True
        if loop.time() >= end_s:
            return dropped, False
