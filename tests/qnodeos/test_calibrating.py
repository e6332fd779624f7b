"""A photonic link kept in spec by its leading end, on the simulated lab, in virtual time."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from qnodeos.calibrating import Calibrator
from qnodeos.config import CalibrationTable
from qnodeos.errors import UserError
from qnodeos.photonic_calibration import PhotonicBench
from qnodeos.requests import RequestEnded
from tests.qnodeos.test_photonic import Taker, on_virtual_time, pairs_of, until

ORDER = ["synchronisation", "delay", "window", "pump", "polarization"]


def calibrated(net: Any, **entries: Any) -> Calibrator:
    node = net.node("alice")
    context = node.context()
    table = CalibrationTable(**entries)
    bench = PhotonicBench(net.photonic("alice"), table)
    made = Calibrator(net.photonic("alice"), table, bench, context.store, context.clock)
    node.start(made.run())
    return made


def steps(net: Any) -> list[dict[str, Any]]:
    return [row.data for row in net.journal("alice").events if row.kind == "calibration"]


@on_virtual_time
async def test_a_link_is_ready_once_all_is_in_spec_and_looked_at_again_when_due(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        made, link = calibrated(net, synchronisation_valid_s=60), net.photonic("alice")
        assert not link.ready
        assert "synchronisation is unknown" in link.missing()
        with pytest.raises(RequestEnded, match="calibration"):
            link.desk.ask(kind="M", number=1, minimum_fidelity=0.5, within_s=1.0, purpose="test")
        await until(lambda: link.ready, 120)
        rows = {row["task"]: row for row in made.rows()}
        assert list(rows) == ORDER
        assert {row["state"] for row in rows.values()} == {"in spec"}
        assert abs(rows["delay"]["value"]) < 300
        assert rows["window"]["value"] > 0.95
        # F = 0.965 of a Werner pair: QBER 2(1 - F)/3.
        assert abs(rows["polarization"]["value"] - 2 * 0.035 / 3) < 0.01
        assert {key: said for key, said in made.status().items() if key.endswith("_depends")} == {
            "delay_depends": "synchronisation",
            "window_depends": "delay",
            "pump_depends": "window",
            "polarization_depends": "window",
        }
        await asyncio.sleep(80)
        assert link.ready
    assert [step["task"] for step in steps(net)] == [*ORDER, "synchronisation"]
    assert all(step["good"] and step["action"] == "check" for step in steps(net))


@on_virtual_time
async def test_a_request_is_served_to_its_end_before_what_is_overdue(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        made, link = (
            calibrated(net, synchronisation_valid_s=10, hard_limit_factor=1.0),
            net.photonic("alice"),
        )
        await until(lambda: link.ready, 120)
        Taker(net, "bob")
        ages_s: list[float] = []

        async def watch() -> None:
            while True:
                if link.serving:
                    ages_s.append(made.rows()[0]["age_s"])
                await asyncio.sleep(0.1)

        net.node("alice").start(watch())
        asked = await pairs_of(net.ask("alice", number=60_000, minimum_fidelity=0.9, within_s=400))
        assert sum(len(each.pairs) for each in asked) == 60_000
        assert ages_s == sorted(ages_s)  # it was not looked at while pairs were delivered
        assert ages_s[-1] > 10  # though it was overdue
        assert not link.ready
        await until(lambda: link.ready, 60)
    for end in ("alice", "bob"):
        assert [request.state for request in net.journal(end).requests] == ["done"]


@on_virtual_time
async def test_what_is_out_of_spec_keeps_the_link_from_being_used(
    network: Any, tmp_path: Path
) -> None:
    """Pairs of F = 0.7 have a QBER of 0.2."""
    async with network(tmp_path, photonic=True, test_fraction=0.5, fidelity=0.7) as net:
        made, link = calibrated(net), net.photonic("alice")
        await until(lambda: made.rows()[-1]["state"] == "out of spec", 200)
        assert abs(made.rows()[-1]["value"] - 0.2) < 0.02
        assert link.missing() == "calibration: polarization is out of spec"
        assert not link.ready
    done = [(step["task"], step["action"], step["good"]) for step in steps(net)]
    assert done[-2:] == [("polarization", "check", False), ("polarization", "run", False)]


@on_virtual_time
async def test_somebody_asks_for_a_run(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        made = calibrated(net)
        await until(lambda: net.photonic("alice").ready, 120)
        told: list[tuple[float, str]] = []
        rows = await made.calibrate("window", 20.0, lambda *said: told.append(said))
        assert (0.0, "run of window") in told
        assert {row["task"]: row["state"] for row in rows}["window"] == "in spec"
        with pytest.raises(UserError, match="no calibration 'phase'"):
            await made.calibrate("phase", 1.0)
        with pytest.raises(TimeoutError):  # a run of twelve seconds tells nothing meanwhile
            await made.calibrate("window", 5.0)
    assert ("window", "run") in [(step["task"], step["action"]) for step in steps(net)]
