"""A whole network in one process: its nodes, its simulated lab, and all that is between them.

The nodes are the same code as in a process of their own. Their files may stay as they are:
addresses of the lab, of the other nodes and of the broker become `mem://` ones. On a
`timing.loop.VirtualLoop` an hour takes as long as its computing, and a seed decides everything.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from drivers.links.memory import BytePipe, Registry
from drivers.links.open import scheme
from qnodeos.bus_memory import BROKER, MemoryBroker
from qnodeos.config import NodeConfig
from qnodeos.errors import UserError
from qnodeos.runtime import Node, Surroundings
from qnodeos.sudden_end import Hold
from qnodeos.wire_memory import DELAY_S, Exchange
from sim_backends.bench import Bench
from sim_backends.faults.director import Director, direct
from sim_backends.faults.network import NetworkFaults, ways
from sim_backends.faults.script import FaultConfig
from sim_backends.lab import LabConfig
from sim_backends.mount_memory import MemoryPort
from sim_backends.places import resource_of
from sim_backends.seeds import generator
from sim_backends.truth import TruthLog

EPOCH_UNIX_S = 1_767_225_600.0
"""The wall clock of a rehearsal at loop time 0: 2026-01-01, the same at every run."""

STOP_LIMIT_S = 30.0

Tap = Callable[[str, str, bytes], None]
"""Told of all that is said: on which wire, which way (">" from the first named), the bytes."""


class Transcript:
    """What was said on every wire, as a digest a wire: of instants on the loop's clock, and bytes.

    With `keep` the words themselves are kept as well, for looking at a difference.
    """

    def __init__(self, clock: Callable[[], float], *, keep: bool = False):
        self.words: dict[str, list[tuple[float, str, bytes]]] = {}
        self._clock = clock
        self._keep = keep
        self._hashes: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def __call__(self, wire: str, way: str, data: bytes) -> None:
        """See Tap."""
        now_s = self._clock()
        if wire not in self._hashes:
            self._hashes[wire] = hashlib.sha256()
            self.counts[wire] = 0
        self._hashes[wire].update(f"{now_s!r} {way} {len(data)} ".encode() + data)
        self.counts[wire] += 1
        if self._keep:
            self.words.setdefault(wire, []).append((now_s, way, data))

    def digests(self) -> dict[str, str]:
        """SHA-256 of each wire, in the order of their names."""
        return {name: self._hashes[name].hexdigest() for name in sorted(self._hashes)}


@dataclass
class Rehearsal:
    """A network under rehearsal; made by `rehearsal`. Nodes can be ended and started again."""

    bench: Bench
    director: Director
    exchange: Exchange
    broker: MemoryBroker
    registry: Registry
    configs: Mapping[str, NodeConfig]
    seed: int
    executor: Executor = field(default_factory=Executor)
    """Stands for a process: the virtual loop calls in place whatever it is given."""
    nodes: dict[str, Node] = field(default_factory=dict)
    tolerant: bool = False
    """Services may fail, as they are started again; else `lasts` raises what one failed with."""
    _stops: dict[str, asyncio.Event] = field(default_factory=dict)
    _holds: dict[str, Hold] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _births: dict[str, int] = field(default_factory=dict)

    def start(self, name: str) -> Node:
        """Start a node, as `qnodeos run` would; its every start has a seed of its own."""
        self._births[name] = self._births.get(name, 0) + 1
        chance = random.Random(f"{self.seed} {name} {self._births[name]}")
        loop = asyncio.get_running_loop()
        config = self.configs[name]
        hold = Hold(self.registry, self.exchange, self.broker, config.wire.listen)
        node = Node(
            config,
            seed=chance.getrandbits(63),
            surroundings=Surroundings(
                wall=lambda: EPOCH_UNIX_S + loop.time(),
                boot=lambda: chance.getrandbits(63),
                executor=self.executor,
                memory=hold.memory,
                exchange=self.exchange,
                broker=hold,
                guard=hold.guard,
            ),
        )
        stop = asyncio.Event()
        self.nodes[name], self._stops[name], self._holds[name] = node, stop, hold
        self._tasks[name] = asyncio.create_task(node.run(stop), name=f"node {name}")
        return node

    async def stop(self, name: str) -> None:
        """End a node in good order, within a time limit; raises what it failed with."""
        self._stops[name].set()
        async with asyncio.timeout(STOP_LIMIT_S):
            await self._tasks[name]

    async def kill(self, name: str) -> None:
        """End a node as SIGKILL does: nothing is said, written or put right."""
        self.nodes[name].store.abandon()
        self._holds[name].cut()
        task = self._tasks.pop(name)
        task.cancel()
        async with asyncio.timeout(STOP_LIMIT_S):
            await asyncio.wait([task])

    async def lasts(self, seconds: float) -> None:
        """Let it live; raises at once what a node fails with."""
        running = [task for task in self._tasks.values() if not task.done()]
        done, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for name, task in self._tasks.items():
            if task in done:
                task.result()
                raise RuntimeError(f"node {name} has ended by itself")
        if not self.tolerant:
            for name, node in self.nodes.items():
                for watched in node.supervision.watched.values():
                    if watched.failures:
                        raise RuntimeError(
                            f"service {watched.service.name} of {name} has failed: {watched.reason}"
                        ) from watched.error


@asynccontextmanager
async def rehearsal(
    lab: LabConfig,
    nodes: Sequence[NodeConfig],
    *,
    seed: int | None = None,
    tap: Tap | None = None,
    faults: Sequence[FaultConfig] = (),
    drawn: Iterable[FaultConfig] = (),
    delay_s: float = DELAY_S,
    start: bool = True,
) -> AsyncIterator[Rehearsal]:
    """The lab lives and the nodes run while inside; then they are ended in good order.

    `seed` is that of all nodes' chance, by default the lab's. `faults` are beside those of the lab
    file, `drawn` come in the order of their onsets. `delay_s` is how long a message takes between
    two nodes, or a node and the broker. Raises UserError.
    """
    loop = asyncio.get_running_loop()
    bench = Bench(lab, TruthLog(lab.lab.truth), unix_s=lambda: EPOCH_UNIX_S + loop.time())
    registry = lines_of(bench, lab, tap)
    troubles = NetworkFaults(generator(lab.lab.seed, "faults.network"), delay_s=delay_s)
    network = Rehearsal(
        bench,
        direct(bench, faults, drawn=drawn, network=troubles),
        Exchange(road=troubles.carry, tap=_wire_tap(tap)),
        MemoryBroker(road=troubles.carry, tap=_bus_tap(tap)),
        registry,
        {config.node.name: in_memory(config, lab) for config in nodes},
        lab.lab.seed if seed is None else seed,
    )
    life = asyncio.create_task(bench.run(), name="simulated lab")
    network.director.start()
    try:
        if start:
            for config in nodes:
                network.start(config.node.name)
        yield network
    finally:
        for name, task in network._tasks.items():
            if not task.done():
                await network.stop(name)
        network.director.close()
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        bench.close()


def ends_of(nodes: Iterable[NodeConfig]) -> list[str]:
    """What a fault of the network can be of, among these nodes and the broker."""
    return ways([*(config.node.name for config in nodes), BROKER])


def in_memory(config: NodeConfig, lab: LabConfig) -> NodeConfig:
    """A node's configuration with every address that is of the lab or the network in memory.

    Raises UserError for an instrument that the lab does not have.
    """
    names = {
        resource_of(lab, name, socket): _far_end(name, socket, index)
        for name, item in lab.instruments.items()
        for index, socket in enumerate(item.addresses)
    }
    known = {f"mem://{name}" for name in names.values()}
    instruments = {}
    for name, table in config.instruments.items():
        there = names.get(table.resource.partition("?")[0])
        resource = table.resource if there is None else f"mem://{there}"
        if resource not in known and scheme(resource) != "file":
            raise UserError(
                "this instrument is not in the simulated lab",
                where=f"{config.path}: instruments.{name}.resource",
                found=table.resource,
                expected=f"one of {', '.join(sorted(names))}",
                do="give its address in the lab file, or rehearse without it",
            )
        options = {
            key: f"mem://{names[value]}" if isinstance(value, str) and value in names else value
            for key, value in table.options.items()
        }
        instruments[name] = table.model_copy(update={"resource": resource, "options": options})
    peers = {
        name: peer.model_copy(update={"address": _as_memory(peer.address)})
        for name, peer in config.wire.peers.items()
    }
    wire = config.wire.model_copy(update={"listen": _as_memory(config.wire.listen), "peers": peers})
    bus = config.bus.model_copy(update={"url": f"mem://{BROKER}"})
    return config.model_copy(update={"instruments": instruments, "wire": wire, "bus": bus})


def lines_of(bench: Bench, lab: LabConfig, tap: Tap | None) -> Registry:
    """The far ends of `mem://` links to every instrument, by name and, for others than its first
    socket, name-socket."""
    return {
        _far_end(name, socket, index): partial(_dial, bench, name, socket, tap)
        for name, item in lab.instruments.items()
        for index, socket in enumerate(item.addresses)
    }


def _wire_tap(tap: Tap | None) -> Callable[[str, str, bytes], None]:
    if tap is None:
        return lambda *_: None
    return lambda one, other, data: tap(f"wire {one}-{other}", ">", data)


def _bus_tap(tap: Tap | None) -> Callable[[str, str, bytes], None]:
    if tap is None:
        return lambda *_: None
    return lambda node, topic, data: tap(f"bus {node}", ">", topic.encode() + b" " + data)


def _far_end(instrument: str, socket: str, index: int) -> str:
    return instrument if index == 0 else f"{instrument}-{socket.removesuffix('_port')}"


def _as_memory(address: str) -> str:
    return "mem://" + address.partition("://")[2].replace(":", "-").replace("*", "any")


def _dial(bench: Bench, name: str, socket: str, tap: Tap | None) -> tuple[BytePipe, BytePipe]:
    line = bench.lines[name][socket]
    if line.refuses:
        raise ConnectionRefusedError(f"{name} is switched off")
    if line.pulled:
        raise ConnectionError(f"no route to {name}")
    if tap is None:
        port = bench.memory(name, socket)
        return port, port
    pipe = _Tapped(bench.memory(name, socket), f"{name} {socket}", tap)
    return pipe, pipe


class _Tapped:
    """A pipe to an instrument that is listened to."""

    def __init__(self, port: MemoryPort, wire: str, tap: Tap):
        self._port, self._wire, self._tap = port, wire, tap

    async def read(self) -> bytes:
        data = await self._port.read()
        self._tap(self._wire, "<", data)
        return data

    async def write(self, data: bytes) -> None:
        self.write_now(data)

    def write_now(self, data: bytes) -> bool:
        self._tap(self._wire, ">", data)
        return self._port.write_now(data)

    def close(self) -> None:
        self._port.close()
