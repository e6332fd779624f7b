"""pyvisa-py, as a lab's own scripts use it, with every simulated instrument that speaks SCPI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sim_backends.instruments.pm100d import Pm100d
from sim_backends.instruments.polatis import Polatis
from sim_backends.mount import Connect
from tests.oracles.judge import on_tcp
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
