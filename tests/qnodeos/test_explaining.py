"""`why`: each line says what is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.sim_nodes import NAMES, write_nodes
from qnodeos.api_session import Session
from qnodeos.cli.why import lines
from qnodeos.config import load_node
from qnodeos.explaining import why_method
from qnodeos.memory_link import MemoryLink
from qnodeos.rehearsal import Rehearsal, rehearsal
from qnodeos.requests import Inbox
from sim_backends.lab import load_lab
from timing.loop import run_virtual


async def why(network: Rehearsal, node: str, request: str = "") -> list[dict[str, Any]]:
    parts = network.nodes[node].parts
    found: list[dict[str, Any]] = await why_method(parts)(
        Session(parts), lambda *_: None, request=request
    )
    return found


def ask(link: MemoryLink, purpose: str, number: int, **more: Any) -> Inbox[Any]:
    return link.desk.ask(
        kind="K", number=number, minimum_fidelity=0.6, within_s=60.0, purpose=purpose, **more
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_nodes(tmp_path)
    return tmp_path


def test_an_open_request_says_what_it_waits_for(folder: Path) -> None:
    async def scenario() -> None:
        nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(folder / "lab.toml"), nodes, delay_s=1e-5) as network:
            links = [network.nodes[name].links["memory"] for name in ("alice", "bob")]
            alice, bob = (each for each in links if isinstance(each, MemoryLink))
            while not (alice.ready and bob.ready):
                await network.lasts(0.05)
            for purpose in ("low", "high", "later"):
                bob.desk.accept(purpose)
            ask(alice, "low", 50)
            ask(alice, "high", 70, priority=2)
            await network.lasts(0.2)

            (low,) = await why(network, "alice", "low")
            (high,) = await why(network, "alice", high_id(alice))
            # Nobody collects: the memory is full, and that is what both wait for.
            assert low["requests_ahead"] == 1
            assert low["ahead"][0]["request"] == high["request"]
            assert low["ahead"][0]["priority"] == 2
            assert low["pairs_ahead"] == high["number"] - high["delivered"] > 0
            assert high["requests_ahead"] == 0
            assert any("no storage qubit is free: 3 of 4 hold pairs" in w for w in high["waits"])
            text = "\n".join(lines(low))
            assert f"after request {high['request']} for 'high'" in text
            assert f"{low['delivered']} of 50 pairs (K, F at least 0.6, priority 0), active" in text

            (there,) = await why(network, "bob", "low")
            assert there["ahead"] == []
            assert there["waits"][-1] == "alice leads this link and decides what comes next"

            alice.pause("the phase is being calibrated")
            ask(alice, "later", 5)
            (paused,) = await why(network, "alice", "later")
            assert "the phase is being calibrated" in paused["waits"]
            (begun,) = await why(network, "alice", "high")
            assert "the phase is being calibrated" not in begun["waits"]
            alice.resume()
            alice.device.capabilities = None  # as when the device is lost
            (away,) = await why(network, "alice", "low")
            assert away["waits"][0] == "its device is away"

    def high_id(link: MemoryLink) -> str:
        return next(str(each.id) for each in link.desk.queue if each.purpose == "high")

    run_virtual(scenario(), limit_s=60)


def test_the_expected_time_is_the_queue_over_the_rate(folder: Path) -> None:
    async def scenario() -> dict[str, Any]:
        nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(folder / "lab.toml"), nodes, delay_s=1e-5) as network:
            links = [network.nodes[name].links["memory"] for name in ("alice", "bob")]
            alice, bob = (each for each in links if isinstance(each, MemoryLink))
            while not (alice.ready and bob.ready):
                await network.lasts(0.05)
            bob.desk.accept("many")
            alice.desk.ask(
                kind="M", number=10**5, minimum_fidelity=0.6, within_s=10.0, purpose="many"
            )
            await network.lasts(0.3)
            (found,) = await why(network, "alice")
            return found

    found = run_virtual(scenario(), limit_s=60)
    assert found["pairs_per_s"] > 1000
    left = found["number"] - found["delivered"]
    assert found["expected_s"] == pytest.approx(left / found["pairs_per_s"])
    assert "more than it has left" in "\n".join(lines(found))
