"""Simulated instruments in tests: in memory, or on a TCP port of this machine.

A twin is anything with `connect(channel)`: it is given a way to send to one client, and returns
what takes the client's bytes. It knows neither links nor clocks, so it runs in virtual time too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from drivers.links.memory import BytePipe, Dial, Pipe


class Channel(Protocol):
    """The way out to one client."""

    def send(self, data: bytes) -> bool:
        """Send; False when nobody is there any more."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class Session(Protocol):
    """What one client says."""

    def feed(self, data: bytes) -> None:
        """Take bytes as they come: half a command, or several."""
        ...

    def closed(self) -> None:
        """The client is gone."""
        ...


Connect = Callable[[Channel], Session]


class _MemoryChannel:
    """Both ends of one connection in memory: a channel for the twin, a pipe for the driver."""

    def __init__(self, connect: Connect):
        self._back = Pipe()
        self._ended = False
        self._session: Session | None = connect(self)

    def send(self, data: bytes) -> bool:
        if self._ended:
            return False
        self._back.feed(data)
        return True

    async def read(self) -> bytes:
        return await self._back.read()

    async def write(self, data: bytes) -> None:
        if self._session is None:
            raise BrokenPipeError("the far end closed the connection")
        self._session.feed(data)

    def close(self) -> None:
        self._ended = True
        self._back.close()
        session, self._session = self._session, None
        if session is not None:
            session.closed()


def dial_to(connect: Connect) -> Dial:
    """What a registry has for `mem://box`: `make_instrument(..., memory={"box": dial_to(...)})`."""

    def dial() -> tuple[BytePipe, BytePipe]:
        channel = _MemoryChannel(connect)
        return channel, channel

    return dial


@asynccontextmanager
async def on_tcp(connect: Connect) -> AsyncIterator[str]:
    """Serve a twin on a free port of this machine; gives the resource, as `tcp://127.0.0.1:40123`."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _TcpClient(connect), "127.0.0.1", 0)
    async with server:
        yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class _TcpClient(asyncio.Protocol):
    def __init__(self, connect: Connect):
        self._connect = connect
        self._session: Session | None = None
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._session = self._connect(self)

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.closed()

    def send(self, data: bytes) -> bool:
        if not isinstance(self._transport, asyncio.WriteTransport):
            return False
        self._transport.write(data)
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
