"""A machine of messages on WebSocket."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sim_backends.mount import Connect, MountError, listen_on

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection

__all__ = ["WebSocketPlace"]

_WAITING: Final = 256


class WebSocketPlace:
    """A port for WebSocket clients of any path. Raises MountError.

    A client that does not read loses messages, and `dropped` counts them.
    """

    def __init__(self, host: str, port: int) -> None:
        self._listener: socket.socket = listen_on(host, port)
        self._host, self._port = host, self._listener.getsockname()[1]
        self._server: Server | None = None
        self.paths: list[str] = []
        self.dropped = 0

    @property
    def resource(self) -> str:
        """What a driver is given to reach it."""
        return f"ws://{self._host}:{self._port}/"

    async def start(self, connect: Connect) -> None:
        """Serve clients from now on."""
        try:
            from websockets.asyncio.server import serve
        except ImportError as error:
            raise MountError(
                "the Python package websockets is not installed",
                address=self.resource,
                do="pip install 'qnodeos[instruments]'",
            ) from error

        async def client(connection: ServerConnection) -> None:
            path = connection.request.path if connection.request is not None else ""
            self.paths = [*self.paths[-15:], path]
            channel = _Outgoing(self)
            session = connect(channel)
            sending = asyncio.create_task(channel.forward(connection), name=self.resource)
            try:
                async for message in connection:
                    session.feed(message.encode() if isinstance(message, str) else message)
            finally:
                session.closed()
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

        self._server = await serve(client, sock=self._listener, compression=None)

    async def stop(self) -> None:
        """Drop every client and give the port back."""
        if self._server is not None:
            for connection in tuple(self._server.connections):
                connection.transport.abort()
            self._server.close()
            await self._server.wait_closed()
        self._listener.close()


class _Outgoing:
    """The messages that wait for one client."""

    def __init__(self, place: WebSocketPlace) -> None:
        self._place = place
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)

    def send(self, data: bytes) -> bool:
        return self._put(data)

    def close(self) -> None:
        self._put(None)

    async def forward(self, connection: ServerConnection) -> None:
        """Send what waits; text where it begins as JSON does."""
        with suppress(OSError):
            while (data := await self._waiting.get()) is not None:
                await connection.send(data.decode() if data[:1] in (b"{", b"[") else data)
            await connection.close()

    def _put(self, item: bytes | None) -> bool:
        try:
            self._waiting.put_nowait(item)
        except asyncio.QueueFull:
            self._place.dropped += 1
            return False
        return True
