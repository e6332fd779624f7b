"""Decides which CURVE keys are admitted to this node, and names who was not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from qnodeos.key_ring import KeyRing, fingerprint

log = logging.getLogger("qnodeos.wire")

STRANGER, HELD_OFF = b"400", b"500"
"""What one is told whose key is unknown; and who is known, but held off for a while (RFC 27)."""

_NAMED_STRANGERS, _NAMED_WITHIN_S = 10, 60.0


class KeyGate:
    """Asked at every handshake; `ring` and `held`, peers whom not to admit for now, may change."""

    def __init__(self, ring: KeyRing, clock: Callable[[], float]):
        self.strangers = 0
        """Connections refused because their key is not configured."""
        self.ring = ring
        self.held: set[str] = set()
        self._clock = clock
        self._told: set[tuple[str, bytes]] = set()
        self._told_s = clock()

    def refusal(self, public: bytes, address: str) -> bytes | None:
        """Why the owner of this key (Z85), which it has proved, is not let in; None: it is."""
        owner = self.ring.owner(public)
        if owner is not None:
            return HELD_OFF if owner in self.held else None
        self.strangers += 1
        self._tell(address, public)
        return STRANGER

    def _tell(self, address: str, public: bytes) -> None:
        # Some a minute, and each once in it: one that keeps trying must not fill the log.
        now_s = self._clock()
        if now_s >= self._told_s + _NAMED_WITHIN_S:
            self._told.clear()
            self._told_s = now_s
        if (address, public) in self._told or len(self._told) >= _NAMED_STRANGERS:
            return
        self._told.add((address, public))
        expected = ", ".join(f"{peer} {mark}" for peer, mark in self.ring.fingerprints())
        log.warning(
            "refused a connection from %s: its public key %s (%s) is no peer's; the peers' are: "
            "%s. If it is a peer, take its key with `qnodeos keys accept` and `qnodeos reload`",
            address,
            fingerprint(public),
            public.decode(),
            expected,
        )
