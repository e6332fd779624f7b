"""Words to the program that started the node, in systemd's form; without one nothing is said.

The protocol is that of sd_notify(3): datagrams to the socket named in NOTIFY_SOCKET.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """Says how the node is. `environment` is that of the process."""

    def __init__(self, environment: Mapping[str, str] = os.environ):
        self._place = environment.get("NOTIFY_SOCKET", "")
        if self._place.startswith("@"):
            self._place = "\0" + self._place[1:]
        usec = environment.get("WATCHDOG_USEC", "")
        pid = environment.get("WATCHDOG_PID", "")
        ours = not pid or pid == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and ours and self._place else None
        """A word is expected within this time, again and again; None: nobody waits for one."""

    def ready(self, status: str) -> None:
        """The node serves."""
        self._say("READY=1", f"STATUS={status}")

    def reloading(self, monotonic_usec: int) -> None:
        """The configuration is read anew; `ready` ends it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={monotonic_usec}")

    def stopping(self, status: str) -> None:
        """The node goes down."""
        self._say("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """The event loop turns."""
        self._say("WATCHDOG=1")

    def _say(self, *lines: str) -> None:
        if not self._place:
            return
        # Who started the node may be gone; that is no reason to stop serving.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there,
        ):
            there.sendto("\n".join(lines).encode(), self._place)
