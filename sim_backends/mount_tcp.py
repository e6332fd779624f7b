"""A simulated instrument on a TCP port."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from sim_backends.mount import LIMIT_BYTES, Connect, Session

__all__ = ["TcpMount"]


class _TcpClient(asyncio.Protocol):
    """One client on TCP: the channel of its machine, and the reader of its socket."""

    def __init__(self, mount: TcpMount) -> None:
        self._mount = mount
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._mount.admit(self):
            self._transport.abort()
            return
        self._session = self._mount.connect(self)

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._session.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._mount.forget(self)
        if self._session is not None:
            self._session.closed()
            self._session = None

    def send(self, data: bytes) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(data) > self._mount.limit_bytes:
            self._mount.closed_for_overflow += 1
            transport.abort()
            return False
        transport.write(data)
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class TcpMount:
    """Serves a byte machine on a TCP port, to at most `max_clients` at once.

    `closed_for_overflow` and `refused` count clients that did not read and clients too many.
    """

    def __init__(
        self, connect: Connect, *, limit_bytes: int = LIMIT_BYTES, max_clients: int = 16
    ) -> None:
        self.connect = connect
        self.limit_bytes = limit_bytes
        self.closed_for_overflow = 0
        self.refused = 0
        self._max_clients = max_clients
        self._clients: set[_TcpClient] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Serve clients of a socket that `listen_on` made; it is closed by `stop`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _TcpClient(self), sock=listener)

    async def stop(self) -> None:
        """Stop listening and drop every client."""
        if self._server is not None:
            self._server.close()
            for client in tuple(self._clients):
                client.abort()
            await self._server.wait_closed()
            self._server = None

    def admit(self, client: _TcpClient) -> bool:
        """Note a new client; False when there are too many."""
        if len(self._clients) >= self._max_clients:
            self.refused += 1
            return False
        self._clients.add(client)
        return True

    def forget(self, client: _TcpClient) -> None:
        """A client is gone."""
        self._clients.discard(client)
