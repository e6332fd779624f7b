"""Where a simulated instrument is plugged in: TCP, a pseudo-terminal, or memory.

A byte machine knows none of them. It is given a `Channel` for each client and hands back the
`Session` that takes what the client sends. Nothing here waits for a client or grows without
bound: one that does not read loses bytes on a serial line and its connection on TCP, and both are
counted.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, cast

__all__ = [
    "Channel",
    "Connect",
    "MemoryPort",
    "MountError",
    "PtyMount",
    "Session",
    "TcpMount",
    "listen_on",
    "open_memory",
    "take_lines",
]

_TCP_LIMIT_BYTES = 256 * 1024
_PTY_LIMIT_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_PTY_LOOK_S = 0.05
_BACKLOG = 16


class MountError(Exception):
    """An instrument cannot be plugged in: `what` is wrong at `address`; `do` says what helps."""

    def __init__(self, what: str, *, address: str, do: str) -> None:
        self.what, self.address, self.do = what, address, do
        super().__init__(f"{address}: {what}; {do}")


class Channel(Protocol):
    """The way out to one client."""

    def send(self, data: bytes) -> bool:
        """Queue the whole of `data`; False when it was dropped, because nobody reads."""
        ...

    def close(self) -> None:
        """End the connection, as far as there is one to end; what was queued still goes out."""
        ...


class Session(Protocol):
    """What one client has said so far."""

    def feed(self, data: bytes) -> None:
        """Take bytes as they come: half a command, or several."""
        ...

    def closed(self) -> None:
        """The client is gone."""
        ...


Connect = Callable[[Channel], Session]


def take_lines(buffer: bytearray, ends: bytes = b"\n", *, limit: int = 4096) -> list[bytes]:
    """Take the complete lines out of `buffer`, each without the byte of `ends` that ended it.

    An unfinished line longer than `limit` is thrown away, as an instrument's own input buffer does.
    """
    *lines, rest = re.split(b"[" + re.escape(ends) + b"]", bytes(buffer))
    buffer[:] = rest if len(rest) <= limit else b""
    return lines


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens on a TCP port, chosen by the system for 0. Raises MountError."""
    address = f"{host}:{port}"
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(name)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise MountError(
                f"port {port} is in use",
                address=address,
                do="end the program that has it (`ss -ltnp` shows which), or choose another port",
            ) from error
        raise MountError(
            f"cannot listen ({error.strerror or error})",
            address=address,
            do="choose an address of this machine and a port that this user may open",
        ) from error
    return listener


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
        self, connect: Connect, *, limit_bytes: int = _TCP_LIMIT_BYTES, max_clients: int = 16
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


class PtyMount:
    """Serves a byte machine on a pseudo-terminal that appears at the path `link`.

    As with a USB serial port, the instrument does not know who is at the far end, only whether
    the port is open; what it says while nobody has it open is lost. `dropped_bytes` counts that and
    what a client that does not read has lost.
    """

    def __init__(
        self, connect: Connect, link: Path, *, limit_bytes: int = _PTY_LIMIT_BYTES
    ) -> None:
        self.link = link
        self.dropped_bytes = 0
        self._connect = connect
        self._limit_bytes = limit_bytes
        self._session: Session | None = None
        self._pending = bytearray()
        self._waiting = False
        self._master = -1
        self._device = ""
        self._look: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Make the port and its link, in place of a stale one. Raises MountError."""
        try:
            import tty
        except ImportError as error:
            raise MountError(
                "this system has no pseudo-terminals",
                address=str(self.link),
                do="run the simulated lab on Linux or macOS",
            ) from error
        if self.link.exists() and not self.link.is_symlink():
            raise MountError(
                "there is a file where the serial port's link has to be",
                address=str(self.link),
                do="move it away, or choose another `run_dir` or `pty`",
            )
        try:
            self.link.parent.mkdir(parents=True, exist_ok=True)
            self._master, slave = os.openpty()
            tty.setraw(slave)
            self._device = os.ttyname(slave)
            # Not kept open: only so does the master tell when the last client has closed.
            os.close(slave)
            os.set_blocking(self._master, False)
            fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self._device)
            fresh.replace(self.link)
        except OSError as error:
            self.stop()
            raise MountError(
                f"cannot make a serial port ({error.strerror or error})",
                address=str(self.link),
                do="choose a `run_dir` that this user may write to",
            ) from error
        self._look_for_client()

    def stop(self) -> None:
        """Close the port and remove the link, if it is still ours."""
        if self._master < 0:
            return
        if self._look is not None:
            self._look.cancel()
        if self._session is not None:
            self._detach()
        os.close(self._master)
        self._master = -1
        with suppress(OSError):
            if str(self.link.readlink()) == self._device:
                self.link.unlink()

    def send(self, data: bytes) -> bool:
        """Send to whoever has the port open, all of it or nothing."""
        if self._session is None or len(self._pending) + len(data) > self._limit_bytes:
            self.dropped_bytes += len(data)
            return False
        self._pending += data
        if not self._waiting:
            self._writable()
        return True

    def close(self) -> None:
        """A serial port cannot end its client's connection: nothing happens."""

    def _look_for_client(self) -> None:
        # While the slave is closed the master is always "ready" with a hang-up, so it is looked at
        # in turns instead of being watched.
        self._look = None
        poll = select.poll()
        poll.register(self._master, select.POLLHUP)
        loop = asyncio.get_running_loop()
        if poll.poll(0):
            self._look = loop.call_later(_PTY_LOOK_S, self._look_for_client)
            return
        self._session = self._connect(self)
        loop.add_reader(self._master, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and self._session is not None:
            self._session.feed(data)
        elif not data:
            self._detach()
            self._look_for_client()

    def _writable(self) -> None:
        try:
            while self._pending:
                sent = os.write(self._master, self._pending)
                del self._pending[:sent]
        except BlockingIOError:
            if not self._waiting:
                asyncio.get_running_loop().add_writer(self._master, self._writable)
                self._waiting = True
            return
        except OSError:
            # The reader finds the hang-up and says so.
            self.dropped_bytes += len(self._pending)
            self._pending.clear()
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._waiting:
            asyncio.get_running_loop().remove_writer(self._master)
            self._waiting = False

    def _detach(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self._stop_waiting()
        self.dropped_bytes += len(self._pending)
        self._pending.clear()
        session, self._session = self._session, None
        if session is not None:
            session.closed()
        self._forget_unread()

    def _forget_unread(self) -> None:
        """What the last client did not read is not for the next one."""
        import termios

        with suppress(OSError, termios.error):
            slave = os.open(self._device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                termios.tcflush(slave, termios.TCIFLUSH)
            finally:
                os.close(slave)


class MemoryPort:
    """The client's end of a pipe to a byte machine, without the operating system.

    It is both directions of a `mem://` link at once: to read from and to write to.
    """

    def __init__(self, connect: Connect, *, limit_bytes: int = _TCP_LIMIT_BYTES) -> None:
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


def open_memory(connect: Connect, *, limit_bytes: int = _TCP_LIMIT_BYTES) -> MemoryPort:
    """Connect a new client to a byte machine; the composing program wraps it as `mem://`."""
    return MemoryPort(connect, limit_bytes=limit_bytes)
