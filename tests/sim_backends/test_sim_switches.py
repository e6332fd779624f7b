"""The simulated optical switches by their lines, and the drivers on them."""

from __future__ import annotations

import asyncio

import pytest

from drivers.errors import InstrumentError
from drivers.optics import osw_e, polatis
from sim_backends.instruments.osw_e import OswE
from sim_backends.instruments.polatis import Polatis
from tests.twins import Sink, on_twin, said
from timing.loop import run_virtual


def test_the_polatis_by_its_lines() -> None:
    exchanges = [
        (":oxc:swit:size?", "16,16\n"),
        (":oxc:swit:conn:stat?", "(@),(@)\n"),
        (":oxc:swit:conn:add (@1,2,3),(@17,18,19)", ""),
        (":oxc:swit:conn:port? 2", '"18"\n'),
        (":OXC:SWITch:CONNect:PORT? 19", '"3"\n'),
        (":oxc:swit:conn:port? 5", '""\n'),
        (":oxc:swit:conn:sub (@2),(@18); stat?", ""),
        (":oxc:swit:conn:stat?", "(@1,3),(@17,19)\n"),
        (":oxc:swit:conn:add (@4),(@17)", ""),  # the output is taken from input 1
        (":oxc:swit:conn:stat?", "(@3,4),(@19,17)\n"),
        (":oxc:swit:conn:add (@5),(@6)", ""),
        (":oxc:swit:conn:add (@5)", ""),
        (":oxc:swit:conn:stat?", "(@3,4),(@19,17)\n"),
        (":syst:err:all?", '-222,"Data out of range",-102,"Syntax error"\n'),
        (":syst:err:all?", '0,"No error"\n'),
        (":oxc:swit:port:dis (@2,4)", ""),
        (":oxc:swit:port:stat? (@2,3,4)", "(D,E,D)\n"),
        (":oxc:swit:disc:all", ""),
        (":oxc:swit:conn:stat?", "(@),(@)\n"),
    ]

    async def scenario() -> None:
        sink = Sink()
        session = Polatis("002414", now_s=asyncio.get_running_loop().time).connect(sink)
        for command, answer in exchanges:
            heard = await said(session, sink, f"{command}\n".encode())
            if command.endswith("; stat?"):
                assert heard.startswith(b"(@1")  # told before the mirrors have moved
            else:
                assert heard.decode() == answer, command

    run_virtual(scenario())


def test_the_driver_on_the_polatis() -> None:
    async def scenario() -> None:
        box = Polatis("002414", now_s=asyncio.get_running_loop().time)
        async with on_twin(polatis.Polatis, box.connect) as switch:
            await switch.set_connections({1: 16, 16: 1})
            assert box.connections == {1: 32, 16: 17}
            box.failed = {18}
            with pytest.raises(InstrumentError, match=r"found \{1: 16, 16: 1\}; .*-200"):
                await switch.set_connections({2: 2})
            assert await switch.connections() == {1: 16, 16: 1}
            await switch.enter_safe_state()
            assert box.connections == {}

    run_virtual(scenario())


def test_the_driver_on_the_osw_e() -> None:
    async def scenario() -> None:
        box = OswE("OSW22-1310E", now_s=asyncio.get_running_loop().time)
        async with on_twin(osw_e.OswE, box.connect, options={"model": "2x2"}) as switch:
            await switch.set_connections({1: 2, 2: 1})
            assert box.state == 2
            box.stuck = True
            with pytest.raises(InstrumentError, match="not there"):
                await switch.set_connections({1: 1})
            box.stuck = False
            await switch.enter_safe_state()
            assert box.state == 1

    run_virtual(scenario())


def test_the_osw_e_answers_nothing_but_questions_and_late() -> None:
    async def scenario() -> None:
        sink = Sink()
        session = OswE(now_s=asyncio.get_running_loop().time).connect(sink)
        assert await said(session, sink, b"S 2\n", 0.01) == b""
        assert await said(session, sink, b"S?\n", 0.01) == b"1\r\n"
        assert await said(session, sink, b"S?\n", 0.5) == b"1\r\n"
        assert await said(session, sink, b"S?\nNONSENSE\nS 3\n", 0.5) == b"2\r\n"

    run_virtual(scenario())
