"""One node, from its configuration to a running process and back down in order.

Up: store, bus, wire, instruments with their guard, links, applications. Down: the other way round,
so that no emission outlives its owner and nothing that was delivered goes unwritten.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from drivers.claims import Claims
from drivers.guard_inside import guard_inside
from drivers.links.memory import Registry
from drivers.safety import GuardProcess
from link_layer.messages import AppMessage, Message
from qnodeos.apps import correlations, teleport
from qnodeos.apps.channel import Channel
from qnodeos.bus import Bus
from qnodeos.bus_memory import MemoryBroker
from qnodeos.config import MemoryLinkTable, MidpointTable, NodeConfig, PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.errors import UserError
from qnodeos.instruments import Rack
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.photonic import PhotonicLink
from qnodeos.status import Reports, publish_status
from qnodeos.store import Store
from qnodeos.wire import PeerStatus, Wire
from qnodeos.wire_memory import SCHEME as MEMORY_SCHEME
from qnodeos.wire_memory import Exchange

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
    network.
    """

    wall: Callable[[], float] = time.time
    boot: Callable[[], int] = field(default=_drawn)
    executor: Executor | None = None
    memory: Registry | None = None
    exchange: Exchange | None = None
    broker: MemoryBroker | None = None


class Node:
    """A node of the network. `seed` fixes every random choice it makes; None: from the system.

    Raises UserError for what cannot be used, `mem://` without such surroundings included.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        seed: int | None = None,
        surroundings: Surroundings | None = None,
    ):
        self.config = config
        self.name = config.node.name
        around = surroundings or Surroundings()
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._rng = random.Random(secrets.randbits(64) if seed is None else seed)
        self._executor = around.executor
        _check_memory(config, around)
        self.bus = Bus(config.bus.url, self.name, broker=around.broker)
        self.store = Store(
            config.node.data_dir / "journal.sqlite",
            clock=self._clock,
            wall=around.wall,
            on_problem=self._store_changed,
        )
        self.wire: Wire[Message] = Wire(
            config.wire,
            self.name,
            Message,
            on_peer=self._peer_changed,
            boot=around.boot(),
            carrier=around.exchange.carrier(config.wire, self.name) if around.exchange else None,
        )
        self.rack = Rack(
            config,
            clock=self._clock,
            rng=self._rng,
            store=self.store,
            bus=self.bus,
            claims=Claims(wall=around.wall),
            memory=around.memory,
            start_guard=(
                GuardProcess.start if around.memory is None else guard_inside(around.memory)
            ),
        )
        self._peers: dict[str, tuple[bool, int | None]] = {}
        self.links: dict[str, Link] = {name: self._link(name) for name in config.links}
        self.channels: dict[str, Channel] = {}
        self.apps: dict[str, App] = {}
        self._make_apps()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; ends with everything in its safe state."""
        async with (
            _while(self.store.run(), "store", self.store.close),
            _while(self.bus.run(), "bus", self.bus.close),
        ):
            self.store.event(
                "start",
                {"node": self.name, "config": str(self.config.path), "clock_s": self._clock()},
            )
            await self.wire.start()
            try:
                await self._run_services(stop)
            finally:
                await self.wire.close()
                self.store.event("stop", {"node": self.name})

    async def _run_services(self, stop: asyncio.Event) -> None:
        async with (
            _while(self.rack.run(), "instruments"),
            _while(self._dispatch(), "dispatch"),
            _while(self._serve(), "services"),
        ):
            self.bus.set_state("ready")
            await stop.wait()
            self.store.event("stopping", {"node": self.name})

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, link in self.links.items():
                tasks.create_task(link.run(), name=f"link {name}")
            for name, app in self.apps.items():
                tasks.create_task(app.run(), name=f"application {name}")
            parts: dict[str, Reports] = {
                **{f"link-{name}": link for name, link in self.links.items()},
                **{f"app-{name}": app for name, app in self.apps.items()},
            }
            tasks.create_task(
                publish_status(self.bus, self.store, parts, self._clock), name="status"
            )

    async def _dispatch(self) -> None:
        while True:
            received = await self.wire.receive()
            message = received.message
            if isinstance(message, AppMessage):
                channel = self.channels.get(message.app)
                if channel is not None:
                    channel.deliver(message)
                continue
            link = self.links.get(message.link)
            if link is not None:
                link.handle(received.peer, message)

    def _peer_changed(self, status: PeerStatus) -> None:
        """Tell links, bus and journal of a peer that came, went, or is a new process."""
        up = status.state == "up"
        was_up, old_boot = self._peers.get(status.name, (False, None))
        restarted = old_boot is not None and status.boot is not None and status.boot != old_boot
        if up == was_up and not restarted:
            return
        self._peers[status.name] = (up, status.boot if status.boot is not None else old_boot)
        self.bus.publish("peers", status.name, status.state)
        self.store.event(
            "peer", {"peer": status.name, "state": status.state, "reason": status.reason}
        )
        for link in self.links.values():
            link.peer_changed(status.name, up=up, restarted=restarted)

    def _store_changed(self, problem: str) -> None:
        if problem:
            self.bus.alarm("journal", problem)
        else:
            self.bus.clear_alarm("journal")

    def _link(self, name: str) -> Link:
        table = self.config.links[name]
        context = NodeContext(
            name=self.name,
            node_id=self.config.node.id,
            send=self.wire.send,
            peer_up=lambda peer: self._peers.get(peer, (False, None))[0],
            clock=self._clock,
            rng=random.Random(self._rng.getrandbits(64)),
            store=self.store,
            bus=self.bus,
        )
        supervisors = self.rack.supervisors
        match table:
            case MidpointTable():
                return Midpoint(name, table, context, supervisor=supervisors[table.device])
            case MemoryLinkTable():
                return MemoryLink(
                    name,
                    table,
                    context,
                    peer_id=self.config.wire.peers[table.peer].id,
                    supervisor=supervisors[table.device],
                )
            case PhotonicLinkTable():
                return PhotonicLink(
                    name,
                    table,
                    context,
                    peer_id=self.config.wire.peers[table.peer].id,
                    tagger=supervisors[table.tagger],
                    analyzer=supervisors[table.analyzer],
                    reference=supervisors[table.reference] if table.reference else None,
                    executor=self._executor,
                )

    def _make_apps(self) -> None:
        tables = self.config.applications
        if tables.teleport is not None:
            link = self.links[tables.teleport.link]
            assert isinstance(link, MemoryLink)  # checked with the configuration
            channel = self._channel(teleport.PURPOSE, link.config.peer)
            if tables.teleport.role == "sender":
                self.apps["teleport"] = teleport.Sender(
                    link,
                    channel,
                    self.store,
                    pairs_per_request=tables.teleport.pairs_per_request or 1,
                    fidelity=tables.teleport.fidelity or 0.5,
                )
            else:
                self.apps["teleport"] = teleport.Receiver(link, channel, self.store, self._clock)
        if tables.correlations is not None:
            photonic = self.links[tables.correlations.link]
            assert isinstance(photonic, PhotonicLink)
            if tables.correlations.role == "sender":
                self.apps["correlations"] = correlations.Asker(
                    photonic,
                    self.store,
                    pairs_per_request=tables.correlations.pairs_per_request or 1,
                    fidelity=tables.correlations.fidelity or 0.5,
                )
            else:
                self.apps["correlations"] = correlations.Taker(photonic)

    def _channel(self, app: str, peer: str) -> Channel:
        channel = Channel(app, lambda message: self.wire.send(peer, message))
        self.channels[app] = channel
        return channel


def _check_memory(config: NodeConfig, around: Surroundings) -> None:
    """What is in memory has to be there; raises UserError."""
    for where, text, there in (
        ("wire.listen", config.wire.listen, around.exchange),
        ("bus.url", config.bus.url, around.broker),
    ):
        if text.startswith(MEMORY_SCHEME) and there is None:
            raise UserError(
                "mem:// is within one process only",
                where=f"{config.path}: {where}",
                found=text,
                expected="an address on a network, or a rehearsal",
                do="give an address such as tcp://HOST:PORT, or run it with `qnodeos rehearse`",
            )


@asynccontextmanager
async def _while(
    service: Coroutine[None, None, None],
    name: str,
    close: Callable[[], Coroutine[None, None, None]] | None = None,
) -> AsyncIterator[None]:
    """Run a service beside the body: its failure ends the body, and the body's end ends it."""
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(service, name=name)
            try:
                yield
            finally:
                task.cancel()
    finally:
        if close is not None:
            await close()
