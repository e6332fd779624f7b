"""A simulated instrument in the client's own process, without the operating system."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable

from sim_backends.mount import LIMIT_BYTES, Connect, Session

__all__ = ["MemoryPort", "open_memory"]


class MemoryPort:
    """The client's end of a pipe to a byte machine, without the operating system.

    It is both directions of a `mem://` link at once: to read from and to write to.
    """

    def __init__(self, connect: Connect, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._received = bytearray()
        self._ended = False
        self._news = asyncio.Event()
        self._notify: Callable[[], None] | None = None
        self.closed_for_overflow = 0
        self._session: Session | None = None
        session = connect(_MemoryChannel(self))
        if self._ended:
            session.closed()  # it has hung up at once
        else:
            self._session = session

    async def read(self) -> bytes:
        """Wait for bytes; b"" when the instrument has closed. Cancellation loses none."""
        while not self._received and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._received)
        self._received.clear()
        return data

    def read_nowait(self) -> bytes:
        """What has arrived."""
        data = bytes(self._received)
        self._received.clear()
        return data

    def notify(self, news: Callable[[], None] | None) -> None:
        """Call `news` whenever bytes have arrived or the end has come."""
        self._notify = news

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self._ended

    async def write(self, data: bytes) -> None:
        """Send all of it; raises ConnectionResetError when the instrument has closed."""
        self.write_now(data)

    def write_now(self, data: bytes) -> bool:
        """The same, as there is always room; True."""
        if self._ended or self._session is None:
            raise ConnectionResetError(errno.ECONNRESET, "the far end closed the connection")
        self._session.feed(data)
        return True

    def take(self, data: bytes) -> bool:
        """Bytes from the instrument; False when they did not fit and the pipe has been closed."""
        if self._ended:
            return False
        if len(self._received) + len(data) > self._limit_bytes:
            self.closed_for_overflow += 1
            self.close()
            return False
        self._received += data
        self._tell()
        return True

    def _tell(self) -> None:
        self._news.set()
        if self._notify is not None:
            self._notify()

    def close(self) -> None:
        """End it from either end, once or twice; what was received can still be read."""
        self._ended = True
        self._tell()
        session, self._session = self._session, None
        if session is not None:
            session.closed()


class _MemoryChannel:
    """The instrument's end of a memory pipe."""

    def __init__(self, port: MemoryPort) -> None:
        self._port = port

    def send(self, data: bytes) -> bool:
        return self._port.take(data)

    def close(self) -> None:
        self._port.close()


def open_memory(connect: Connect, *, limit_bytes: int = LIMIT_BYTES) -> MemoryPort:
    """Connect a new client to a byte machine; the composing program wraps it as `mem://`."""
    return MemoryPort(connect, limit_bytes=limit_bytes)
