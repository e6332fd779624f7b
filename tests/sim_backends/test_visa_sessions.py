"""pyvisa-py, as a lab's own scripts use it, with every simulated instrument that speaks SCPI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_backends.instruments.cld1015 import Cld1015
from sim_backends.instruments.dg645 import Dg645
from sim_backends.instruments.fs725 import Fs725
from sim_backends.instruments.osw_e import OswE
from sim_backends.instruments.oz_epc import OzEpc
from sim_backends.instruments.pm100d import Pm100d
from sim_backends.instruments.polatis import Polatis
from sim_backends.instruments.santec_tsl import SantecTsl
from sim_backends.mount import Connect
from tests.oracles.judge import on_pty, on_tcp
from tests.twins import make_laser

pyvisa = pytest.importorskip("pyvisa", reason="pyvisa and pyvisa-py are in the extra `test`")
pytest.importorskip("pyvisa_py")

Session = Callable[[Any], dict[str, Any]]


async def in_session(connect: Connect, session: Session, *, end: str = "\n") -> dict[str, Any]:
    """What a blocking session on a real socket sees."""

    def run(port: int) -> dict[str, Any]:
        manager = pyvisa.ResourceManager("@py")
        box = manager.open_resource(
            f"TCPIP::127.0.0.1::{port}::SOCKET",
            read_termination=end,
            write_termination=end,
            timeout=3000,
        )
        try:
            return session(box)
        finally:
            box.close()
            manager.close()

    async with on_tcp(connect) as port:
        return await asyncio.to_thread(run, port)


async def on_port(connect: Connect, path: Path, session: Session, **line: Any) -> dict[str, Any]:
    """What a blocking session on a pseudo-terminal sees."""

    def run(port: str) -> dict[str, Any]:
        manager = pyvisa.ResourceManager("@py")
        box = manager.open_resource(f"ASRL{port}::INSTR", timeout=3000, **line)
        try:
            return session(box)
        finally:
            box.close()
            manager.close()

    async with on_pty(connect, path) as port:
        return await asyncio.to_thread(run, port)


async def test_pm100d() -> None:
    def session(box: Any) -> dict[str, Any]:
        box.write("SENS:CORR:WAV 532")
        seen = {"who": box.query("*IDN?"), "wavelength": box.query_ascii_values("SENS:CORR:WAV?")}
        box.write("SENS:CORR:WAV 99")
        return {**seen, "error": box.query("SYST:ERR?"), "none": box.query("SYST:ERR?")}

    meter = Pm100d(make_laser(532.0), "P0031415", np.random.default_rng(1))
    assert await in_session(meter.connect, session) == {
        "who": "THORLABS,PM100D,P0031415,2.6.0",
        "wavelength": [532.0],
        "error": '-222,"Data out of range"',
        "none": '+0,"No error"',
    }


async def test_polatis() -> None:
    def session(box: Any) -> dict[str, Any]:
        box.write(":oxc:swit:conn:add (@1,2),(@17,18)")
        box.write(":oxc:swit:conn:add (@99),(@17)")
        return {
            "who": box.query("*idn?"),
            "size": box.query(":oxc:swit:size?"),
            "port": box.query(":oxc:swit:conn:port? 2"),
            "error": box.query(":syst:err:all?"),
        }

    switch = Polatis("002414", now_s=asyncio.get_running_loop().time, latency_s=0.03)
    assert await in_session(switch.connect, session) == {
        "who": "Polatis,I-OST-16x16-LU1-DMHNS,002414,6.5.2.18",
        "size": "16,16",
        "port": '"18"',
        "error": '-222,"Data out of range"',
    }


async def test_dg645() -> None:
    def session(box: Any) -> dict[str, Any]:
        box.read_termination = "\r\n"
        box.write("DLAY 2,0,1e-6")
        return {
            "who": box.query("*IDN?"),
            "delay": box.query_ascii_values("DLAY?2"),
            "error": box.query("LERR?"),
        }

    assert await in_session(Dg645("001013").connect, session) == {
        "who": "Stanford Research Systems,DG645,s/n001013,ver1.14.10E",
        "delay": [0.0, 1e-6],
        "error": "0",
    }


async def test_santec_tsl() -> None:
    def session(box: Any) -> dict[str, Any]:
        seen = {"who": box.query("*IDN?"), "legacy": box.query(":WAV?")}
        box.write(":SYSTem:COMMunicate:CODe 1")
        return {**seen, "scpi": box.query_ascii_values(":WAV?")}

    box = SantecTsl(make_laser(1550.0), "21020001", now_s=asyncio.get_running_loop().time)
    assert await in_session(box.connect, session, end="\r") == {
        "who": "SANTEC,TSL-570,21020001,0001.000.0001",
        "legacy": "1550.0000",
        "scpi": [1.55e-6],
    }


async def test_cld1015() -> None:
    def session(box: Any) -> dict[str, Any]:
        box.write("SOUR:CURR 0.05")
        box.write("OUTP2:STAT ON")
        return {
            "who": box.query("*IDN?"),
            "current": box.query_ascii_values("SOUR:CURR?"),
            "cooled": box.query("OUTP2:STAT?"),
            "error": box.query("SYST:ERR?"),
        }

    box = Cld1015(make_laser(1550.0, 90.0), "M00443953", now_s=asyncio.get_running_loop().time)
    assert await in_session(box.connect, session) == {
        "who": "THORLABS,CLD1015,M00443953,1.2.0/1.4.0",
        "current": [0.05],
        "cooled": "1",
        "error": '+0,"No error"',
    }


async def test_fs725(tmp_path: Path) -> None:
    def session(box: Any) -> dict[str, Any]:
        return {"who": box.query("ID?"), "locked": box.query("LO?"), "status": box.query("ST?")}

    clock = asyncio.get_running_loop().time
    box = Fs725("19957", np.random.default_rng(1), now_s=clock, warm_up_s=300.0)
    line = {"baud_rate": 9600, "read_termination": "\r", "write_termination": "\r"}
    assert await on_port(box.connect, tmp_path / "clock", session, **line) == {
        "who": "PRS10_3.24_SN_19957",
        "locked": "0",
        "status": "0,0,17,1,130,128",
    }


async def test_osw_e(tmp_path: Path) -> None:
    def session(box: Any) -> dict[str, Any]:
        first = box.query("S?")
        box.write("S 2")
        return {"first": first, "then": [box.query("S?") for _ in range(40)]}

    box = OswE(now_s=asyncio.get_running_loop().time)
    line = {"baud_rate": 115200, "read_termination": "\r\n", "write_termination": "\n"}
    seen = await on_port(box.connect, tmp_path / "switch", session, **line)
    assert seen["first"] == "1"
    assert seen["then"][-1] == "2"  # the first ones may be of the state before


async def test_epc(tmp_path: Path) -> None:
    def session(box: Any) -> dict[str, Any]:
        return {"set": [box.query("V1,-250"), box.read()], "wrong": box.query("V9,1")}

    box = OzEpc()
    line = {"baud_rate": 9600, "read_termination": "\r\n", "write_termination": "\r\n"}
    assert await on_port(box.connect, tmp_path / "epc", session, **line) == {
        "set": ["Set CH1 DC Voltage at: -250mV", "Done"],
        "wrong": "Error!",
    }
    assert box.voltages_mv == [-250, 0, 0, 0]
