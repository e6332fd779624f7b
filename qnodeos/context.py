"""What every service of a node is given: who we are, our clock, and the ways to speak."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from link_layer.messages import Message
from qnodeos.bus import Bus
from qnodeos.recording import TagRecorder
from qnodeos.store import Store
from qnodeos.withdrawing import Withdrawals


@dataclass(frozen=True, slots=True)
class NodeContext:
    """The surroundings of a service. `send` never blocks; False: the peer is not there."""

    name: str
    node_id: int
    send: Callable[[str, Message], bool]
    peer_up: Callable[[str], bool]
    clock: Callable[[], float]
    rng: random.Random
    store: Store
    bus: Bus
    recorder: TagRecorder | None = None
    withdrawals: Withdrawals = field(default_factory=Withdrawals)
