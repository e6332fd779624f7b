"""Flashes of an end's own laser: honest detectors see them, blinded ones do not, no pair does."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from qnodeos.checking.tables import meanings
from qnodeos.cli.rehearse import load
from qnodeos.config import GuardTable, load_node
from qnodeos.photonic import PhotonicLink
from qnodeos.rehearsal import Rehearsal, rehearsal
from tests.qnodeos.test_link_guard import many
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
LAB = """
[lasers.tester]                  # 1 mW at 60 mA
threshold_ma = 40.0
slope_mw_per_ma = 0.05
max_current_ma = 80.0
wavelength_nm = 810.0
[instruments.bob-tester]
type = "dlcpro"
of = "lasers.tester"
port = 7298
serial = "DLC PRO_1"
"""
NODE = """
[instruments.tester]
driver = "toptica.dlcpro"
resource = "tcp://${LAB_HOST:-127.0.0.1}:7298"
serial = "DLC PRO_1"
arm = true
settings = { current_ma = 60.0, emission = false }
[links.photonic.guard]
dark_cps = [100, 100]
[links.photonic.guard.self_test]
light = "tester"
least_cps = [10e3, 10e3]
most_cps = [20e3, 20e3]
every_s = 10
"""


def files(folder: Path, faked_cps: float = 20_000.0) -> Path:
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("run", "data", "keys"))
    lab = (folder / "lab.toml").read_text()
    flash = f'[channels.bob]\nfaked_cps = {faked_cps}\nflash = "tester"\nflash_cps_per_mw = 40e3'
    (folder / "lab.toml").write_text(lab.replace("[channels.bob]", flash, 1) + LAB)
    for name, more in (("alice", ""), ("bob", NODE)):
        node = folder / f"{name}.toml"
        node.write_text(node.read_text().partition("[links.memory]")[0] + more)
    return folder


def run(
    folder: Path, body: Callable[[Rehearsal, PhotonicLink, PhotonicLink], Awaitable[Any]]
) -> Any:
    async def scenario() -> Any:
        lab, nodes, _ = load(folder, folder.parent / "out")
        async with rehearsal(lab, list(nodes)) as network:
            alice, bob = (network.nodes[name].links["photonic"] for name in ("alice", "bob"))
            assert isinstance(alice, PhotonicLink)
            assert isinstance(bob, PhotonicLink)
            bob.desk.accept("test")
            return await body(network, alice, bob)

    return run_virtual(scenario(), limit_s=600)


def test_honest_detectors_see_every_flash_and_blinded_ones_none(tmp_path: Path) -> None:
    """The intruder fakes as many clicks as ever; no meter looks at the light."""

    async def body(network: Rehearsal, alice: PhotonicLink, bob: PhotonicLink) -> None:
        await network.lasts(80.0)
        assert bob.counters["self_tests"] >= 5
        assert bob.counters["self_tests_missed"] == bob.counters["self_tests_weak"] == 0
        assert bob.ready
        assert network.bench.world.lasers["tester"].power_mw == 0
        network.bench.change("channels.bob.blinding_uw", 1.0, by="test")
        await network.lasts(20.0)
        assert bob.status()["guard"] == "tripped"
        assert "a flash added" in bob.missing()
        assert "expected 10000 to 20000" in bob.missing()
        assert not alice.ready
        network.bench.change("channels.bob.blinding_uw", 0.0, by="test")
        await network.lasts(20.0)
        assert bob.guard.acknowledge() == ""
        await network.lasts(1.0)
        assert alice.ready

    run(files(tmp_path / "net"), body)


def test_a_request_is_never_flashed_and_ends_a_flash(tmp_path: Path) -> None:
    async def body(network: Rehearsal, alice: PhotonicLink, bob: PhotonicLink) -> None:
        tester = network.bench.world.lasers["tester"]
        while tester.power_mw == 0:
            await network.lasts(0.05)
        tests = bob.counters["self_tests"]
        inbox = many(alice)
        await network.lasts(0.1)
        assert tester.power_mw == 0
        lit = 0
        for _ in range(400):
            await network.lasts(0.1)
            lit += tester.power_mw > 0
        assert lit == 0
        assert bob.counters["self_tests"] == tests
        assert bob.counters["self_tests_interrupted"] == 1
        assert alice.serving
        alice.desk.cancel(inbox)
        await network.lasts(30.0)
        assert bob.counters["self_tests"] > tests

    run(files(tmp_path / "net"), body)


def test_clicks_of_a_flash_reach_neither_the_rates_nor_the_far_end(tmp_path: Path) -> None:
    async def body(network: Rehearsal, alice: PhotonicLink, bob: PhotonicLink) -> None:
        seen: list[float] = []
        role = bob._role.tags

        def tags(stream: int, batch: Any, epoch: int) -> None:
            seen.append(len(batch) / ((batch.stop_ps - batch.start_ps) * 1e-12))
            role(stream, batch, epoch)

        bob._role.tags = tags  # type: ignore[method-assign]
        await network.lasts(60.0)
        assert bob.counters["self_tests"] >= 3
        assert len(seen) > 20
        assert max(seen) < 1.5 * sorted(seen)[len(seen) // 2]

    run(files(tmp_path / "net"), body)


def test_a_laser_that_is_away_is_not_trusted(tmp_path: Path) -> None:
    async def body(network: Rehearsal, alice: PhotonicLink, bob: PhotonicLink) -> None:
        await network.lasts(5.0)
        network.bench.power_off("bob-tester")
        await network.lasts(25.0)
        assert bob.status()["guard"] == "unknown"
        assert "tester cannot flash" in bob.missing()
        network.bench.power_on("bob-tester")
        await network.lasts(60.0)
        assert bob.ready

    run(files(tmp_path / "net"), body)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    table = {"light": "tester", "least_cps": [10e3, 10e3], "most_cps": [20e3, 20e3]}
    with pytest.raises(ValidationError, match="expected none that self_test flashes"):
        GuardTable(dark_cps=(100, 100), stops=("tester",), self_test=table)  # type: ignore[arg-type]
    table["most_cps"] = [20e3, 5e3]
    with pytest.raises(ValidationError, match="found 10000 above most_cps"):
        GuardTable(dark_cps=(100, 100), self_test=table)  # type: ignore[arg-type]
    node = files(tmp_path / "net") / "bob.toml"
    (says,) = (each.says for each in meanings(load_node(node)) if each.table == "links.photonic")
    assert "tester flashes on them when nobody asks, every 10 s or so, for 500 ms" in says
