"""Links in memory whose far end the test plays itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.links.base import Link
from drivers.links.memory import Pipe, pipe_pair
from drivers.links.open import make_link


class FarEnd:
    """The instrument's side of a link in memory."""

    def __init__(self, reader: Pipe, writer: Pipe):
        self._reader = reader
        self._writer = writer
        self._ahead = bytearray()

    async def read(self) -> bytes:
        """What the driver sent next; b"" when it has closed."""
        if self._ahead:
            data = bytes(self._ahead)
            self._ahead.clear()
            return data
        return await self._reader.read()

    async def expect(self, data: bytes, *, timeout_s: float = 10.0) -> None:
        """Wait until the driver has sent exactly these bytes next; raises AssertionError."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(self._ahead) < len(data):
                    more = await self._reader.read()
                    if not more:
                        break
                    self._ahead += more
        except TimeoutError:
            pass
        got = bytes(self._ahead[: len(data)])
        del self._ahead[: len(data)]
        if got != data:
            raise AssertionError(f"the driver sent {got!r}, expected was {data!r}")

    async def write(self, data: bytes) -> None:
        """Send to the driver."""
        await self._writer.write(data)

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._writer.close()


@asynccontextmanager
async def memory_link(name: str = "instrument") -> AsyncIterator[tuple[Link, FarEnd]]:
    """An open link and its far end, on whatever clock the event loop has."""
    near, far = pipe_pair()
    link = make_link(f"mem://{name}", owner="test", memory={name: lambda: near})
    await link.open()
    far_end = FarEnd(*far)
    try:
        yield link, far_end
    finally:
        await link.close()
        far_end.close()
