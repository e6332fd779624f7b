"""Waiting for an instrument to come to where it was told to go, by asking it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def becomes(
    ask: Callable[[], Awaitable[bool]], *, limit_s: float, poll_s: float = 0.05
) -> bool:
    """Ask every `poll_s` until the answer is yes; False when it is not after `limit_s`."""
    clock = asyncio.get_running_loop().time
    end_s = clock() + limit_s
    while not await ask():
        if clock() >= end_s:
            return False
        await asyncio.sleep(poll_s)
    return True
