"""Attempts are counted from when all take part: the leading end starts before the others."""

import asyncio
from pathlib import Path
from typing import Any

from benchmarks.sim_nodes import NAMES, write_nodes
from qnodeos.config import load_node
from qnodeos.rehearsal import rehearsal
from sim_backends.lab import load_lab
from timing.loop import run_virtual

DELAY_S = 1e-3
"""Of a message: 50 attempts, and a herald takes 10."""


def test_the_two_ends_have_made_as_many_attempts_together(tmp_path: Path) -> None:
    async def scenario() -> list[Any]:
        write_nodes(tmp_path)
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(tmp_path / "lab.toml"), nodes, delay_s=DELAY_S) as network:
            await network.lasts(1.0)
            alice, bob = (network.nodes[name].links["memory"] for name in ("alice", "bob"))
            wishes = {"minimum_fidelity": 0.6, "within_s": 10.0, "purpose": "test"}
            taking = bob.desk.accept("test")  # type: ignore[union-attr]
            asked = alice.desk.ask(kind="M", number=50, **wishes)  # type: ignore[union-attr]
            async with asyncio.timeout(10.0):
                assert len([each async for each in asked]) == 50
            assert len(taking.left()) == 50
            return [link.device.attempts for link in (alice, bob)]  # type: ignore[union-attr]

    alice, bob = run_virtual(scenario())
    # bob starts up to a slot after the station, as their devices do not hear of it together.
    assert 0 <= alice - bob <= 50
