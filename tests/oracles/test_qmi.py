"""QMI's drivers against the simulated instruments."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from sim_backends.instruments.mpc320 import Mpc320
from sim_backends.instruments.nkt_basik import NktBasik
from sim_backends.instruments.oz_dd100 import OzDd100
from sim_backends.instruments.oz_epc import OzEpc
from sim_backends.lab_parts import PaddlesConfig
from sim_backends.paddles import Paddles
from tests.oracles.judge import judged, needs_oracles, on_pty
from tests.twins import make_laser

pytestmark = needs_oracles


async def test_qmi_drives_the_koheras_although_it_skips_requests(tmp_path: Path) -> None:
    laser = make_laser(1550.12)
    module = NktBasik(
        laser,
        "K1234567",
        np.random.default_rng(5),
        now_s=asyncio.get_running_loop().time,
        skips_one_in=40.0,
    )
    async with on_pty(module.connect, tmp_path / "koheras", module.poll) as path:
        seen = await judged("qmi_nkt.py", path)
    assert seen["type"] == 0x33
    assert seen["dark"] == [0, 0.0]
    assert seen["standard_pm"] == pytest.approx(1_550_120.0)
    assert seen["supply_v"] == 12.0
    assert seen["light"] == [1, 12.5]
    assert seen["setpoints"] == [12.5, 10.97, 100.0]
    assert seen["status"] & 1
    assert 20.0 < seen["offset_pm"] < 100.0
    assert "NACK" in seen["refused"]
    assert seen["many"] == 100
    assert seen["dark again"] == 0
    assert not laser.emission


async def test_qmi_drives_the_epc(tmp_path: Path) -> None:
    box = OzEpc()
    async with on_pty(box.connect, tmp_path / "epc") as path:
        seen = await judged("qmi_oz.py", path)
    assert seen == {
        "voltages": [2200, 5000, -1000, 0],
        "frequencies": [7, 17, 37, 55],
        "mode": "DC",
        "wave": "Sine",
        "ac": ["AC", "Triangle", True, ["V", "F", "V", "V"]],
        "back": "DC",
    }
    assert box.voltages_mv == [2200, 5000, -1000, 0]


async def test_qmi_drives_the_dd100(tmp_path: Path) -> None:
    box = OzDd100(now_s=asyncio.get_running_loop().time)
    async with on_pty(box.connect, tmp_path / "voa") as path:
        seen = await judged("qmi_oz.py", path)
    assert "MAX ATTEN:60.00" in seen["config"]
    assert seen["start"][1] == 60.0
    assert seen["there"] == [seen["steps"], 20.0]
    assert seen["home"] == [0, 0.8]
    assert seen["refused"] == "QMI_TimeoutException"


async def test_qmi_drives_the_mpc320(tmp_path: Path) -> None:
    paddles = Paddles(PaddlesConfig(), asyncio.get_running_loop().time)
    box = Mpc320(paddles, "38449564")
    async with on_pty(box.connect, tmp_path / "mpc", box.poll) as path:
        seen = await judged("qmi_mpc320.py", path)
    assert "MPC320" in seen["model"]
    assert seen["serial"] == 38449564
    assert seen["states"] == ["ENABLE"] * 3
    assert seen["velocity"] == pytest.approx(60.0, abs=1.0)
    assert seen["at"] == pytest.approx([0.0, 150.0, 0.0], abs=0.2)
    assert seen["home"] == pytest.approx(0.0, abs=0.2)
    assert seen["off"] == "DISABLE"
