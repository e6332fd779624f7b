"""TCP ports for servers under test."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 20_000, 32_000
"""Below those that the kernel gives to outgoing connections, of which any program on the machine
may take one in the moment before the server under test binds."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    draw = random.SystemRandom()
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            try:
                held.append(socket.create_server(("127.0.0.1", draw.randint(FIRST, LAST))))
            except OSError:
                continue
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def free_port() -> int:
    """One port of 127.0.0.1 that nobody listens on."""
    return free_ports(1)[0]
