"""A blinded detector in the simulated lab stops the link at either end; an honest one never."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from qnodeos.cli.rehearse import load
from qnodeos.config import GuardTable
from qnodeos.photonic import PhotonicLink
from qnodeos.rehearsal import rehearsal
from qnodeos.requests import RequestEnded
from sim_backends.faults.director import direct
from sim_backends.faults.script import FaultConfig
from tests.qnodeos.test_photonic import Taker, on_virtual_time, pairs_of, until
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
GUARD = {"guard": {"dark_cps": (100.0, 100.0), "after_trip": "auto"}}


@pytest.mark.parametrize("victim", ["alice", "bob"])
@on_virtual_time
async def test_blinding_ends_requests_until_it_is_over(
    network: Any, tmp_path: Path, victim: str
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.4, link=GUARD) as net:
        director = direct(net.bench, [])
        director.start()
        link = net.photonic(victim)
        Taker(net, "bob")
        asking = asyncio.create_task(
            pairs_of(net.ask("alice", number=10_000_000, minimum_fidelity=0.9, within_s=300))
        )
        await until(lambda: link.serving, 60)
        await asyncio.sleep(20)
        assert link.ready  # twenty seconds of honest light
        number = director.begin(FaultConfig(kind="blinded", of=f"detectors.{victim}"))
        await until(lambda: not link.ready, 5)
        with pytest.raises(RequestEnded, match="fewer than its dark counts"):
            await asking
        with pytest.raises(RequestEnded, match="fewer than its dark counts"):
            link.desk.ask(kind="M", number=1, minimum_fidelity=0.5, within_s=1.0, purpose="x")
        await asyncio.sleep(20)  # long enough for a link that nobody uses to rest
        director.end(number)
        await until(lambda: link.ready, 10)
        director.close()
    told = [row.data["trouble"] for row in net.journal(victim).events if row.kind == "guard"]
    assert len(told) == 2
    assert "fewer than its dark counts" in told[0]
    assert told[1] == ""


def test_dark_counts_too_few_to_miss_are_refused() -> None:
    with pytest.raises(ValidationError, match="expected more: 5 dark counts"):
        GuardTable(dark_cps=(5.0, 100.0))


LAB = """
[instruments.bob-monitor]
type = "pm100d"
of = "channels.bob"
port = 7299
serial = "P0099"
"""
NODE = """
[instruments.monitor]
driver = "thorlabs.pm100d"
resource = "tcp://${LAB_HOST:-127.0.0.1}:7299"
settings = { wavelength_nm = 810.0 }
[links.photonic.guard]
dark_cps = [100, 100]
power_meter = "monitor"
most_power_mw = "100 nW"
after_trip = "auto"
"""


def test_an_intruder_who_fakes_clicks_is_seen_by_his_light(tmp_path: Path) -> None:
    """As many clicks as ever, so that the rates tell nothing."""
    folder = tmp_path / "net"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("run", "data", "keys"))
    lab = (folder / "lab.toml").read_text()
    lab = lab.replace("[channels.bob]", "[channels.bob]\nfaked_cps = 20_000.0", 1)
    (folder / "lab.toml").write_text(lab + LAB)
    for name, more in (("alice", ""), ("bob", NODE)):
        node = folder / f"{name}.toml"
        node.write_text(node.read_text().partition("[links.memory]")[0] + more)

    async def scenario() -> None:
        lab, nodes, _ = load(folder, tmp_path / "out")
        async with rehearsal(lab, list(nodes)) as network:
            bob = network.nodes["bob"].links["photonic"]
            assert isinstance(bob, PhotonicLink)
            await network.lasts(10.0)
            assert bob.ready
            network.bench.change("channels.bob.blinding_uw", 1.0, by="test")
            await network.lasts(2.5)
            assert re.fullmatch(
                r"monitor: 0\.(0010|0009|001)\d* mW of light, at most 0\.0001 mW", bob.missing()
            )
            assert not bob.ready
            network.bench.change("channels.bob.blinding_uw", 0.0, by="test")
            await network.lasts(3.0)
            assert bob.ready
            network.bench.power_off("bob-monitor")
            await network.lasts(5.0)
            assert bob.missing() == "monitor does not tell what light comes in"

    run_virtual(scenario(), limit_s=120)


def test_a_meter_without_a_limit_is_refused() -> None:
    with pytest.raises(ValidationError, match="power_meter, most_power_mw: found one of them"):
        GuardTable(dark_cps=(100.0, 100.0), power_meter="monitor")
