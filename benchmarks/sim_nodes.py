"""The whole node software on simulated devices, in virtual time: two nodes and a midpoint."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.frame import Row

SECONDS = 1.0
"""Simulated."""

DELAY_S = 5e-6
"""Light in a kilometre of fibre: as if a computer took no time at all for a message."""

LOCAL_NETWORK_S = 2e-4
"""With what two kernels and a switch take."""

LAB = """
[lab]
seed = 1
[memories.alice]
qubits = 5
t1_s = 10.0
t2_s = 1.0
gate_time_us = 1.0
[memories.bob]
qubits = 5
t1_s = 10.0
t2_s = 1.0
gate_time_us = 1.0
[midpoints.station]
ends = ["alice", "bob"]
attempt_period_us = 20.0
efficiency = { alice = 0.434, bob = 0.434 }
visibility = 0.95
[instruments]
alice = { type = "quantum-device", of = "memories.alice", port = 1, serial = "QM-A" }
bob = { type = "quantum-device", of = "memories.bob", port = 2, serial = "QM-B" }
station = { type = "quantum-device", of = "midpoints.station", port = 3, serial = "BSM-1" }
"""

NODE = """
[node]
name = "{name}"
id = {number}
data_dir = "data/{name}"
[wire]
listen = "mem://{name}"
secret_key = "none"
{peers}
[bus]
url = "mem://bus"
[instruments.device]
driver = "qnodeos.device"
resource = "mem://{name}"
[links.memory]
device = "device"
{link}
"""

PEER = """
[wire.peers.{name}]
id = {number}
address = "mem://{name}"
public_key = "none"
"""

END = """
kind = "memory"
peer = "{peer}"
station = "station"
minimum_useful_fidelity = 0.6
test_fraction = 0.0
"""

MIDPOINT = """
kind = "midpoint"
ends = ["alice", "bob"]
"""

PEER_LIMIT_S = 120.0

PEER_SHARE = 2.5 / 6.9
"""What the nodes may take of SeQUeNCe's time: that is the target of 2.5 s on any machine, as it
took 6.9 s at its best on the one for which the target was set."""

NAMES = {"alice": 1, "bob": 2, "station": 3}


def node_rows() -> list[Row]:
    """One second of a link that is kept as busy as it can be; every pair is measured at once.

    An attempt succeeds with probability 0.094, as in the double-click example that SeQUeNCe and
    MQNS are measured with; here the next one begins only when the pair before is stored at both
    ends, which costs about a twelfth of the attempts.
    """
    wall_s, cpu_s, heralds, measured = _run(DELAY_S)
    slow_wall_s, slow_cpu_s, slow_heralds, _ = _run(LOCAL_NETWORK_S)
    return [
        Row(
            "two nodes and a midpoint, 1 s simulated, with all node software",
            wall_s,
            "s",
            at_most=2.5,
        ),
        Row("the same, processor time", cpu_s, "s"),
        Row("heralds in it", heralds, ""),
        Row("pairs measured at both ends in it", measured, ""),
        Row("processor time a herald, three nodes and their devices", 1e6 * cpu_s / heralds, "us"),
        *_peer_rows(wall_s),
        Row("with 0.2 ms a message between nodes", slow_wall_s, "s"),
        Row("the same, processor time", slow_cpu_s, "s"),
        Row("heralds in it", slow_heralds, ""),
    ]


def _peer_rows(wall_s: float) -> list[Row]:
    """SeQUeNCe's time for 1 s of such a link, where QNODEOS_SEQUENCE names a Python that has it."""
    python = os.environ.get("QNODEOS_SEQUENCE")
    if not python:
        return []
    # -P: files beside it have names of the standard library.
    command = [python, "-P", str(Path(__file__).with_name("peer_sequence.py")), "--once"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        command, env=environment, check=True, capture_output=True, timeout=PEER_LIMIT_S
    ).stdout
    told = json.loads(said)
    return [
        Row("SeQUeNCe, 1 s of such a link", told["wall_s"], "s"),
        Row("its heralds", told["heralds"], ""),
        Row("of SeQUeNCe's time", 100 * wall_s / told["wall_s"], "%", at_most=100 * PEER_SHARE),
    ]


def _run(delay_s: float) -> tuple[float, float, int, int]:
    from timing.loop import run_virtual

    with tempfile.TemporaryDirectory() as folder:
        write_nodes(Path(folder))
        return run_virtual(_measured(Path(folder), delay_s))


def write_nodes(folder: Path, lab: str = LAB) -> None:
    """The lab's file and those of the three nodes."""
    (folder / "lab.toml").write_text(lab, encoding="utf-8")
    for name, number in NAMES.items():
        peers = "".join(PEER.format(name=n, number=i) for n, i in NAMES.items() if n != name)
        peer = "bob" if name == "alice" else "alice"
        link = MIDPOINT if name == "station" else END.format(peer=peer)
        text = NODE.format(name=name, number=number, peers=peers, link=link)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


async def _measured(folder: Path, delay_s: float) -> tuple[float, float, int, int]:
    """Wall and processor time, heralds, and pairs that both ends have measured."""
    from qnodeos.config import load_node
    from qnodeos.memory_link import MemoryLink
    from qnodeos.rehearsal import rehearsal
    from sim_backends.lab import load_lab

    nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
    async with rehearsal(load_lab(folder / "lab.toml"), nodes, delay_s=delay_s) as network:
        links = [network.nodes[name].links["memory"] for name in ("alice", "bob")]
        alice, bob = (link for link in links if isinstance(link, MemoryLink))
        while not (alice.ready and bob.ready):
            await network.lasts(0.05)
        counts = [0, 0]

        async def take(inbox: Any, end: int) -> None:
            async for pair in inbox:
                await pair.measure("Z")
                counts[end] += 1

        asked = alice.desk.ask(
            kind="K", number=1_000_000, minimum_fidelity=0.6, within_s=1e3, purpose="benchmark"
        )
        taking = [
            asyncio.create_task(take(bob.desk.accept("benchmark"), 1)),
            asyncio.create_task(take(asked, 0)),
        ]
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        await network.lasts(SECONDS)
        wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
        return wall_s, cpu_s, alice.counters["heralds"], min(counts)
