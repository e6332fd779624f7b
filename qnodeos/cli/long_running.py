"""What the processes that run for months have in common."""

from __future__ import annotations

import asyncio
import gc

SETTLED_S = 3.0
"""By then everything is imported and built."""


def keep_pauses_short() -> None:
    """Take what the program itself consists of out of the garbage collector's sight, once it is
    there: a full collection walks it all, 50 to 100 ms in which no herald is heard. To be called
    in a running loop.
    """
    asyncio.get_running_loop().call_later(SETTLED_S, gc.freeze)
