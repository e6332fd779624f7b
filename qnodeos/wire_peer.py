"""A peer of the wire: what is known of it here, what is told of it, and what is counted."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal

from qnodeos.allowance import Allowance

_OLD_BOOTS = 32

PeerState = Literal["up", "lost", "never"]


@dataclass(slots=True)
class PeerCounters:
    """Since the start of this node. `refused`: not sent; `dropped`: our queue was full; `missed`:
    gaps in the peer's numbering; `repeated`: duplicates and replays, thrown away; `outdated`: words
    to a life of ours that is over, as the peer did not know yet, thrown away too;
    `held_off`: how often it was, and nothing of it was read."""

    sent: int = 0
    received: int = 0
    refused: int = 0
    dropped: int = 0
    missed: int = 0
    repeated: int = 0
    outdated: int = 0
    malformed: int = 0
    held_off: int = 0


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer as seen from here; times are those of the event loop's clock. `trouble`: what it does
    wrong, "" for nothing."""

    name: str
    state: PeerState
    boot: int | None
    since_s: float
    reason: str
    counters: PeerCounters
    trouble: str = ""


@dataclass(slots=True)
class Peer:
    """The wire's own notes; times are those of the event loop's clock."""

    name: str
    address: str
    since_s: float
    reason: str
    allowance: Allowance
    state: PeerState = "never"
    heard_s: float = 0.0
    boot: int | None = None
    version: int | None = None
    """What we speak with it; None when there is no version that both ends know."""
    losses_here: int = 0
    losses_there: int = 0
    sequence: int = 0
    sent: int = 0
    taken: int = 0
    held_until_s: float | None = None
    trouble: str = ""
    troubled_s: float = 0.0
    told_s: float = -math.inf
    old_boots: deque[int] = field(default_factory=lambda: deque(maxlen=_OLD_BOOTS))
    counters: PeerCounters = field(default_factory=PeerCounters)

    def status(self) -> PeerStatus:
        """What is told of it, as of now."""
        return PeerStatus(
            self.name,
            self.state,
            self.boot,
            self.since_s,
            self.reason,
            replace(self.counters),
            self.trouble,
        )
