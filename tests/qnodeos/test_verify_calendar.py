"""Verifications by the calendar, in a rehearsed network whose wall clock is the virtual one."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sim_nodes import LAB, NAMES, write_nodes
from qnodeos.config import load_node
from qnodeos.errors import UserError
from qnodeos.journal import last_results, read_journal
from qnodeos.rehearsal import rehearsal
from sim_backends.lab import load_lab
from timing.loop import run_virtual

TABLE = """
[links.memory.verify]
every_h = 0.01
pairs = 60
tomography_every_h = 0.03
tomography_pairs = 200
within_s = 20.0
"""


def journal(folder: Path) -> Any:
    return read_journal(folder / "data" / "alice" / "journal.sqlite")


async def rehearsed(folder: Path, seconds: float, *, busy: bool = False) -> None:
    nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
    async with rehearsal(load_lab(folder / "lab.toml"), nodes, delay_s=1e-4) as network:
        if busy:
            while not network.nodes["bob"].links["memory"].ready:
                await network.lasts(0.05)
            far = network.nodes["bob"].links["memory"].desk.accept("others")

            async def use(inbox: Any) -> None:
                async for pair in inbox:
                    await pair.release()

            using = asyncio.create_task(use(far))
            # Nothing can be made of it: it waits all the time.
            network.nodes["alice"].links["memory"].pause("for the test")
            network.nodes["alice"].links["memory"].desk.ask(
                kind="K", number=1, minimum_fidelity=0.5, within_s=30.0, purpose="others"
            )
            await network.lasts(seconds)
            using.cancel()
            return
        await network.lasts(seconds)


def with_table(folder: Path) -> None:
    write_nodes(folder, LAB)
    file = folder / "alice.toml"
    file.write_text(file.read_text() + TABLE)


def test_a_link_is_verified_as_often_as_its_table_says(tmp_path: Path) -> None:
    with_table(tmp_path)
    run_virtual(rehearsed(tmp_path, 250.0), limit_s=1000)
    results = [row for row in journal(tmp_path).results if row.app == "verify:memory"]
    pauses_s = [b.time_s - a.time_s for a, b in pairwise(results)]
    assert 5 <= len(results) <= 7
    assert all(36.0 <= pause_s <= 52.0 for pause_s in pauses_s)  # every 36 s, looked at each 10 s
    states = [row.data["state"] is not None if "state" in row.data else False for row in results]
    assert states[0]
    assert 2 <= sum(states) <= 3
    assert [row.data["pairs"] for row in results] == [200 if state else 60 for state in states]


def test_a_restart_neither_repeats_nor_forgets_one(tmp_path: Path) -> None:
    with_table(tmp_path)
    run_virtual(rehearsed(tmp_path, 30.0), limit_s=1000)
    place = tmp_path / "data" / "alice" / "journal.sqlite"
    first = last_results(place, "verify:memory")
    assert first[0] == first[1] > 0  # the first has the state
    assert last_results(place, "verify:fibre") == (0.0, 0.0)
    # The rehearsal's wall clock begins where it began before, so it is not due for a while.
    run_virtual(rehearsed(tmp_path, 20.0), limit_s=1000)
    assert len([r for r in journal(tmp_path).results if r.app == "verify:memory"]) == 1


def test_a_link_that_is_wanted_is_left_alone_until_overdue(tmp_path: Path) -> None:
    with_table(tmp_path)
    run_virtual(rehearsed(tmp_path, 25.0, busy=True), limit_s=1000)
    # The first is overdue from the start, and fails as the link makes no pairs.
    kinds = [event.kind for event in journal(tmp_path).events]
    assert kinds.count("verify-failed") <= 1
    assert not [r for r in journal(tmp_path).results if r.app == "verify:memory"]


def test_what_is_no_interval_is_refused(tmp_path: Path) -> None:
    with_table(tmp_path)
    file = tmp_path / "alice.toml"
    file.write_text(file.read_text().replace("every_h = 0.01", "every_h = 0.0"))
    with pytest.raises(UserError) as refused:
        load_node(file)
    assert "every_h" in str(refused.value)
