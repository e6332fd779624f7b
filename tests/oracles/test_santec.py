"""QMI and pymeasure against the simulated Santec, each in its dialect."""

from __future__ import annotations

import asyncio

import pytest

from sim_backends.instruments.santec_tsl import SantecTsl
from tests.oracles.judge import judged, needs_oracles, on_tcp
from tests.twins import make_laser

pytestmark = needs_oracles


def make_box() -> SantecTsl:
    return SantecTsl(make_laser(1550.0), "21020001", now_s=asyncio.get_running_loop().time)


async def test_qmi_drives_it_in_the_legacy_dialect() -> None:
    box = make_box()
    async with on_tcp(box.connect, box.poll) as port:
        seen = await judged("qmi_santec.py", f"127.0.0.1:{port}")
    assert seen["serial"] == "21020001"
    assert seen["range"] == [1480.0, 1640.0]
    assert seen["unit"] == "dBm"
    assert seen["wavelength"] == 1560.1234
    assert seen["power"] == [7.5, "mW"]
    assert seen["errors"] == []
    assert "Data out of range" in seen["refused"]


async def test_pymeasure_drives_it_in_both_dialects() -> None:
    box = make_box()
    async with on_tcp(box.connect, box.poll) as port:
        seen = await judged("pymeasure_santec.py", f"127.0.0.1:{port}")
    assert seen["id"].startswith("SANTEC,TSL-570,21020001")
    assert (seen["dialect"], seen["nm"]) == ("Legacy", 1550.0)
    assert seen["scpi"] == ["SCPI", pytest.approx(1.5602e-6), pytest.approx(6.0)]
    assert seen["range"] == [pytest.approx(1.48e-6), pytest.approx(1.64e-6)]
    assert seen["on"] is True
    assert seen["frequency"] == pytest.approx(1.92e14, rel=1e-6)
    assert seen["errors"] == []
