"""A memory link kept in spec by its leading end: the window where the photons are, the phase."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from qnodeos.calibrating import Calibrator
from qnodeos.config import MemoryCalibrationTable
from qnodeos.memory_calibration import MemoryBench
from qnodeos.requests import RequestEnded
from sim_backends.detection import phase_rad, share_seen
from tests.qnodeos.test_photonic import on_virtual_time, until

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
            "phase": ["window"],
        }
        assert await fidelity(net) == pytest.approx(expected(net), abs=0.03)
    assert steps(net) == [
        ("delay", "check", False),
        ("delay", "run", True),
        ("window", "check", True),
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
