"""The classical network between real sockets: a TCP port that leads to another, as faults allow.

What it does to bytes is what a network does to a connection of TCP: packets that are lost, twice or
out of order are repaired at the cost of time, so they come late. A replayed or forged message has
no way into a connection unseen; here a forgery changes a byte on the way, and a replay opens a
connection of its own and says again what was said before: CURVE and TLS refuse both.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

from sim_backends.faults.network import NetworkFaults
from sim_backends.mount import listen_on
from sim_backends.mount_messages import serve_streams, stop_streams

__all__ = ["NetworkProxy"]

REPAIR_S: Final = 0.2
"""The least time after which TCP sends again (Linux, TCP_RTO_MIN)."""

_READ: Final = 1 << 16
_KEPT: Final = 1 << 16
_POLL_S: Final = 0.02
_CONNECT_S: Final = 5.0
_HEARD_S: Final = 1.0


class NetworkProxy:
    """Leads from a port of this machine to `to`, "HOST:PORT". Raises MountError.

    The faults are those of `network.NAME`; a partition holds back all bytes, of new connections
    as well, until it ends.
    """

    def __init__(self, name: str, host: str, port: int, to: str, faults: NetworkFaults) -> None:
        self._listener: socket.socket = listen_on(host, port)
        self._name, self._faults = name, faults
        self._to = to.rpartition(":")[0].strip("[]"), int(to.rpartition(":")[2])
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._replays: set[asyncio.Task[None]] = set()
        self.address = f"{host}:{self._listener.getsockname()[1]}"

    async def start(self) -> None:
        """Lead clients from now on."""
        self._server = await serve_streams(self._serve, self._listener, self._clients)

    async def stop(self) -> None:
        """Drop every connection and give the port back."""
        for task in self._replays:
            task.cancel()
        await asyncio.gather(*self._replays, return_exceptions=True)
        if self._server is not None:
            await stop_streams(self._server, self._clients)
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._passable()
            async with asyncio.timeout(_CONNECT_S):
                far_reader, far_writer = await asyncio.open_connection(*self._to)
        except OSError:
            writer.transport.abort()
            return
        there = asyncio.create_task(self._pass(reader, far_writer, outward=True))
        back = asyncio.create_task(self._pass(far_reader, writer, outward=False))
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            for each in (writer, far_writer):
                each.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, outward: bool
    ) -> None:
        said = bytearray()
        with suppress(OSError):
            while data := await reader.read(_READ):
                strength = self._faults.strength(self._name, self._name)
                delay_s = strength.get("delay", 0.0)
                for repaired in ("loss", "duplication", "reordering"):
                    if self._faults.happens(strength, repaired):
                        delay_s += REPAIR_S
                if self._faults.happens(strength, "forgery"):
                    data = self._faults.changed(data)
                if outward and said and self._faults.happens(strength, "replay"):
                    self._replay(bytes(said))
                said += data[: max(0, _KEPT - len(said))]
                await asyncio.sleep(delay_s)
                await self._passable()
                writer.write(data)
                await writer.drain()

    async def _passable(self) -> None:
        # Polled, as a fault is looked at and not listened to.
        while "partition" in self._faults.strength(self._name, self._name):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)

    def _replay(self, data: bytes) -> None:
        if len(self._replays) < 8:
            task = asyncio.create_task(self._say_again(data))
            self._replays.add(task)
            task.add_done_callback(self._replays.discard)

    async def _say_again(self, data: bytes) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CONNECT_S):
                _, writer = await asyncio.open_connection(*self._to)
                try:
                    writer.write(data)
                    await writer.drain()
                    await asyncio.sleep(_HEARD_S)
                finally:
                    writer.transport.abort()
