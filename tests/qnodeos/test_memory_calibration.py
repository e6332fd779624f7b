"""A memory link kept in spec by its leading end: the window where the photons are, the phase."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from qnodeos.calibrating import Calibrator
from qnodeos.cli.rehearse import load
from qnodeos.config import MemoryCalibrationTable
from qnodeos.journal import read_journal
from qnodeos.memory_calibration import MemoryBench
from qnodeos.memory_link import MemoryLink
from qnodeos.rehearsal import rehearsal
from qnodeos.requests import RequestEnded
from sim_backends.detection import phase_rad, share_seen
from tests.qnodeos.test_photonic import on_virtual_time, until
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"

STATION = """
scheme = "single_click"
bright_population = { alice = 0.1, bob = 0.1 }
phase_sigma_deg = 10.0
phase_deg = 130.0
phase_drift_deg_per_s = 0.3
late_ns = 63.0
[midpoints.station.detection]
lifetime_ns = 8.0
window_ns = 40.0
"""
LAB = {"station": STATION, "efficiency": 0.1, "visibility": 0.9}
STILL = {
    "efficiency": 0.02,
    "station": STATION.replace("_per_s = 0.3", "_per_s = 0.0").replace("63.0", "10.0"),
}
LINK = {"bright_state": {"lowest": 0.1, "highest": 0.1}}


def calibrated(net: Any, **entries: Any) -> Calibrator:
    node, link = net.node("alice"), net.link("alice")
    context = node.context()
    net.link("bob").desk.accept("test")
    table = MemoryCalibrationTable(rounds=200, **entries)
    made = Calibrator(link, table, MemoryBench(link, table), context.store, context.clock)
    node.start(made.run())
    return made


def steps(net: Any) -> list[tuple[str, str, bool]]:
    return [
        (row.data["task"], row.data["action"], row.data["good"])
        for row in net.journal("alice").events
        if row.kind == "calibration"
    ]


def truth(net: Any) -> tuple[float, float]:
    """The share of the photons within the window, and how far the phase is off, in degrees."""
    line = net.bench.world.attempts["station"]
    turned = phase_rad(line.config, line.setting, net.bench.world.time_s())
    off = (turned * 57.29578 + 180.0) % 360.0 - 180.0
    return share_seen(line.config, line.setting), off


def expected(net: Any) -> float:
    """The fidelity of the lab's pairs without a phase."""
    return float(net.bench.world.attempts["station"].initial_fidelity)


async def served(net: Any, pairs: int) -> None:
    """A request from its beginning to its end."""
    asked = net.ask("alice", kind="M", number=pairs, minimum_fidelity=0.5, within_s=200)
    async for _ in asked:
        pass


async def fidelity(net: Any) -> float:
    """What test rounds at alice say of the pairs of a request."""
    await served(net, 600)
    await asyncio.sleep(1.0)
    return float(net.link("alice").status()["fidelity"])


@on_virtual_time
async def test_a_link_off_in_delay_and_phase_is_set_right_before_it_is_used(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, ready=False, test_fraction=0.5, link=LINK, **LAB) as net:
        made, link = calibrated(net), net.link("alice")
        assert not link.ready
        assert truth(net)[0] == 0.0
        await until(lambda: not link.missing(), 10)
        with pytest.raises(RequestEnded, match="calibration: delay is unknown"):
            link.desk.ask(kind="M", number=1, minimum_fidelity=0.5, within_s=1.0, purpose="test")
        await until(lambda: link.ready, 300)
        share, off_deg = truth(net)
        assert share > 0.9
        assert abs(off_deg) < 20
        assert {row["task"]: row["depends"] for row in made.rows()} == {
            "delay": [],
            "window": ["delay"],
            "pump": ["window"],
            "phase": ["window"],
        }
        assert await fidelity(net) == pytest.approx(expected(net), abs=0.03)
    assert steps(net) == [
        ("delay", "check", False),
        ("delay", "run", True),
        ("window", "check", True),
        ("pump", "check", True),
        ("phase", "check", False),
        ("phase", "run", True),
    ]


