"""Instruments in the same process, on whatever clock the event loop has.

The far ends come from a registry that the composing program injects: a mapping from a name to a
callable that dials it and gives the pair (pipe to read from, pipe to write to).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from drivers.links.base import Transport
from drivers.links.inbox import LIMIT_BYTES, Inbox


class BytePipe(Protocol):
    """One direction of bytes; anything of this shape will do."""

    async def read(self) -> bytes:
        """Wait for bytes; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, waiting for room; raises OSError when closed."""
        ...

    def close(self) -> None:
        """End it; the reader still gets what is inside."""
        ...


Dial = Callable[[], tuple[BytePipe, BytePipe]]
"""Gives (read from, write to); raises OSError when nobody is there."""

Registry = Mapping[str, Dial]


class Pipe:
    """A bounded byte pipe between two tasks of one loop."""

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES):
        self._room = asyncio.Event()
        self._room.set()
        self._inbox = Inbox(limit_bytes=limit_bytes, pause=self._room.clear, resume=self._room.set)

    async def read(self) -> bytes:
        """Wait for bytes; b"" at the end. Cancellation loses no bytes."""
        return await self._inbox.read()

    def read_nowait(self) -> bytes:
        """What is inside already."""
        return self._inbox.take()

    def notify(self, news: Callable[[], None] | None) -> None:
        """See Transport."""
        self._inbox.news = news

    @property
    def ended(self) -> bool:
        """Nothing more will come than is inside."""
        return self._inbox.ended

    def feed(self, data: bytes) -> None:
        """Put bytes in without waiting for room."""
        self._inbox.feed(data)

    async def write(self, data: bytes) -> None:
        """Send, waiting for room; raises BrokenPipeError when closed."""
        await self._room.wait()
        if self._inbox.ended:
            raise BrokenPipeError("the far end closed the connection")
        self._inbox.feed(data)

    def close(self) -> None:
        """End it; the reader still gets what is inside."""
        self._inbox.end()
        self._room.set()


def pipe_pair() -> tuple[tuple[Pipe, Pipe], tuple[Pipe, Pipe]]:
    """Two ends, each (read from, write to), of one connection."""
    there, back = Pipe(), Pipe()
    return (back, there), (there, back)


class MemoryTransport(Transport):
    """A pair of pipes to a far end of the registry."""

    def __init__(self, name: str, registry: Registry):
        self.resource = f"mem://{name}"
        self._name = name
        self._registry = registry
        self._ends: tuple[BytePipe, BytePipe] | None = None

    async def open(self) -> None:
        """Dial; raises ConnectionRefusedError for a name that nobody serves."""
        dial = self._registry.get(self._name)
        if dial is None:
            raise ConnectionRefusedError(
                f"nobody serves mem://{self._name}; "
                f"there are {', '.join(sorted(self._registry)) or 'none'}"
            )
        self._ends = dial()

    async def read(self) -> bytes:
        """Wait for bytes; b"" when the far end has closed. Cancellation loses no bytes."""
        if self._ends is None:
            raise ConnectionError("the connection is closed")
        return await self._ends[0].read()

    def read_nowait(self) -> bytes:
        """What has already arrived, where the pipe can tell."""
        now = getattr(self._ends[0], "read_nowait", None) if self._ends is not None else None
        return bytes(now()) if now is not None else b""

    def notify(self, news: Callable[[], None] | None) -> bool:
        """See Transport; where the pipe can tell."""
        tell = getattr(self._ends[0], "notify", None) if self._ends is not None else None
        if tell is None:
            return False
        tell(news)
        return True

    @property
    def ended(self) -> bool:
        """See Transport."""
        return self._ends is None or bool(getattr(self._ends[0], "ended", False))

    async def write(self, data: bytes) -> None:
        """Send all of it, waiting for room; raises OSError."""
        if self._ends is None:
            raise ConnectionError("the connection is closed")
        await self._ends[1].write(data)

    def write_now(self, data: bytes) -> bool:
        """See Transport; where the pipe can tell."""
        if self._ends is None:
            raise ConnectionError("the connection is closed")
        now = getattr(self._ends[1], "write_now", None)
        return bool(now is not None and now(data))

    async def close(self) -> None:
        """Close both directions; never raises and may be called twice."""
        ends, self._ends = self._ends, None
        for pipe in ends or ():
            pipe.close()
