"""A simulated instrument on a pseudo-terminal, as on a USB serial port."""

from __future__ import annotations

import asyncio
import os
import select
from contextlib import suppress
from pathlib import Path

from sim_backends.mount import Connect, MountError, Session

__all__ = ["PtyMount"]

_LIMIT_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_LOOK_S = 0.05


class PtyMount:
    """Serves a byte machine on a pseudo-terminal that appears at the path `link`.

    As with a USB serial port, the instrument does not know who is at the far end, only whether
    the port is open; what it says while nobody has it open is lost. `dropped_bytes` counts that and
    what a client that does not read has lost.
    """

    def __init__(self, connect: Connect, link: Path, *, limit_bytes: int = _LIMIT_BYTES) -> None:
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
            self._look = loop.call_later(_LOOK_S, self._look_for_client)
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
