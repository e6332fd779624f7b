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
HELD_OFF = 500
"""What one is told whose key is known, but who is held off; 400 is a stranger."""

_NAMED_STRANGERS, _NAMED_WITHIN_S = 10, 60.0
_ANSWERED_AT_ONCE = 16


class KeyGate:
    """Answers libzmq's authentication requests of one context, on the running loop."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], ring: KeyRing):
        self.strangers = 0
        """Connections refused because their key is not configured."""
        self.ring = ring
        """Whom to admit; may be exchanged."""
        self.held: frozenset[str] = frozenset()
        """Peers whom not to admit for now."""
        self._told: set[tuple[str, bytes]] = set()
        self._told_s = 0.0
        self._more: asyncio.Handle | None = None
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind("inproc://zeromq.zap.01")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._answer)
        self._answer()

    def close(self) -> None:
        """Stop answering; the context's sockets admit nobody from then on."""
        if self._more is not None:
            self._more.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _answer(self) -> None:
        if self._more is not None:
            self._more.cancel()
            self._more = None
        for _ in range(_ANSWERED_AT_ONCE):
            try:
                request = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._socket.send_multipart(self._reply(request))
        # libzmq signals once; and there is more to do in a node than to refuse strangers.
        self._more = self._loop.call_soon(self._answer)

    def _reply(self, request: list[bytes]) -> list[bytes]:
        if len(request) < 6:
            return [b"1.0", b"", b"500", b"short request", b"", b""]
        version, number, domain, address, _identity, mechanism, *credentials = request
        if mechanism == b"CURVE" and domain == DOMAIN and len(credentials) == 1:
            public = z85.encode(credentials[0])
            owner = self.ring.owner(public)
            if owner is not None and owner in self.held:
                return [version, number, b"%d" % HELD_OFF, b"held off for a while", b"", b""]
            if owner is not None:
                return [version, number, b"200", b"OK", public, b""]
        self.strangers += 1
        self._tell(address.decode(errors="replace"), credentials)
        return [version, number, b"400", b"key not known here", b"", b""]

    def _tell(self, address: str, credentials: list[bytes]) -> None:
        # Some a minute, and each once in it: one that keeps trying must not fill the log.
        key = credentials[0] if credentials else b""
        now_s = self._loop.time()
        if now_s >= self._told_s + _NAMED_WITHIN_S:
            self._told.clear()
            self._told_s = now_s
        if (address, key) in self._told or len(self._told) >= _NAMED_STRANGERS:
            return
        self._told.add((address, key))
        shown = "none"
        if len(key) == 32:
            public = z85.encode(key)
            shown = f"{fingerprint(public)} ({public.decode()})"
        expected = ", ".join(f"{peer} {mark}" for peer, mark in self.ring.fingerprints())
        log.warning(
            "refused a connection from %s: its public key %s is no peer's; the peers' are: %s. "
            "If it is a peer, take its key with `qnodeos keys accept` and `qnodeos reload`",
            address,
            shown,
            expected,
        )
