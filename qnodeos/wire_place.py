"""Where a node is reached: addresses of the wire, and a socket bound at one."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

from qnodeos.errors import UserError

ACCEPTED_AT_ONCE = 8
"""Connections in one turn of the loop, each of which is a handshake."""


def host_and_port(address: str) -> tuple[str, int]:
    """Of tcp://HOST:PORT."""
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or 0


def listening(address: str, name: str) -> socket.socket:
    """A socket bound there; raises UserError."""
    host, port = host_and_port(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            "0.0.0.0" if host == "*" else host, port, type=socket.SOCK_STREAM
        )[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(place)
            made.listen(ACCEPTED_AT_ONCE)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise _cannot_listen(address, name, error) from None
    return made


def _cannot_listen(address: str, name: str, error: OSError) -> UserError:
    where = f"wire.listen of node {name}"
    if error.errno == errno.EADDRINUSE:
        port = address.rpartition(":")[2]
        return UserError(
            "the port is in use",
            where=where,
            found=f"another program at {address}",
            expected="a free port",
            do=f"stop it (ss -ltnp 'sport = :{port}' names it), or choose another port here and "
            "in the peers' files",
        )
    return UserError(
        "this node cannot listen there",
        where=where,
        found=f"{address}: {error.strerror}",
        expected="an address of this machine, or tcp://*:PORT for all of them",
        do="correct the entry",
    )
