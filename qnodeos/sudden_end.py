"""What SIGKILL does to a rehearsed node: everything that its process held open ends at once.

A node of a rehearsal reaches the world only through what a `Hold` gives it. Once that is cut,
whatever its code still does while it is cancelled reaches nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import aiomqtt

from drivers.guard_inside import guard_inside
from drivers.links.memory import BytePipe, Dial, Registry
from drivers.safety import Guard, GuardEntry
from qnodeos.bus_memory import MemoryBroker, MemoryClient
from qnodeos.wire_memory import Exchange


class Hold:
    """One process's connections to instruments, peers and broker, and the guards it has started."""

    def __init__(self, registry: Registry, exchange: Exchange, broker: MemoryBroker, listen: str):
        self.memory: Registry = {name: partial(self._dial, dial) for name, dial in registry.items()}
        self._exchange, self._broker, self._listen = exchange, broker, listen
        self._starts_guard = guard_inside(registry)  # a guard outlives its node, and so its lines
        self._guards: list[Guard] = []
        self._pipes: list[BytePipe] = []
        self._clients: list[MemoryClient] = []
        self._cut = False

    def client(self, name: str, will: aiomqtt.Will | None = None) -> MemoryClient:
        """A client of the broker; see MemoryBroker. Raises aiomqtt.MqttError once cut."""
        if self._cut:
            raise aiomqtt.MqttError("the process was killed")
        self._clients.append(self._broker.client(name, will))
        return self._clients[-1]

    async def guard(
        self, entries: Sequence[GuardEntry], *, data_dir: Path, lease_s: float
    ) -> Guard:
        """Start a guard; see StartGuard."""
        self._guards.append(await self._starts_guard(entries, data_dir=data_dir, lease_s=lease_s))
        return self._guards[-1]

    def cut(self) -> None:
        """The process is killed: its lines end, its will is published, its guard acts."""
        self._cut = True
        carrier = self._exchange.at(self._listen)
        if carrier is not None:
            carrier.close()
        for client in self._clients:
            client.lose("the process was killed")
        for pipe in self._pipes:
            pipe.close()
        for guard in self._guards:
            guard.abandon()

    def _dial(self, dial: Dial) -> tuple[BytePipe, BytePipe]:
        if self._cut:
            raise ConnectionError("the process was killed")
        pipes = dial()
        self._pipes.extend(pipes)
        return pipes
