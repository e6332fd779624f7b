"""Ends a process together with the one that started it, however that ended."""

from __future__ import annotations

import asyncio
import os
import sys


def stop_with_parent(stop: asyncio.Event) -> None:
    """Set `stop` at the end of standard input, which must be a pipe from the parent."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, readable)
