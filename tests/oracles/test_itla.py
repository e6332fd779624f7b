"""pytla against the simulated ITLA."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim_backends.instruments.itla import Itla
from tests.oracles.judge import judged, needs_oracles, on_pty
from tests.twins import make_laser

pytestmark = needs_oracles


async def test_pytla_drives_it(tmp_path: Path) -> None:
    laser = make_laser(1550.0)
    module = Itla(laser, "SN0042", now_s=asyncio.get_running_loop().time)
    async with on_pty(module.connect, tmp_path / "itla", module.poll) as path:
        seen = await judged("pytla_itla.py", path)
    assert seen["who"] == ["CW ITLA", "Pure Photonics", "PPCL300", "SN0042"]
    assert seen["range"] == [pytest.approx(191.5), pytest.approx(196.1)]
    assert seen["power range"] == [6.0, 13.5]
    assert seen["frequency"] == pytest.approx(194.0123)
    assert (seen["set"], seen["refused"], seen["pending"]) == (9.5, "RVE", True)
    assert seen["output"] == pytest.approx(9.5, abs=0.01)
    assert seen["mode"] == 2
    assert seen["dark"] == -60.0
    assert not laser.emission
