"""Instruments on TCP."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

from drivers.links.base import Transport
from drivers.links.inbox import Inbox

_KEEPALIVE = (
    # Together: a silent peer is found dead 2 s + 3 * 1 s after its last sign of life.
    ("TCP_KEEPIDLE", 2),
    ("TCP_KEEPINTVL", 1),
    ("TCP_KEEPCNT", 3),
    # What we send and nobody acknowledges ends the connection; keepalive alone does not see it.
    ("TCP_USER_TIMEOUT", 5000),
)
_CLOSE_LIMIT_S = 0.25
_AT_ONCE_BYTES = 4096
"""More than that waits for room, and says when there is none."""


class _Pipe(asyncio.Protocol):
    """One connection: what it receives waits in an inbox, its sender waits for room."""

    def __init__(self) -> None:
        self.inbox = Inbox(pause=self._pause_reading, resume=self._resume_reading)
        self.closed = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.inbox.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.inbox.end(exc if isinstance(exc, OSError) else None)
        self._room.set()
        self.closed.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    @property
    def has_room(self) -> bool:
        """The send buffer has drained."""
        return self._room.is_set()

    async def room(self) -> None:
        """Wait until the send buffer has drained; raises OSError when the connection is gone."""
        if not self._room.is_set():
            await self._room.wait()
        if self.inbox.ended or self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the far end closed the connection")

    def _pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()


class TcpTransport(Transport):
    """A TCP connection without Nagle's delay.

    A far end that vanished without a word (power cut, cable) is noticed in about 5 s by keepalive,
    earlier by the time limit of whoever asks; a peer that answers TCP but nothing else is noticed
    only by asking.
    """

    def __init__(self, host: str, port: int, *, resource: str = ""):
        self.resource = resource or f"tcp://{host}:{port}"
        self.host = host
        self.port = port
        self._pipe: _Pipe | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def ended(self) -> bool:
        """The far end is known to have closed, or nothing is open."""
        return self._pipe is None or self._pipe.inbox.ended

    async def open(self) -> None:
        """Connect; raises OSError."""
        loop = asyncio.get_running_loop()
        try:
            transport, pipe = await loop.create_connection(_Pipe, self.host, self.port)
        except socket.gaierror as error:
            raise OSError(error.errno, f"no host '{self.host}': {error.strerror}") from error
        except OSError as error:
            if error.errno is None:
                raise
            # asyncio's own text tells the address instead of the reason.
            raise OSError(error.errno, os.strerror(error.errno)) from error
        set_options(transport.get_extra_info("socket"))
        self._transport, self._pipe = transport, pipe

    async def read(self) -> bytes:
        """Wait for bytes; b"" when the far end has closed. Cancellation loses no bytes."""
        if self._pipe is None:
            raise ConnectionError("the connection is closed")
        return await self._pipe.inbox.read()

    def read_nowait(self) -> bytes:
        """What has already arrived."""
        return self._pipe.inbox.take() if self._pipe is not None else b""

    def notify(self, news: Callable[[], None] | None) -> bool:
        """See Transport."""
        if self._pipe is not None:
            self._pipe.inbox.news = news
        return True

    def write_now(self, data: bytes) -> bool:
        """See Transport."""
        pipe, transport = self._pipe, self._transport
        if pipe is None or transport is None or pipe.inbox.ended or transport.is_closing():
            raise ConnectionResetError("the far end closed the connection")
        if not pipe.has_room or len(data) > _AT_ONCE_BYTES:
            return False
        transport.write(data)
        return True

    async def write(self, data: bytes) -> None:
        """Send all of it, waiting for room; raises OSError."""
        if self._pipe is None or self._transport is None:
            raise ConnectionError("the connection is closed")
        await self._pipe.room()
        self._transport.write(data)
        await self._pipe.room()

    async def close(self) -> None:
        """Close, giving what was sent a moment to leave; never raises and may be called twice."""
        transport, pipe = self._transport, self._pipe
        self._transport = self._pipe = None
        if transport is None or pipe is None:
            return
        transport.close()
        pipe.inbox.end()
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await pipe.closed.wait()
        except TimeoutError:
            pass
        finally:
            transport.abort()


def set_options(sock: socket.socket) -> None:
    """No Nagle's delay, keepalive, a limit on unacknowledged bytes: as far as the system can."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