@on_virtual_time
async def test_a_phase_that_drifts_away_is_set_right_between_requests(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, test_fraction=0.5, link=LINK, **LAB | STILL) as net:
        made, link = calibrated(net, tasks={"phase": ()}, phase_valid_s=10), net.link("alice")
        await until(lambda: link.ready, 60)
        assert abs(truth(net)[1]) < 20
        asked = asyncio.create_task(served(net, 1500))
        await until(lambda: link.serving, 5)
        net.bench.change("midpoints.station.phase_deg", 75.0, by="test")
        await asyncio.sleep(12)
        assert made.rows()[0]["state"] == "due"
        assert not asked.done()
        assert abs(truth(net)[1]) > 40  # nobody measures while a request is served
        await asked
        before = float(link.status()["fidelity"])
        await until(lambda: abs(truth(net)[1]) < 20 and link.ready, 60)
        assert "fidelity" not in link.status()  # what was known is of another phase
        assert await fidelity(net) == pytest.approx(expected(net), abs=0.04)
        assert before < expected(net) - 0.1
    assert ("phase", "check", False) in steps(net)


MIDPOINT = """scheme = "single_click"
bright_population = { alice = 0.1, bob = 0.1 }
phase_deg = -100.0
late_ns = -35.0
"""
DETECTION = "detection = { lifetime_ns = 8.0, window_ns = 40.0 }\n"
BOTH_ENDS = "[links.memory.bright_state]\nlowest = 0.1\nhighest = 0.1\n"
TABLE = """
[links.memory.calibration]
rounds = 200
[links.memory.calibration.tasks]
dark_counts = []
delay = ["dark_counts"]
window = ["delay"]
pump = ["window"]
phase = ["pump"]
"""


def folder_of(tmp_path: Path, more: str = "") -> Path:
    made = tmp_path / "net"
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns("run", "data", "keys"))
    lab = (made / "lab.toml").read_text().replace("bob = 0.05 }", "bob = 0.05 }\n" + DETECTION)
    lab = lab.replace("dark_probability = 1e-5", "dark_probability = 1e-4")
    head, _, tail = lab.partition("visibility = 0.92")
    (made / "lab.toml").write_text(f"{head}{MIDPOINT}{more}visibility = 0.92{tail}")
    for name, table in (("alice", BOTH_ENDS + TABLE), ("bob", BOTH_ENDS)):
        node = made / f"{name}.toml"
        text = node.read_text()
        text = re.sub(r"\[links\.photonic\].*?(?=\[links\.memory\])", "", text, flags=re.S)
        text = text.partition("[applications")[0]
        node.write_text(text + table)
    return made


@pytest.mark.parametrize(
    ("more", "trouble"),
    [
        ("", ""),
        ("bright_factor = 3.0\n", "calibration: pump is out of spec"),
    ],
)
def test_nodes_of_an_example_do_all_tasks(tmp_path: Path, more: str, trouble: str) -> None:
    async def scenario() -> None:
        lab, nodes, _ = load(folder_of(tmp_path, more), tmp_path / "out")
        async with rehearsal(lab, list(nodes)) as network:
            link = network.nodes["alice"].links["memory"]
            assert isinstance(link, MemoryLink)
            while not (link.ready or "out of spec" in link.unfit):
                await network.lasts(0.5)
            assert link.unfit == trouble

    run_virtual(scenario(), limit_s=600)
    (file,) = (tmp_path / "out").rglob("alice/*.sqlite")
    done = [each.data for each in read_journal(file).events if each.kind == "calibration"]
    values = {each["task"]: each["value"] for each in done}
    # Two detectors with 1e-4 a window of 40 ns: some twenty clicks.
    assert values["dark_counts"] == pytest.approx(5000, rel=0.6)
    assert values["window"] > 0.85
    if trouble:
        assert values["pump"] > 0.1
    else:
        assert values["pump"] < 0.05
        assert abs(values["phase"]) < 20
