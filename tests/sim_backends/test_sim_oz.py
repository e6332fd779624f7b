"""The simulated instruments of OZ Optics by their lines, and the drivers on them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentError
from drivers.optics import oz_dd100, oz_epc
from sim_backends.instruments.oz_dd100 import OzDd100
from sim_backends.instruments.oz_epc import OzEpc
from tests.twins import Sink, on_twin, said
from timing.loop import run_virtual


@pytest.mark.parametrize("echo", [False, True])
def test_the_epc_by_its_lines(echo: bool) -> None:
    exchanges = {
        "V3,2500": "Set CH3 DC Voltage at: 2500mV\r\nDone",
        "V?": "Voltage(mV): CH1 +0000 CH2 +0000 CH3 +2500 CH4 +0000\r\nDone",
        "MAC": "Set To AC Mode\r\nDone",
        "m?": "Work Mode: AC(Sine)\r\nDone",
        "F?": "Frequency(Hz): CH1 007  CH2 017  CH3 037  CH4 071\r\nDone",
        "V3,5001": "Error!",
        "V5,1": "Error!",
        "F1,101": "Error!",
        "HELLO": "Error!",
    }

    async def scenario() -> None:
        sink = Sink()
        session = OzEpc(echo=echo).connect(sink)
        for command, answer in exchanges.items():
            echoed = f"{command}\r\n" if echo else ""
            heard = await said(session, sink, f"{command}\r\n".encode())
            assert heard.decode() == f"{echoed}{answer}\r\n"

    run_virtual(scenario())


@pytest.mark.parametrize("echo", [False, True])
def test_the_driver_on_the_epc(echo: bool) -> None:
    async def scenario() -> None:
        box = OzEpc(echo=echo)
        box.run("MAC")
        async with on_twin(oz_epc.OzEpc, box.connect) as epc:
            await epc.set_drives((100.0, -5000.0, 5000.0, 0.0))
            assert box.voltages_mv == [100, -5000, 5000, 0]
            assert await epc.drives() == (100.0, -5000.0, 5000.0, 0.0)
            assert (await epc.readings())["mode"] == "DC"
            await epc.enter_safe_state()
            assert box.voltages_mv == [100, -5000, 5000, 0]

    run_virtual(scenario())


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_leaves_the_epc_working(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        sink = Sink()
        session = OzEpc().connect(sink)
        for piece in pieces:
            session.feed(piece)
        await said(session, sink, b"\r\n", 5.0)
        assert b"Done" in await said(session, sink, b"V?\r\n")

    run_virtual(scenario())


def test_the_driver_on_the_dd100() -> None:
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        box = OzDd100(now_s=clock)
        async with on_twin(oz_dd100.OzDd100, box.connect) as voa:
            before_s = clock()
            await voa.set_attenuation_db(20.0)
            assert clock() - before_s > 0.9  # it has a motor
            assert box.attenuation_db == pytest.approx(20.0, abs=0.01)
            assert await voa.attenuation_db() == pytest.approx(20.0, abs=0.01)
            await voa.enter_safe_state()
            assert box.attenuation_db == 60.0
            box.lose_position()
            with pytest.raises(InstrumentError, match="call `home`"):
                await voa.ping()
            await voa.home()
            assert await voa.attenuation_db() == pytest.approx(0.8)

    run_virtual(scenario())


def test_the_dd100_by_its_lines() -> None:
    async def scenario() -> None:
        sink = Sink()
        box = OzDd100(now_s=asyncio.get_running_loop().time)
        session = box.connect(sink)
        assert await said(session, sink, b"A61\r") == b"Error-6\r\n\r\n"
        assert await said(session, sink, b"NONSENSE\r") == b"Error-2\r\n\r\n"
        assert await said(session, sink, b"A50.00\r", 0.2) == b""
        assert await said(session, sink, b"", 0.2) == b"Pos:5904\r\nDone\r\n\r\n"

    run_virtual(scenario())
