"""Nodes of a network in one process, on virtual time, over a wire that can fail.

    @on_virtual_time
    async def test_...(network, tmp_path):
        async with network(tmp_path) as net:          # lab, alice, bob, station: all real parts
            pairs = net.ask("alice", number=5)

Only the wire between the nodes is a stand-in: it delivers messages after a delay, in order, and can
lose, duplicate, reorder and hold them back, cut peers off and restart them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.optics.ell14 import WaveplateAnalyzer
from drivers.plugin import make_instrument
from drivers.quantum.open_device import OpenDevice
from drivers.supervisor import Supervisor
from drivers.taggers.tdc1 import Tdc1
from link_layer.messages import AppMessage, Message
from qnodeos.apps.channel import Channel
from qnodeos.bus import Bus
from qnodeos.config import MemoryLinkTable, MidpointTable, PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.journal import Journal, read_journal
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.photonic import PhotonicLink
from qnodeos.requests import Inbox, RequestEnded
from qnodeos.store import Store
from sim_backends.lab import load_lab
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog

IDS = {"alice": 1, "bob": 2, "station": 3}
NOTICE_S = 1.4
"""How long a peer is silent before it is called lost."""

MEMORY_LAB = """
[lab]
seed = {seed}
[memories.alice]
qubits = {qubits}
t1_s = {t1_s}
t2_s = {t2_s}
gate_error = {gate_error}
two_qubit_gate_error = {gate_error}
readout_error = {readout_error}
gate_time_us = {gate_time_us}
readout_time_us = 50.0
{differs}
[memories.bob]
qubits = {qubits}
t1_s = {t1_s}
t2_s = {t2_s}
gate_error = {gate_error}
two_qubit_gate_error = {gate_error}
readout_error = {readout_error}
gate_time_us = {gate_time_us}
readout_time_us = 50.0
[midpoints.station]
ends = ["alice", "bob"]
attempt_period_us = 20.0
efficiency = {{ alice = {efficiency}, bob = {efficiency} }}
visibility = {visibility}
dark_probability = {dark}
{station}
[instruments]
alice = {{ type = "quantum-device", of = "memories.alice", port = 1, serial = "QM-A" }}
bob = {{ type = "quantum-device", of = "memories.bob", port = 2, serial = "QM-B" }}
station = {{ type = "quantum-device", of = "midpoints.station", port = 3, serial = "BSM-1" }}
"""
MEMORY_NUMBERS = {
    "seed": 1,
    "qubits": 5,
    "t1_s": 100.0,
    "t2_s": 2.0,
    "gate_error": 0.0,
    "gate_time_us": 20.0,
    "readout_error": 0.0,
    "efficiency": 0.3,
    "visibility": 0.95,
    "dark": 0.0,
    "differs": "",
    "station": "",
}

PHOTONIC_LAB = """
[lab]
seed = {seed}
[lasers.pump]
threshold_ma = 40.0
slope_mw_per_ma = 0.2
max_current_ma = 120.0
wavelength_nm = 405.0
[sources.crystal]
pump = "pump"
pairs_per_s_per_mw = {pairs_per_s_per_mw}
bell_state = "PHI_PLUS"
fidelity = {fidelity}
ends = ["alice", "bob"]
[channels.alice]
loss_db = 6.0
[channels.bob]
length_km = 10.0
loss_db = 6.0
[analyzers.alice]
[analyzers.bob]
[detectors.alice]
channels = 2
efficiency = 0.8
full_bias_ua = 20.0
dark_cps = 200.0
jitter_ps = 80.0
dead_time_ns = 60.0
[detectors.bob]
channels = 2
efficiency = 0.8
full_bias_ua = 20.0
dark_cps = 300.0
jitter_ps = 90.0
dead_time_ns = 60.0
[taggers.alice]
skew_ppm = 3.1
white_fm_1s = 1e-11
power_on_s = -17.3
inputs = {{ 1 = "alice.1", 2 = "alice.2" }}
[taggers.bob]
skew_ppm = -4.6
white_fm_1s = 1e-11
power_on_s = -4.9
inputs = {{ 1 = "bob.1", 2 = "bob.2" }}
[instruments]
pump = {{ type = "dlcpro", of = "lasers.pump", port = 1, serial = "P" }}
alice-detectors = {{ type = "websq", of = "detectors.alice", port = 2, counts_port = 3 }}
bob-detectors = {{ type = "websq", of = "detectors.bob", port = 4, counts_port = 5 }}
alice-tagger = {{ type = "tdc1", of = "taggers.alice", pty = "at", serial = "TDC1-A" }}
bob-tagger = {{ type = "tdc1", of = "taggers.bob", pty = "bt", serial = "TDC1-B" }}
alice-analyzer = {{ type = "ell14", of = "analyzers.alice", pty = "aa", serial = "11400117" }}
bob-analyzer = {{ type = "ell14", of = "analyzers.bob", pty = "ba", serial = "11400118" }}
"""
PHOTONIC_NUMBERS = {"seed": 1, "pairs_per_s_per_mw": 8000.0, "fidelity": 0.965}


@dataclass
class Faults:
    """What the wire does to a message: probabilities, and the range of its delay in seconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_s: tuple[float, float] = (0.0002, 0.0005)
    late_s: float = 0.05
    """How much later at most a reordered message comes."""

    lose: Callable[[str, str, Message], bool] = lambda *_: False
    """Messages that are lost on purpose: from, to, message."""

    spared: tuple[type, ...] = ()
    """What is never lost by chance."""


