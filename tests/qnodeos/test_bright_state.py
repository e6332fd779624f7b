"""The bright state of a single-click link is chosen for the fidelity that is asked, and the lab's
own record says whether that was right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.sim_nodes import LAB, NAMES, write_nodes
from link_layer.messages import ErrorCode
from qnodeos.config import load_node
from qnodeos.memory_link import MemoryLink
from qnodeos.rehearsal import Rehearsal, rehearsal
from qnodeos.requests import RequestEnded
from sim_backends.heralding import HeraldOdds
from sim_backends.lab import load_lab
from timing.loop import run_virtual

SINGLE_CLICK = """scheme = "single_click"
bright_population = { alice = 0.5, bob = 0.5 }
residual_depolarising = 0.08
efficiency = { alice = 0.02, bob = 0.02 }"""
BRIGHT_STATE = "\n[links.memory.bright_state]\nlowest = 0.02\nhighest = 0.5\n"
LEARNS_S, LASTS_S = 6.0, 8.0


def write(folder: Path, *, lab: str = SINGLE_CLICK) -> None:
    text = LAB.replace("efficiency = { alice = 0.434, bob = 0.434 }", lab)
    write_nodes(folder, text.replace("seed = 1", f'seed = 1\ntruth = "{folder}/truth.jsonl"'))
    for name in ("alice", "bob"):
        file = folder / f"{name}.toml"
        told = file.read_text().replace("test_fraction = 0.0", "test_fraction = 0.3")
        file.write_text(told + BRIGHT_STATE)


def fidelities(folder: Path, network: Rehearsal, since_s: float) -> list[float]:
    """What the pairs heralded since then truly were."""
    network.bench.world.truth.flush()
    rows = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    return [
        row["fidelity_to_heralded"]
        for row in rows
        if row["kind"] == "herald" and row["t_s"] >= since_s
    ]


async def ends(network: Rehearsal) -> tuple[MemoryLink, MemoryLink]:
    found = [network.nodes[name].links["memory"] for name in ("alice", "bob")]
    alice, bob = (link for link in found if isinstance(link, MemoryLink))
    while not (alice.ready and bob.ready):
        await network.lasts(0.05)
    return alice, bob


def asked(link: MemoryLink, fidelity: float) -> Any:
    return link.desk.ask(
        kind="M", number=10**6, minimum_fidelity=fidelity, within_s=1e5, purpose="test"
    )


def test_pairs_are_as_good_as_asked_and_no_better(tmp_path: Path) -> None:
    write(tmp_path)
    wanted = (0.6, 0.75)

    async def scenario() -> dict[float, tuple[list[float], float]]:
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        found = {}
        async with rehearsal(load_lab(tmp_path / "lab.toml"), nodes, delay_s=1e-5) as network:
            alice, bob = await ends(network)
            bob.desk.accept("test")
            for fidelity in wanted:
                inbox = asked(alice, fidelity)
                await network.lasts(LEARNS_S)
                since_s = network.bench.world.time_s()
                await network.lasts(LASTS_S)
                true = fidelities(tmp_path, network, since_s)
                for link in (alice, bob):
                    good = link.quality.at(link.quality.setting_for(fidelity)).goodness
                    assert good.low - 0.01 < np.mean(true) < good.high + 0.01
                setting = alice.quality.setting_for(fidelity)
                assert setting is not None
                found[fidelity] = true, setting
                alice.desk.cancel(inbox)
                await network.lasts(0.1)
        return found

    found = run_virtual(scenario(), limit_s=300)
    lab = load_lab(tmp_path / "lab.toml").midpoints["station"]
    for fidelity, (true, setting) in found.items():
        error = np.std(true) / np.sqrt(len(true))
        assert abs(np.mean(true) - fidelity) < 0.03 + 4 * error
        bright = dict.fromkeys(("alice", "bob"), setting)
        by_theory = HeraldOdds.of(lab.model_copy(update={"bright_population": bright})).fidelity
        assert abs(by_theory - fidelity) < 0.03
    assert found[0.6][1] > 1.5 * found[0.75][1]
    assert len(found[0.6][0]) > 1.2 * len(found[0.75][0])


def test_a_request_that_turns_out_to_ask_too_much_is_ended(tmp_path: Path) -> None:
    """The model knows nothing of a depolarised link before the test rounds show it."""
    write(tmp_path)

    async def scenario() -> RequestEnded:
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(tmp_path / "lab.toml"), nodes, delay_s=1e-5) as network:
            alice, bob = await ends(network)
            bob.desk.accept("test")
            inbox = asked(alice, 0.97)
            with pytest.raises(RequestEnded) as ended:
                async for _ in inbox:
                    pass
            with pytest.raises(RequestEnded, match=r"fidelity 0\.970 is asked, .* 0\.9\d* at most"):
                asked(alice, 0.97)
            return ended.value

    ended = run_virtual(scenario(), limit_s=300)
    assert ended.error is ErrorCode.UNSUPPORTED
    assert "fidelity 0.970 is asked, link memory gives 0.9" in ended.text


def test_a_station_of_two_clicks_takes_no_bright_state(tmp_path: Path) -> None:
    """The device refuses; no pair is made that would be told a fidelity it has not."""
    write(tmp_path, lab="efficiency = { alice = 0.434, bob = 0.434 }")

    async def scenario() -> tuple[int, int]:
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(tmp_path / "lab.toml"), nodes, delay_s=1e-5) as network:
            alice, bob = await ends(network)
            bob.desk.accept("test")
            asked(alice, 0.6)
            await network.lasts(2.0)
            return alice.counters["delivered"], alice.counters["rounds_failed"]

    delivered, failed = run_virtual(scenario(), limit_s=60)
    assert delivered == 0
    assert failed > 3
