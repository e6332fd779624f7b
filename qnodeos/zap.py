"""Admits only known CURVE keys to this process's ZeroMQ sockets, and names their owner (RFC 27).

The User-Id that a message carries comes from here: it is the key that the connection proved, and
never what the message says.
"""

from __future__ import annotations

import asyncio
import logging

import zmq
from zmq.utils import z85

from qnodeos.key_ring import KeyRing, fingerprint

log = logging.getLogger("qnodeos.wire")

DOMAIN = b"qnodeos"
_MAX_NAMED_STRANGERS = 100


class KeyGate:
    """Answers libzmq's authentication requests of one context, on the running loop."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing):
        self.strangers = 0
        """Connections refused because their key is not configured."""
        self.ring = ring
        """Whom to admit; may be exchanged."""
        self._told: set[tuple[str, bytes]] = set()
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind("inproc://zeromq.zap.01")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._answer)
        self._answer()

    def close(self) -> None:
        """Stop answering; the context's sockets admit nobody from then on."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _answer(self) -> None:
        while True:
            try:
                request = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._socket.send_multipart(self._reply(request))

    def _reply(self, request: list[bytes]) -> list[bytes]:
        if len(request) < 6:
            return [b"1.0", b"", b"500", b"short request", b"", b""]
        version, number, domain, address, _identity, mechanism, *credentials = request
        if mechanism == b"CURVE" and domain == DOMAIN and len(credentials) == 1:
            public = z85.encode(credentials[0])
            if self.ring.owner(public) is not None:
                return [version, number, b"200", b"OK", public, b""]
        self.strangers += 1
        self._tell(address.decode(errors="replace"), credentials)
        return [version, number, b"400", b"key not known here", b"", b""]

    def _tell(self, address: str, credentials: list[bytes]) -> None:
        # Once per stranger: one that keeps trying must not fill the log.
        key = credentials[0] if credentials else b""
        if (address, key) in self._told or len(self._told) >= _MAX_NAMED_STRANGERS:
            return
        self._told.add((address, key))
        shown = "none"
        if len(key) == 32:
            public = z85.encode(key)
            shown = f"{fingerprint(public)} ({public.decode()})"
        expected = ", ".join(f"{peer} {mark}" for peer, mark in self.ring.fingerprints())
        log.warning(
            "refused a connection from %s: its public key %s is no peer's; the peers' are: %s",
            address,
            shown,
            expected,
        )
