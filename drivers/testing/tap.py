"""A tap on a link: counts what a driver sends, and can hold back what the instrument answers."""

from __future__ import annotations

import asyncio

from drivers.links.base import Link, Transport


class Tap(Transport):
    """Stands between a link and its transport.

    `sent_bytes` counts what went out. While `hold` is on, answers are kept back; `release` lets
    them go on their way, late.
    """

    def __init__(self, inner: Transport):
        self.resource = inner.resource
        self.sent_bytes = 0
        self._inner = inner
        self._kept: list[bytes] = []
        self._through = asyncio.Event()
        self._through.set()

    @classmethod
    def on(cls, link: Link) -> Tap:
        """Put a tap on a link that is not open yet."""
        tap = cls(link.transport)
        link.transport = tap
        return tap

    def hold(self) -> None:
        """Keep back what comes from now on."""
        self._through.clear()

    def release(self) -> None:
        """Let through what was kept, and all that comes."""
        self._through.set()

    async def open(self) -> None:
        """See Transport; what was kept of an earlier connection is gone."""
        self._kept.clear()
        await self._inner.open()

    async def read(self) -> bytes:
        """See Transport."""
        if self._through.is_set() and not self._kept:
            data = await self._inner.read()
            if self._through.is_set() or not data:
                return data
            self._kept.append(data)
        elif not self._kept:
            self._kept.append(await self._inner.read())
        await self._through.wait()
        return self._kept.pop(0)

    def read_nowait(self) -> bytes:
        """See Transport; what was kept comes at the worst moment, just after the next question."""
        if self._kept or not self._through.is_set():
            return b""
        return self._inner.read_nowait()

    async def write(self, data: bytes) -> None:
        """See Transport."""
        self.sent_bytes += len(data)
        await self._inner.write(data)

    async def close(self) -> None:
        """See Transport."""
        await self._inner.close()