class Wire:
    """Carries messages as bytes from node to node, at most once and in order unless told else."""

    def __init__(self, seed: int):
        self.faults = Faults()
        self.counters: Counter[str] = Counter()
        self.sent: list[tuple[str, str, Message]] = []
        self.nodes: dict[str, Node] = {}
        self._rng = random.Random(seed)
        self._cut: set[frozenset[str]] = set()
        self._last_s: dict[tuple[str, str], float] = {}

    def joined(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self._cut

    def send(self, sender: Node, to: str, message: Message) -> bool:
        if sender.dead or not sender.peers.get(to):
            return False
        self.sent.append((sender.name, to, message))
        data = msgspec.msgpack.encode(message)
        faults, rng = self.faults, self._rng
        for _ in range(1 + (rng.random() < faults.duplicate)):
            lost = rng.random() < faults.loss and not isinstance(message, faults.spared)
            if lost or faults.lose(sender.name, to, message):
                self.counters["lost"] += 1
                continue
            loop = asyncio.get_running_loop()
            due_s = loop.time() + rng.uniform(*faults.delay_s)
            if rng.random() < faults.reorder:
                due_s += rng.uniform(0, faults.late_s)
            elif not faults.reorder:
                due_s = max(due_s, self._last_s.get((sender.name, to), 0.0))
                self._last_s[sender.name, to] = due_s
            loop.call_at(due_s, self._arrive, sender, self.nodes[to], data)
        return True

    def _arrive(self, sender: Node, to: Node, data: bytes) -> None:
        if sender.dead or to.dead or not self.joined(sender.name, to.name):
            self.counters["unreachable"] += 1
            return
        to.receive(sender.name, msgspec.msgpack.decode(data, type=Message))

    async def cut(self, one: str, other: str) -> None:
        """Part two nodes; both call the other lost after a while."""
        self._cut.add(frozenset((one, other)))
        await asyncio.sleep(NOTICE_S)
        self.nodes[one].see(other, up=False)
        self.nodes[other].see(one, up=False)

    def mend(self, one: str, other: str) -> None:
        self._cut.discard(frozenset((one, other)))
        self.nodes[one].see(other, up=True)
        self.nodes[other].see(one, up=True)


class Node:
    """One process's worth of services, without sockets. Dies and is replaced, never revived."""

    def __init__(self, name: str, wire: Wire, folder: Path, seed: int):
        self.name, self.dead = name, False
        self.peers: dict[str, bool] = {}
        self.links: dict[str, MemoryLink | Midpoint | PhotonicLink] = {}
        self.channels: dict[str, Channel] = {}
        self.supervisors: dict[str, Supervisor] = {}
        self.crashes: list[BaseException] = []
        self.rng = random.Random(seed)
        self.clock = asyncio.get_running_loop().time
        folder.mkdir(exist_ok=True)
        self.store = Store(folder / f"{name}.sqlite", clock=self.clock, wall=self.clock)
        self._wire = wire
        self._tasks: list[asyncio.Task[None]] = []
        wire.nodes[name] = self

    def context(self) -> NodeContext:
        return NodeContext(
            name=self.name,
            node_id=IDS[self.name],
            send=lambda to, message: self._wire.send(self, to, message),
            peer_up=lambda peer: self.peers.get(peer, False),
            clock=self.clock,
            rng=random.Random(self.rng.getrandbits(64)),
            store=self.store,
            bus=Bus("mqtt://127.0.0.1:1", self.name),
        )

    def channel(self, app: str, peer: str) -> Channel:
        self.channels[app] = Channel(app, lambda word: self._wire.send(self, peer, word))
        return self.channels[app]

    def start(self, service: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(service)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def receive(self, sender: str, message: Message) -> None:
        if not self.peers.get(sender):
            self.see(sender, up=True)
        try:
            if isinstance(message, AppMessage):
                if message.app in self.channels:
                    self.channels[message.app].deliver(message)
            elif message.link in self.links:
                self.links[message.link].handle(sender, message)
        except Exception as crash:  # in a node it would end the dispatcher, and so the node
            self.crashes.append(crash)

    def see(self, peer: str, *, up: bool, restarted: bool = False) -> None:
        if self.dead or (self.peers.get(peer, False) == up and not restarted):
            return
        self.peers[peer] = up
        for link in self.links.values():
            link.peer_changed(peer, up=up, restarted=restarted)

    async def stop(self) -> None:
        self.dead = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (crash := task.exception()) is not None:
            self.crashes.append(crash)


class Plug:
    """The far ends of `mem://` links: instruments of the bench that can be unplugged."""

    def __init__(self, bench: Bench):
        self._bench = bench
        self._ports: dict[str, list[Any]] = {}
        self._off: set[str] = set()

    def registry(self) -> dict[str, Any]:
        return {
            f"{name}.{socket}": partial(self._dial, name, socket)
            for name, sockets in self._bench.sockets.items()
            for socket in sockets
        }

    def unplug(self, name: str) -> None:
        """Cut its connections; it is absent until `plug`."""
        self._off.add(name)
        for port in self._ports.pop(name, []):
            port.close()

    def plug(self, name: str) -> None:
        self._off.discard(name)

    def _dial(self, name: str, socket: str) -> tuple[Any, Any]:
        if name in self._off:
            raise ConnectionRefusedError(f"{name} is unplugged")
        port = self._bench.memory(name, socket)
        self._ports.setdefault(name, []).append(port)
        return port, port


@dataclass
class Network:
    """Everything of one test."""

    folder: Path
    wire: Wire
    bench: Bench
    plugs: Plug
    seed: int
    link_options: dict[str, Any]
    executor: Executor = field(default_factory=Executor)
    """Stands for a process: the virtual loop calls in place whatever it is given."""
    births: int = 0
    buried: list[Node] = field(default_factory=list)

    def node(self, name: str) -> Node:
        return self.wire.nodes[name]

    def link(self, name: str) -> MemoryLink:
        link = self.wire.nodes[name].links["memory"]
        assert isinstance(link, MemoryLink)
        return link

    def station(self) -> Midpoint:
        link = self.wire.nodes["station"].links["memory"]
        assert isinstance(link, Midpoint)
        return link

    def photonic(self, name: str) -> PhotonicLink:
        link = self.wire.nodes[name].links["photonic"]
        assert isinstance(link, PhotonicLink)
        return link

    def ask(self, name: str, **wishes: Any) -> Inbox[Any]:
        link = self.wire.nodes[name].links
        kind = "K" if "memory" in link else "M"
        desk = next(iter(link.values())).desk  # type: ignore[union-attr]
        return desk.ask(  # type: ignore[no-any-return]
            **{
                "kind": kind,
                "number": 5,
                "minimum_fidelity": 0.6,
                "within_s": 10.0,
                "purpose": "test",
                **wishes,
            }
        )

    def born(self, name: str, *, seed: int | None = None) -> Node:
        """A new process of this node, which the others get to see."""
        self.births += 1
        node = Node(
            name,
            self.wire,
            self.folder,
            1000 * self.seed + self.births if seed is None else seed,
        )
        if "memory" in self.link_options:
            self._memory_services(node)
        if "photonic" in self.link_options and name != "station":
            self._photonic_services(node)
        return node

    def meet(self) -> None:
        """All nodes see each other."""
        for one in self.wire.nodes.values():
            for other in self.wire.nodes:
                if other != one.name and self.wire.joined(one.name, other):
                    one.see(other, up=True)

    async def die(self, name: str) -> None:
        """The process ends; its peers notice at once, as closed connections let them."""
        node = self.wire.nodes[name]
        await node.stop()
        self.buried.append(node)
        for other in self.wire.nodes.values():
            other.see(name, up=False)

    async def restart(self, name: str, *, after_s: float = 0.5, seed: int | None = None) -> Node:
        """Kill a node and start it again."""
        await self.die(name)
        await asyncio.sleep(after_s)
        node = self.born(name, seed=seed)
        for other in self.wire.nodes.values():
            if other is not node:
                other.see(name, up=True, restarted=True)
                node.see(other.name, up=True)
        return node

    def journal(self, name: str) -> Journal:
        return read_journal(self.folder / f"{name}.sqlite")

    def _supervise(self, node: Node, name: str, driver: Any, plug: str, options: Any) -> Supervisor:
        supervisor = Supervisor(
            name,
            lambda: make_instrument(
                driver,
                f"mem://{plug}",
                owner=f"{node.name}/{name}",
                options=options,
                memory=self.plugs.registry(),
            ),
            rng=random.Random(node.rng.getrandbits(64)),
        )
        node.supervisors[name] = supervisor
        node.start(supervisor.run())
        return supervisor

    def _memory_services(self, node: Node) -> None:
        device = self._supervise(node, "device", OpenDevice, f"{node.name}.port", None)
        link: MemoryLink | Midpoint
        if node.name == "station":
            table = MidpointTable(kind="midpoint", ends=("alice", "bob"), device="device")
            link = Midpoint("memory", table, node.context(), supervisor=device)
        else:
            peer = "bob" if node.name == "alice" else "alice"
            link = MemoryLink(
                "memory",
                MemoryLinkTable(
                    kind="memory",
                    peer=peer,
                    station="station",
                    device="device",
                    **self.link_options["memory"],
                ),
                node.context(),
                peer_id=IDS[peer],
                supervisor=device,
            )
        node.links["memory"] = link
        node.start(link.run())

    def _photonic_services(self, node: Node) -> None:
        peer = "bob" if node.name == "alice" else "alice"
        link = PhotonicLink(
            "photonic",
            PhotonicLinkTable(
                kind="photonic",
                peer=peer,
                tagger="tagger",
                analyzer="analyzer",
                outcome_channels=(1, 2),
                window_ps=6000,
                clock_noise_1s=1e-11,
                **self.link_options["photonic"],
            ),
            node.context(),
            peer_id=IDS[peer],
            tagger=self._supervise(node, "tagger", Tdc1, f"{node.name}-tagger.pty", None),
            analyzer=self._supervise(
                node, "analyzer", WaveplateAnalyzer, f"{node.name}-analyzer.pty", None
            ),
            executor=self.executor,
        )
        node.links["photonic"] = link
        node.start(link.run())


@asynccontextmanager
async def _network(
    folder: Path,
    *,
    photonic: bool = False,
    seed: int = 1,
    truth: bool = False,
    test_fraction: float = 0.0,
    minimum_useful_fidelity: float = 0.6667,
    basis_dwell_s: float = 0.6,
    ready: bool = True,
    link: dict[str, Any] | None = None,
    **numbers: Any,
) -> AsyncIterator[Network]:
    """A lab with alice and bob, and a station unless photonic. `numbers` change those of the lab,
    `link` the entries of the link; `ready`: wait until all links are. Fails if one crashed."""
    text = (
        PHOTONIC_LAB.format(**(PHOTONIC_NUMBERS | {"seed": seed} | numbers))
        if photonic
        else MEMORY_LAB.format(**(MEMORY_NUMBERS | {"seed": seed} | numbers))
    )
    (folder / "lab.toml").write_text(text)
    log = TruthLog(folder / "truth.jsonl" if truth else None)
    bench = Bench(load_lab(folder / "lab.toml"), log, unix_s=asyncio.get_running_loop().time)
    life = asyncio.create_task(bench.run())
    wire = Wire(seed)
    options: dict[str, Any] = (
        {
            "photonic": {
                "test_fraction": test_fraction,
                "basis_dwell_s": basis_dwell_s,
                **(link or {}),
            }
        }
        if photonic
        else {
            "memory": {
                "test_fraction": test_fraction,
                "minimum_useful_fidelity": minimum_useful_fidelity,
                **(link or {}),
            }
        }
    )
    net = Network(folder, wire, bench, Plug(bench), seed, options)
    if photonic:
        await _light(bench)
    try:
        for name in ("alice", "bob") if photonic else ("alice", "bob", "station"):
            net.born(name)
        net.meet()
        if ready:
            for _ in range(400):
                if all(_ready(net, name) for name in ("alice", "bob")):
                    break
                await asyncio.sleep(0.05)
            else:
                raise TimeoutError("the links are not ready after 20 s")
        yield net
    finally:
        for node in wire.nodes.values():
            if not node.dead:
                await node.stop()
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        bench.close()
    crashes = [crash for node in (*wire.nodes.values(), *net.buried) for crash in node.crashes]
    if crashes:
        raise ExceptionGroup("services crashed", crashes)  # type: ignore[type-var]


def _ready(net: Network, name: str) -> bool:
    node = net.node(name)
    return all(
        supervisor.status.state == "online" for supervisor in node.supervisors.values()
    ) and all(link.ready for link in node.links.values() if not isinstance(link, Midpoint))


async def _light(bench: Bench) -> None:
    """Pump and detectors on, by their bytes; no driver of ours is under test there."""
    pump = bench.memory("pump")
    await pump.write(b"(param-set! 'laser1:dl:cc:current-set 90.0)\n")
    await pump.write(b"(param-set! 'laser1:dl:cc:enabled #t)\n")
    for end in ("alice", "bob"):
        await bench.memory(f"{end}-detectors").write(
            b'{"command": "SetAllBiasCurrents", "value": [20, 20]}'
            b'{"command": "DetectorEnable", "value": true}'
        )


@pytest.fixture
def network() -> Callable[..., Any]:
    """Makes a `Network`: see `_network`."""
    return _network


@pytest.fixture
def collect() -> Callable[..., Any]:
    """Takes all deliveries of an inbox: (items, how it ended early or None)."""

    async def collecting(inbox: Inbox[Any]) -> tuple[list[Any], RequestEnded | None]:
        items: list[Any] = []
        try:
            async for item in inbox:
                items.append(item)
        except RequestEnded as ended:
            return items, ended
        return items, None

    return collecting
