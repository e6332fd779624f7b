"""Instruments on ZeroMQ: REQ for questions, PAIR for a stream of messages.

ZeroMQ itself reconnects behind one's back, connects to nobody without a word, and a REQ socket that
lost a reply never speaks again. Here a socket lives as long as its connection: opening waits for
the handshake, a lost connection ends it, and a poisoned link is opened on a new socket, whose
replies cannot be those of the old one.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any, Literal

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from drivers.links.base import Transport
from drivers.links.packets import as_packet, messages_in

_WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
)
_KEEPALIVE = (
    # As on tcp://: a silent peer is found dead after some 5 s.
    (zmq.TCP_KEEPALIVE, 1),
    (zmq.TCP_KEEPALIVE_IDLE, 2),
    (zmq.TCP_KEEPALIVE_INTVL, 1),
    (zmq.TCP_KEEPALIVE_CNT, 3),
    (zmq.TCP_MAXRT, 5000),
)
_WAITING_MESSAGES = 8
"""Of a stream; more wait at the sender."""

Pattern = Literal["REQ", "PAIR"]


class ZmqTransport(Transport):
    """One ZeroMQ connection; each `write` is one message, each `read` one packet."""

    def __init__(self, host: str, port: int, pattern: Pattern = "REQ", *, resource: str = ""):
        self.resource = resource or f"zmq://{host}:{port}"
        self.host = host
        self.port = port
        self.pattern = pattern
        self._socket: zmq.asyncio.Socket | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._receiving: asyncio.Future[Any] | None = None

    async def open(self) -> None:
        """Connect and wait for the handshake; raises OSError."""
        loop = asyncio.get_running_loop()
        kind = zmq.REQ if self.pattern == "REQ" else zmq.PAIR
        self._socket = socket = zmq.asyncio.Context.instance().socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        socket.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
        for option, value in _KEEPALIVE:
            socket.setsockopt(option, value)
        monitor = socket.get_monitor_socket(_WATCHED)
        greeted: asyncio.Future[None] = loop.create_future()
        self._ended = loop.create_future()
        self._watch = asyncio.create_task(
            _watch(monitor, greeted, self._ended), name=f"connection of {self.resource}"
        )
        host = f"[{self.host}]" if ":" in self.host else self.host
        try:
            socket.connect(f"tcp://{host}:{self.port}")
        except zmq.ZMQError as error:
            raise OSError(error.errno, f"no host '{self.host}': {error.strerror}") from error
        await asyncio.wait((greeted, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if not greeted.done():
            raise ConnectionRefusedError(
                errno.ECONNREFUSED,
                f"nobody speaks ZeroMQ there; check the address and port {self.port}",
            )

    async def read(self) -> bytes:
        """Wait for a message, as a packet; b"" when the far end has gone. Loses none."""
        if self._socket is None or self._ended is None:
            raise ConnectionError("the connection is closed")
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._socket.recv(copy=False))
        receiving, ended = self._receiving, self._ended
        await asyncio.wait((receiving, ended), return_when=asyncio.FIRST_COMPLETED)
        return self.read_nowait()

    def read_nowait(self) -> bytes:
        """A message that has already arrived, as a packet."""
        receiving = self._receiving
        if receiving is None or not receiving.done() or receiving.cancelled():
            return b""
        self._receiving = None
        return as_packet(receiving.result().buffer)

    async def write(self, data: bytes) -> None:
        """Send each message; raises OSError."""
        for message in messages_in(data):
            if self._socket is None or self._ended is None or self._ended.done():
                raise ConnectionResetError("the far end closed the connection")
            try:
                await self._socket.send(message)
            except zmq.ZMQError as error:
                raise OSError(error.errno, f"not sent: {error.strerror}") from error

    async def close(self) -> None:
        """Close at once; never raises and may be called twice."""
        socket, watch, receiving = self._socket, self._watch, self._receiving
        ended = self._ended
        self._socket = self._watch = self._receiving = self._ended = None
        if ended is not None and not ended.done():
            ended.set_result(None)  # wakes a reader that still waits
        if receiving is not None:
            receiving.cancel()
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        if socket is not None:
            socket.disable_monitor()
            socket.close(0)


async def _watch(
    monitor: zmq.asyncio.Socket, greeted: asyncio.Future[None], ended: asyncio.Future[None]
) -> None:
    """Tell when the far end has greeted, and when it has gone."""
    try:
        while not ended.done():
            event = parse_monitor_message(await monitor.recv_multipart())["event"]
            if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
                ended.set_result(None)
            elif not greeted.done():
                greeted.set_result(None)
    finally:
        monitor.close(0)
