"""Instruments on a serial line, a USB CDC port or a pseudo terminal.

The port is claimed by a lock: a second process that wants it is told so instead of stealing bytes.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.links.base import Transport
from drivers.links.inbox import Inbox

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """Line parameters; a pseudo terminal and a USB CDC port ignore most of them."""

    baud: int = 115200
    data_bits: Literal[5, 6, 7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    rtscts: bool = False
    xonxoff: bool = False


class SerialTransport(Transport):
    """A raw serial port: no echo, no translation of line ends.

    POSIX only, as the event loop has to watch the file descriptor.
    """

    def __init__(self, path: str, settings: SerialSettings | None = None, *, resource: str = ""):
        self.resource = resource or f"serial://{path}"
        self.path = path
        self.settings = settings or SerialSettings()
        self._fd: int | None = None
        self._inbox = Inbox()

    async def open(self) -> None:
        """Open, claim and configure the port, dropping what waits in it; raises OSError."""
        loop = asyncio.get_running_loop()
        self._fd = fd = _open_port(self.path, self.settings)
        self._inbox = Inbox(
            pause=lambda: _unwatch(loop, fd), resume=lambda: loop.add_reader(fd, self._receive)
        )
        loop.add_reader(fd, self._receive)

    async def read(self) -> bytes:
        """Wait for bytes; b"" when the far end has gone. Cancellation loses no bytes."""
        if self._fd is None:
            raise ConnectionError("the port is closed")
        return await self._inbox.read()

    def read_nowait(self) -> bytes:
        """What has already arrived."""
        return self._inbox.take()

    def notify(self, news: Callable[[], None] | None) -> bool:
        """See Transport."""
        self._inbox.news = news
        return True

    @property
    def ended(self) -> bool:
        """See Transport."""
        return self._fd is None or self._inbox.ended

    async def write(self, data: bytes) -> None:
        """Send all of it, waiting for room; raises OSError."""
        rest = memoryview(data)
        while rest:
            if self._fd is None or self._inbox.ended:
                raise ConnectionResetError("the port has gone")
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                await self._room(self._fd)

    async def close(self) -> None:
        """Close and give the port free; never raises and may be called twice."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        loop = asyncio.get_running_loop()
        self._inbox.end()
        _unwatch(loop, fd)
        loop.remove_writer(fd)
        os.close(fd)

    def _receive(self) -> None:
        if self._fd is None:
            return
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # EIO is how a terminal says that its far end has closed.
            self._end(None if error.errno == errno.EIO else error)
            return
        if data:
            self._inbox.feed(data)
        else:
            self._end(None)

    def _end(self, error: OSError | None) -> None:
        if self._fd is not None:
            # A dead port stays readable for ever: watching it on would spin.
            _unwatch(asyncio.get_running_loop(), self._fd)
        self._inbox.end(error)

    async def _room(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()

        def now() -> None:
            if not room.done():
                room.set_result(None)

        loop.add_writer(fd, now)
        try:
            await room
        finally:
            loop.remove_writer(fd)


def _unwatch(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    loop.remove_reader(fd)


def _open_port(path: str, settings: SerialSettings) -> int:
    """A non-blocking, raw, exclusively locked file descriptor of the port."""
    try:
        import fcntl
        import termios
    except ImportError:
        raise OSError(errno.ENOSYS, "serial ports need a POSIX system") from None
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not os.isatty(fd):
            raise OSError(errno.ENOTTY, f"{path} is not a serial port")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                errno.EBUSY, f"{path} is in use by another process; close that program first"
            ) from None
        if not Path(os.ttyname(fd)).is_relative_to("/dev/pts"):
            # Keeps programs out that do not know our lock. Not on a pseudo terminal, where the
            # mark would outlive us and lock out our own guard.
            fcntl.ioctl(fd, termios.TIOCEXCL)
        _configure(fd, settings)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _configure(fd: int, settings: SerialSettings) -> None:
    import termios

    speed = getattr(termios, f"B{settings.baud}", None)
    if speed is None:
        raise OSError(errno.EINVAL, f"this system has no baud rate {settings.baud}")
    sizes = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
    control = termios.CREAD | termios.CLOCAL | sizes[settings.data_bits]
    if settings.parity != "N":
        control |= termios.PARENB | (termios.PARODD if settings.parity == "O" else 0)
    if settings.stop_bits == 2:
        control |= termios.CSTOPB
    if settings.rtscts:
        control |= termios.CRTSCTS
    inputs = (termios.IXON | termios.IXOFF) if settings.xonxoff else 0
    special = list(termios.tcgetattr(fd)[6])
    # With at least one byte asked for, "nothing there" and "gone" read differently.
    special[termios.VMIN], special[termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, [inputs, 0, control, 0, speed, speed, special])
    termios.tcflush(fd, termios.TCIFLUSH)
