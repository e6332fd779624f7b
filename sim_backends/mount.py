"""Where a simulated instrument is plugged in; each way has a file, as `mount_tcp` and `mount_pty`.

A byte machine knows none of them. It is given a `Channel` for each client and hands back the
`Session` that takes what the client sends. Nothing here waits for a client or grows without
bound: one that does not read loses bytes on a serial line and its connection on TCP, and both are
counted.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable
from typing import Protocol

__all__ = [
    "LIMIT_BYTES",
    "Channel",
    "Connect",
    "MountError",
    "Session",
    "listen_on",
    "take_lines",
]

LIMIT_BYTES = 256 * 1024
"""What a connection keeps for a client that does not read."""

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
