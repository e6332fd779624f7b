"""Purification on two nodes with the simulated lab: what applications measure is what was told."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.sim_nodes import LAB, NAMES, write_nodes
from link_layer.messages import ErrorCode
from qnodeos.config import load_node
from qnodeos.memory import PairExpired
from qnodeos.memory_link import MemoryLink
from qnodeos.pair import Pair
from qnodeos.rehearsal import Rehearsal, rehearsal
from qnodeos.requests import RequestEnded
from sim_backends.lab import load_lab
from timing.loop import run_virtual

SINGLE_CLICK = """scheme = "single_click"
bright_population = { alice = 0.2, bob = 0.2 }
residual_depolarising = 0.02
efficiency = { alice = 0.1, bob = 0.1 }"""
DOUBLE_CLICK = """efficiency = { alice = 0.434, bob = 0.434 }
residual_depolarising = 0.25"""
LEARNS_S = 1.5


def write(folder: Path, *, station: str, memory: str = "") -> None:
    lab = LAB.replace("efficiency = { alice = 0.434, bob = 0.434 }", station)
    write_nodes(folder, lab.replace("gate_time_us = 1.0", f"gate_time_us = 1.0\n{memory}"))
    for name in ("alice", "bob"):
        file = folder / f"{name}.toml"
        file.write_text(file.read_text().replace("test_fraction = 0.0", "test_fraction = 0.5"))


async def ends(network: Rehearsal) -> tuple[MemoryLink, MemoryLink]:
    found = [network.nodes[name].links["memory"] for name in ("alice", "bob")]
    alice, bob = (link for link in found if isinstance(link, MemoryLink))
    while not (alice.ready and bob.ready):
        await network.lasts(0.05)
    bob.desk.accept("learn")
    inbox = alice.desk.ask(
        kind="M", number=10**6, minimum_fidelity=0.5, within_s=1e5, purpose="learn"
    )
    await network.lasts(LEARNS_S)
    alice.desk.cancel(inbox)
    await network.lasts(0.1)
    return alice, bob


async def measured(
    network: Rehearsal,
    alice: MemoryLink,
    bob: MemoryLink,
    number: int,
    fidelity: float,
    **more: Any,
) -> tuple[float, float, list[Pair]]:
    """F from what both ends' applications measure, its standard error, and alice's pairs."""
    there = bob.desk.accept("test")
    here = alice.desk.ask(
        kind="K", number=number, minimum_fidelity=fidelity, within_s=1e5, purpose="test", **more
    )
    outcomes: dict[str, dict[int, tuple[str, int]]] = {"alice": {}, "bob": {}}
    pairs = []

    async def collect(name: str, inbox: Any) -> None:
        async for pair in inbox:
            basis = "XYZ"[pair.sequence % 3]
            if name == "alice":
                pairs.append(pair)
            try:
                outcomes[name][pair.sequence] = basis, await pair.measure(basis)
            except PairExpired:
                continue
            if name == "bob" and len(outcomes["bob"]) >= number:
                return

    async with asyncio.timeout(1e4), asyncio.TaskGroup() as tasks:
        tasks.create_task(collect("alice", here))
        taking = tasks.create_task(collect("bob", there))
        while len(pairs) < number:
            await network.lasts(0.1)
        await network.lasts(0.5)
        taking.cancel()
    bob.desk.leave("test")
    seen: dict[str, list[int]] = {"X": [], "Y": [], "Z": []}
    for sequence, (basis, outcome) in outcomes["alice"].items():
        if sequence in outcomes["bob"]:
            same = outcome == outcomes["bob"][sequence][1]
            seen[basis].append((1 if same else -1) * (-1 if basis == "Y" else 1))
    found = (1 + sum(float(np.mean(each)) for each in seen.values())) / 4
    error = np.sqrt(sum(float(np.var(each)) / len(each) for each in seen.values())) / 4
    return found, float(error), pairs


@pytest.mark.parametrize(
    ("station", "purify", "fidelity"),
    [(SINGLE_CLICK, "epl", 0.87), (DOUBLE_CLICK, "dejmps", 0.85), (SINGLE_CLICK, "auto", 0.84)],
)
def test_purified_pairs_are_as_good_as_told(
    tmp_path: Path, station: str, purify: str, fidelity: float
) -> None:
    write(tmp_path, station=station)

    async def scenario() -> None:
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(tmp_path / "lab.toml"), nodes, delay_s=1e-5) as network:
            alice, bob = await ends(network)
            raw = alice.quality.at().goodness.fidelity
            assert raw < fidelity - 0.03
            with pytest.raises(RequestEnded, match="is asked"):
                alice.desk.ask(
                    kind="K", number=1, minimum_fidelity=fidelity, within_s=9, purpose="test"
                )
            found, error, pairs = await measured(network, alice, bob, 150, fidelity, purify=purify)
            told = float(np.mean([pair.fidelity for pair in pairs]))
            good = pairs[0].good_at(pairs[0].heralded_s)
            assert told >= fidelity - 0.01
            assert abs(found - told) < 4 * error + (good.high - good.low) / 2
            assert good.low < good.fidelity < good.high
            assert alice.counters["purifications"] >= 150

    run_virtual(scenario(), limit_s=2000)


def test_a_memory_of_one_free_qubit_cannot_purify_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, station=SINGLE_CLICK)
    lab_file = tmp_path / "lab.toml"
    lab_file.write_text(lab_file.read_text().replace("qubits = 5", "qubits = 3"))

    async def scenario() -> str:
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(lab_file), nodes, delay_s=1e-5) as network:
            alice, _ = await ends(network)
            with pytest.raises(RequestEnded) as ended:
                alice.desk.ask(
                    kind="K",
                    number=1,
                    minimum_fidelity=0.84,
                    within_s=9,
                    purpose="test",
                    purify="auto",
                )
            assert ended.value.error is ErrorCode.NO_RESOURCES
            return ended.value.text

    text = run_virtual(scenario(), limit_s=100)
    assert "purification holds 2 pairs at once, memory has room for 1" in text


@pytest.mark.parametrize(
    ("poor", "gates", "purify", "says"),
    [
        ("bob", "XZYH", "dejmps", "the device cannot purify: it has no CNOT, S, SDG"),
        ("alice", "XYZ", "epl", "the device cannot purify: it has no CNOT"),
        ("alice", "XYZ", "auto", "the device cannot purify: it has no CNOT, H, S, SDG"),
    ],
)
def test_a_device_without_the_gates_cannot_purify_and_says_so(
    tmp_path: Path, poor: str, gates: str, purify: str, says: str
) -> None:
    write(tmp_path, station=SINGLE_CLICK)

    async def scenario() -> str:
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        lab = load_lab(tmp_path / "lab.toml")
        async with rehearsal(lab, nodes, delay_s=1e-5, start=False) as network:
            network.bench.world.memories[poor].gates = tuple(gates)
            for name in NAMES:
                network.start(name)
            alice, bob = await ends(network)
            bob.desk.accept("test")
            with pytest.raises(RequestEnded) as ended:
                async for _ in alice.desk.ask(
                    kind="K",
                    number=1,
                    minimum_fidelity=0.84,
                    within_s=9,
                    purpose="test",
                    purify=purify,
                ):
                    pass
            assert ended.value.error is ErrorCode.UNSUPPORTED
            return ended.value.text

    text = run_virtual(scenario(), limit_s=100)
    assert says in text
    assert text.startswith("bob refuses: " if poor == "bob" else "link memory: ")
