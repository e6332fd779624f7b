"""A machine of messages on ZeroMQ: asked by REQ sockets, or streaming to one PAIR socket."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from typing import Final

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from sim_backends.mount import Connect, MountError, Session
from sim_backends.mount_messages import Clients

__all__ = ["ZmqPairPlace", "ZmqPlace"]

_WAITING: Final = 16


def _bound(kind: int, host: str, port: int) -> tuple[zmq.asyncio.Socket, int]:
    socket = zmq.asyncio.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, _WAITING)
    try:
        socket.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        socket.close(0)
        in_use = error.errno == errno.EADDRINUSE
        raise MountError(
            f"port {port} is in use" if in_use else f"cannot listen ({error.strerror})",
            address=f"{host}:{port}",
            do="end the program that has it, or choose an address of this machine and a free port",
        ) from error
    end = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(end, bytes)
    return socket, int(end.decode().rsplit(":", 1)[1])


class ZmqPlace:
    """A port for REQ clients, each with a session of its own. Raises MountError."""

    def __init__(self, host: str, port: int) -> None:
        # A ROUTER rather than a REP: it can keep a reply back, as an instrument that hangs.
        self._socket, self._port = _bound(zmq.ROUTER, host, port)
        self._host = host
        self._clients = Clients()
        self._task: asyncio.Task[None] | None = None

    @property
    def resource(self) -> str:
        """What a driver is given to reach it."""
        return f"zmq://{self._host}:{self._port}"

    async def start(self, connect: Connect) -> None:
        """Serve clients from now on."""
        self._task = asyncio.create_task(self._serve(connect), name=f"serve {self.resource}")

    async def stop(self) -> None:
        """Drop every client and give the port back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._clients.clear()
        self._socket.close(0)

    async def _serve(self, connect: Connect) -> None:
        while True:
            who, *_, message = await self._socket.recv_multipart()
            channel = _Reply(self._socket, who)
            self._clients.session(who, connect, channel).feed(message)


class _Reply:
    """The way back to one REQ socket."""

    def __init__(self, socket: zmq.asyncio.Socket, who: bytes) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Socket.shadow(socket)
        self._who = who

    def send(self, data: bytes) -> bool:
        try:
            self._socket.send_multipart([self._who, b"", data], zmq.NOBLOCK)
        except zmq.ZMQError:
            return False
        return True

    def close(self) -> None:
        """A server cannot end the connection of one client of ZeroMQ: nothing happens."""


class ZmqPairPlace:
    """A port for one PAIR client at a time. Raises MountError.

    `dropped` counts messages that the client did not take.
    """

    def __init__(self, host: str, port: int) -> None:
        self._socket, self._port = _bound(zmq.PAIR, host, port)
        self._host = host
        self._sending: zmq.Socket[bytes] = zmq.Socket.shadow(self._socket)
        self._tasks: list[asyncio.Task[None]] = []
        self._session: Session | None = None
        self._connected = False
        self.dropped = 0

    @property
    def resource(self) -> str:
        """What a driver is given to reach it."""
        return f"zmq+pair://{self._host}:{self._port}"

    async def start(self, connect: Connect) -> None:
        """Serve a client from now on."""
        monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        self._tasks = [
            asyncio.create_task(self._watch(monitor, connect), name=f"watch {self.resource}"),
            asyncio.create_task(self._serve(), name=f"serve {self.resource}"),
        ]

    async def stop(self) -> None:
        """Drop the client and give the port back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._leave()
        if self._tasks:
            self._socket.disable_monitor()
        self._socket.close(0)

    def send(self, data: bytes) -> bool:
        """One message to the client; False when it does not read."""
        try:
            if not self._connected:
                raise zmq.Again
            self._sending.send(data, zmq.NOBLOCK)
        except zmq.ZMQError:
            self.dropped += 1
            return False
        return True

    def close(self) -> None:
        """A server cannot end the connection of a client of ZeroMQ: nothing happens."""

    async def _watch(self, monitor: zmq.asyncio.Socket, connect: Connect) -> None:
        try:
            while True:
                event = parse_monitor_message(await monitor.recv_multipart())["event"]
                self._leave()
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._connected = True
                    self._session = connect(self)
        finally:
            with suppress(zmq.ZMQError):
                monitor.close(0)

    async def _serve(self) -> None:
        while True:
            message = await self._socket.recv()
            if self._session is not None:
                self._session.feed(message)

    def _leave(self) -> None:
        self._connected = False
        session, self._session = self._session, None
        if session is not None:
            session.closed()
