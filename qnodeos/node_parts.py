"""What a node is made of, put together once and handed to whoever makes a service of it."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from drivers.links.memory import Registry
from drivers.safety import StartGuard
from link_layer.messages import Message
from qnodeos.apps import correlations, teleport
from qnodeos.apps.channel import Channel
from qnodeos.bus import Bus
from qnodeos.bus_memory import BusClients
from qnodeos.config import NodeConfig
from qnodeos.instruments import Rack
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.photonic import PhotonicLink
from qnodeos.recording import TagRecorder
from qnodeos.shared_device import SharedDevices
from qnodeos.store import Store
from qnodeos.supervising import Supervision
from qnodeos.systemd import Notifier
from qnodeos.wire import Wire
from qnodeos.wire_memory import Exchange
from qnodeos.withdrawing import Withdrawals

Link = MemoryLink | PhotonicLink | Midpoint
App = teleport.Sender | teleport.Receiver | correlations.Asker | correlations.Taker


def _drawn() -> int:
    # 63 bits, so that it also fits the signed integers of databases.
    return secrets.randbits(63)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node meets outside of its own code; as it stands here, the real world.

    `wall`: seconds since 1970. `boot`: draws the number of this start of the node. `executor`:
    where long computing goes, by default a process when it is needed. `memory`, `exchange` and
    `broker`: the far ends of `mem://` instruments, wires and buses, in a process that holds a whole
    network. `guard`: how a guard is started; by default as a process.
    """

    wall: Callable[[], float] = time.time
    boot: Callable[[], int] = field(default=_drawn)
    executor: Executor | None = None
    memory: Registry | None = None
    exchange: Exchange | None = None
    broker: BusClients | None = None
    guard: StartGuard | None = None


@dataclass(slots=True)
class NodeParts:
    """A node's parts. A service is given those that it needs, by a factory in `services`.

    `clock` is the loop's, `boot` the number of this start, `rng` the node's chance: a service that
    needs some draws a generator of its own from it when it is made. `config` is the one in use,
    which changes when it is read again.
    """

    name: str
    config: NodeConfig
    boot: int
    clock: Callable[[], float]
    wall: Callable[[], float]
    rng: random.Random
    executor: Executor | None
    store: Store
    bus: Bus
    wire: Wire[Message]
    rack: Rack
    supervision: Supervision
    devices: SharedDevices
    recorder: TagRecorder | None = None
    links: dict[str, Link] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    notifier: Notifier = field(default_factory=Notifier)
    withdrawals: Withdrawals = field(default_factory=Withdrawals)
    draining: str = ""
    """Why no new request is taken; "" while they are."""
