"""One node, from its configuration to a running process and back down in order.

Up: store, bus, wire, instruments with their guard, links, what uses them. Down: the other way
round, so that no emission outlives its owner and nothing that was delivered goes unwritten.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from drivers.claims import Claims
from drivers.safety import GuardProcess
from link_layer.messages import AppMessage, Message
from qnodeos.apps.channel import Channel
from qnodeos.assembly import make_apps, make_link
from qnodeos.bus import Bus
from qnodeos.config import NodeConfig
from qnodeos.config.described import described
from qnodeos.draining import drain
from qnodeos.errors import UserError
from qnodeos.indicators import with_indicators
from qnodeos.instruments import Rack
from qnodeos.metrics import MetricsServer
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import App, Link, NodeParts, Surroundings
from qnodeos.recording import Limits, TagRecorder
from qnodeos.reloading import reload
from qnodeos.services import LINKS, USERS, made
from qnodeos.shared_device import SharedDevices
from qnodeos.status import Status, publish_status
from qnodeos.store import Store
from qnodeos.supervising import Service, Supervision, Watched
from qnodeos.wire import PeerStatus, Received, Wire
from qnodeos.wire_memory import SCHEME as MEMORY_SCHEME

__all__ = ["App", "Link", "Node", "Surroundings"]


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
        self._clock = asyncio.get_running_loop().time
        _check_memory(config, around)
        self.parts = self._parts(config, around, seed)
        self._peers: dict[str, tuple[bool, int | None]] = {}
        self.parts.links = {
            name: make_link(name, self.parts, self._peer_up) for name in config.links
        }
        for name, link in self.parts.links.items():
            if f"{name}.guard" in config.guards and not isinstance(link, Midpoint):
                self.parts.rack.acknowledged[f"{name}.guard"] = link.guard.acknowledge
        self.parts.apps = make_apps(self.parts)
        self._links = made(LINKS, self.parts)
        self._users = made(USERS, self.parts)

    # What siblings, tests and reports look at.

    @property
    def store(self) -> Store:
        """The journal's writer."""
        return self.parts.store

    @property
    def bus(self) -> Bus:
        """State and alarms."""
        return self.parts.bus

    @property
    def wire(self) -> Wire[Message]:
        """The connection to the peers."""
        return self.parts.wire

    @property
    def rack(self) -> Rack:
        """The instruments."""
        return self.parts.rack

    @property
    def links(self) -> dict[str, Link]:
        """By name."""
        return self.parts.links

    @property
    def channels(self) -> dict[str, Channel]:
        """Where applications of two ends talk, by purpose."""
        return self.parts.channels

    @property
    def apps(self) -> dict[str, App]:
        """Resident applications, by name."""
        return self.parts.apps

    @property
    def supervision(self) -> Supervision:
        """How the services are."""
        return self.parts.supervision

    def exported(self) -> Mapping[str, Callable[[], Status]]:
        """What /metrics tells, by part; uptime counts from now on."""
        return with_indicators(self._figures(), self.parts)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; ends with everything in its safe state.

        Raises UserError for a mistake found at the start, ServiceLost when a vital service is lost.
        """
        async with (
            _while(self._kept(Service("journal", self.store.run, vital=True)), self.store.close),
            _while(self._kept(Service("bus", self.bus.run)), self.bus.close),
        ):
            self.store.event(
                "start",
                {"node": self.name, "config": str(self.config.path), "clock_s": self._clock()},
            )
            self.store.event("configuration", described(self.config))
            await self.wire.start()
            try:
                await self._run_services(stop)
            finally:
                await self.wire.close()
                self.store.event("stop", {"node": self.name})

    async def drain(self, reason: str) -> None:
        """Take no new request and let the open ones end; comes before the node is stopped."""
        self.parts.notifier.stopping(reason)
        await drain(self.parts, reason, limit_s=self.config.node.drain_s)

    def reload(self) -> list[str]:
        """Read the configuration again; what has changed. Raises UserError and changes nothing."""
        self.parts.notifier.reloading(time.monotonic_ns() // 1000)
        try:
            return reload(self.parts)
        finally:
            self.parts.notifier.ready(f"node {self.name} serves {len(self.links)} links")

    async def _run_services(self, stop: asyncio.Event) -> None:
        parts = self._figures()
        status = Service("status", lambda: publish_status(self.bus, self.store, parts, self._clock))
        others = [status]
        if self.config.metrics is not None:
            metrics = MetricsServer(self.config.metrics.listen, self.name, self.exported())
            others.append(Service("metrics", metrics.run))
        async with (
            _while(self._kept(Service("instruments", self.rack.run))),
            _while(self._kept(*self._links)),
            _while(self._kept(*self._users, *others)),
        ):
            self.wire.listen(self._dispatch)
            self.bus.set_state("ready")
            self.parts.notifier.ready(f"node {self.name} serves {len(self.links)} links")
            try:
                await stop.wait()
            finally:
                self.wire.listen(None)
                self.parts.notifier.stopping("instruments go to their safe states")
            self.store.event("stopping", {"node": self.name})

    def _kept(self, *services: Service) -> Coroutine[Any, Any, None]:
        return self.supervision.run(services)

    def _dispatch(self, received: Received[Message]) -> None:
        message = received.message
        if isinstance(message, AppMessage):
            channel = self.channels.get(message.app)
            if channel is not None:
                channel.deliver(message)
            return
        link = self.links.get(message.link)
        if link is not None:
            self._hand_over(message.link, link, received)

    def _hand_over(self, name: str, link: Link, received: Received[Message]) -> None:
        """A link that fails at a message is in no known state: it alone is started anew."""
        try:
            link.handle(received.peer, received.message)
        except Exception as error:
            self.supervision.fail(f"link-{name}", error)

    def _peer_up(self, peer: str) -> bool:
        return self._peers.get(peer, (False, None))[0]

    def _figures(self) -> dict[str, Callable[[], Status]]:
        return {each.name: each.status for each in (*self._links, *self._users) if each.status}

    def _peer_changed(self, status: PeerStatus) -> None:
        """Tell links, bus and journal of a peer that came, went, restarted, or is in trouble."""
        if status.trouble:
            self.bus.alarm(f"peer-{status.name}", f"{status.name}: {status.trouble}")
        else:
            self.bus.clear_alarm(f"peer-{status.name}")
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
        for name, link in self.links.items():
            try:
                link.peer_changed(status.name, up=up, restarted=restarted)
            except Exception as error:
                self.supervision.fail(f"link-{name}", error)

    def _service_changed(self, watched: Watched) -> None:
        name = watched.service.name
        if watched.failures == 0:
            return  # nothing to tell of a service that does what it should
        self.bus.publish("services", name, watched.state)
        self.bus.publish("services", f"{name}-failures", watched.failures)
        self.store.event(
            "service",
            {
                "name": name,
                "state": watched.state,
                "failures": watched.failures,
                "reason": watched.reason,
            },
        )
        if watched.state in ("restarting", "crash-loop"):
            said = "fails again and again" if watched.state == "crash-loop" else "has failed"
            self.bus.alarm(f"service-{name}", f"{name} {said}: {watched.reason}")
        else:
            self.bus.clear_alarm(f"service-{name}")

    def _alarm_changed(self, key: str, text: str) -> None:
        self.store.event("alarm", {"key": key, "text": text})

    def _store_changed(self, problem: str) -> None:
        if problem:
            self.bus.alarm("journal", problem)
        else:
            self.bus.clear_alarm("journal")

    def _parts(self, config: NodeConfig, around: Surroundings, seed: int | None) -> NodeParts:
        clock, boot = self._clock, around.boot()
        rng = random.Random(secrets.randbits(64) if seed is None else seed)
        bus = Bus(config.bus.url, self.name, broker=around.broker, on_alarm=self._alarm_changed)
        store = Store(
            config.node.data_dir / "journal.sqlite",
            clock=clock,
            wall=around.wall,
            on_problem=self._store_changed,
        )
        wire: Wire[Message] = Wire(
            config.wire,
            self.name,
            Message,
            on_peer=self._peer_changed,
            boot=boot,
            carrier=around.exchange.carrier(config.wire, self.name) if around.exchange else None,
        )
        rack = Rack(
            config,
            clock=clock,
            rng=rng,
            store=store,
            bus=bus,
            claims=Claims(wall=around.wall),
            memory=around.memory,
            start_guard=around.guard or GuardProcess.start,
        )
        return NodeParts(
            name=self.name,
            config=config,
            boot=boot,
            clock=clock,
            wall=around.wall,
            rng=rng,
            executor=around.executor,
            store=store,
            bus=bus,
            wire=wire,
            rack=rack,
            supervision=Supervision(clock, self._service_changed),
            devices=SharedDevices(clock),
            recorder=self._recorder(config, around.wall),
        )

    def _recorder(self, config: NodeConfig, wall: Callable[[], float]) -> TagRecorder | None:
        table = config.record
        if not table.record:
            return None
        return TagRecorder(
            table.directory or config.node.data_dir / "records",
            clock=self._clock,
            wall=wall,
            node=self.name,
            limits=Limits(table.segment_mb * 1_000_000, table.segment_s),
            on_problem=self._recorder_changed,
        )

    def _recorder_changed(self, problem: str) -> None:
        self.store.event("record", {"recording": not problem, "reason": problem})
        if problem:
            self.bus.alarm("record", problem)
        else:
            self.bus.clear_alarm("record")


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
    services: Coroutine[Any, Any, None],
    close: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> AsyncIterator[None]:
    """Run services beside the body: their failure ends the body, and the body's end ends them."""
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(services)
            try:
                yield
            finally:
                task.cancel()
    finally:
        if close is not None:
            await close()
