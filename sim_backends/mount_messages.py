"""Machines that speak in messages, such as those on ZeroMQ or HTTP, plugged into memory.

Such a machine is one of `mount` whose `feed` gets a whole message at a time and each `send` of
which is one. In memory a message travels as u32 little-endian length and payload.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from sim_backends.mount import Channel, Connect, Session

__all__ = ["Clients", "in_packets", "serve_streams", "stop_streams"]

_LIMIT: Final = 1 << 26
_HEAD: Final = struct.Struct("<I")


def in_packets(connect: Connect) -> Connect:
    """A machine of messages as one of bytes, for `open_memory`."""
    return lambda channel: _Unpacking(connect, channel)


class _Packing:
    """The machine's way out: each message with its length before it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, data: bytes) -> bool:
        return self._channel.send(_HEAD.pack(len(data)) + data)

    def close(self) -> None:
        self._channel.close()


class _Unpacking:
    """The machine's way in. A length that cannot be ends the connection."""

    def __init__(self, connect: Connect, channel: Channel) -> None:
        self._channel = channel
        self._session = connect(_Packing(channel))
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer)
            if length > _LIMIT:
                self._channel.close()
                return
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[_HEAD.size : end])
            del self._buffer[:end]
            self._session.feed(message)

    def closed(self) -> None:
        self._session.closed()


class Clients:
    """Sessions of clients that never say good-bye: the longest silent goes when there are many."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._sessions: OrderedDict[Hashable, Session] = OrderedDict()

    def session(self, key: Hashable, connect: Connect, channel: Channel) -> Session:
        """The session of a client; a new one is connected with `channel`."""
        if key not in self._sessions:
            self._sessions[key] = connect(channel)
            if len(self._sessions) > self._most:
                self._sessions.popitem(last=False)[1].closed()
        self._sessions.move_to_end(key)
        return self._sessions[key]

    def clear(self) -> None:
        """All are gone."""
        while self._sessions:
            self._sessions.popitem()[1].closed()


async def serve_streams(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    listener: socket.socket,
    clients: dict[asyncio.Task[None], asyncio.StreamWriter],
) -> asyncio.Server:
    """Serve each client of a socket in a task of its own, noted in `clients` while it runs."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients[task] = writer
        try:
            await serve(reader, writer)
        finally:
            del clients[task]

    return await asyncio.start_server(client, sock=listener)


async def stop_streams(
    server: asyncio.Server, clients: dict[asyncio.Task[None], asyncio.StreamWriter]
) -> None:
    """Stop listening, drop every client and wait until its task has ended."""
    server.close()
    tasks = tuple(clients)
    for writer in tuple(clients.values()):
        writer.transport.abort()
    if tasks:
        # What waits for its machine does not notice that its client is gone.
        _, hanging = await asyncio.wait(tasks, timeout=0.1)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    await server.wait_closed()
