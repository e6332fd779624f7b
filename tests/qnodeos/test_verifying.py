"""A link is verified between two real nodes of a rehearsal, against what the lab is made of."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sim_nodes import LAB, NAMES, write_nodes
from link_layer.verification import Verification
from qnodeos.config import load_node
from qnodeos.errors import UserError
from qnodeos.journal import read_journal
from qnodeos.rehearsal import rehearsal
from qnodeos.verifying import Verifier
from sim_backends.lab import load_lab
from timing.loop import run_virtual


def verified(folder: Path, visibility: float, pairs: int, **more: Any) -> Verification:
    write_nodes(folder, LAB.replace("visibility = 0.95", f"visibility = {visibility}"))

    async def scenario() -> Verification:
        nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(folder / "lab.toml"), nodes, delay_s=1e-5) as network:
            alice = network.nodes["alice"]
            while not alice.links["memory"].ready:
                await network.lasts(0.05)
            told: list[float] = []
            # The services of the runtime take part at both ends; this one only asks.
            verifier = Verifier(alice.parts)
            found = await verifier.verify(
                "memory",
                pairs=pairs,
                within_s=30.0,
                progress=lambda done, text: told.append(done),
                **more,
            )
            assert told == sorted(told)
            assert told[-1] == 1.0
            with pytest.raises(UserError, match="there is no link 'fibre' to verify"):
                await verifier.verify(
                    "fibre", pairs=1, within_s=1.0, progress=lambda done, text: None
                )
            await asyncio.sleep(0.5)
            return found

    return run_virtual(scenario(), limit_s=120)


def test_the_figures_are_those_of_the_lab(tmp_path: Path) -> None:
    """Visibility V leaves the heralded state with (1 + V)/2."""
    found = verified(tmp_path, 0.8, 1800)
    assert found.pairs == 1800
    assert found.fidelity is not None
    assert found.state_fidelity is not None
    assert found.chsh is not None
    for figure in (found.fidelity, found.state_fidelity):
        error = getattr(figure, "standard_error", None) or getattr(figure, "error", 0.0)
        assert abs(figure.value - 0.9) < 4 * error
    assert found.correlators["ZZ"].value == 1.0
    assert abs(found.correlators["XX"].value - 0.8) < 4 * found.correlators["XX"].error
    assert abs(found.correlators["XZ"].value) < 4 * found.correlators["XZ"].error
    assert found.significance is not None
    assert found.significance > 5
    rows = read_journal(tmp_path / "data" / "alice" / "journal.sqlite").results
    assert [row.app for row in rows] == ["verify:memory"]
    assert rows[0].data["pairs"] == 1800


def test_few_pairs_have_large_errors_and_no_state(tmp_path: Path) -> None:
    found = verified(tmp_path, 1.0, 40, tomography=False)
    assert found.state is None
    assert found.chsh is not None
    assert found.chsh.error > 0.1
