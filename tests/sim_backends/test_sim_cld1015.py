"""The simulated CLD1015 by its lines, and the driver on it."""

from __future__ import annotations

import asyncio

import pytest

from drivers.errors import InstrumentError, Refused
from drivers.lasers import cld1015
from sim_backends.instruments.cld1015 import Cld1015
from tests.twins import Sink, make_laser, on_twin, said
from timing.loop import run_virtual

OPTIONS = {"wavelength_nm": 1550.0}


def make_box() -> Cld1015:
    laser = make_laser(1550.0, max_mw=90.0)
    return Cld1015(laser, "M00443953", now_s=asyncio.get_running_loop().time)


def test_lines_in_long_and_short_form() -> None:
    exchanges = [
        ("*IDN?", "THORLABS,CLD1015,M00443953,1.2.0/1.4.0\n"),
        ("source:current:level:amplitude 0.065", ""),
        ("source:current:level:amplitude?", "6.500000E-02\n"),
        ("SOUR:CURR? MAX", "1.000000E-01\n"),
        ("SOUR2:TEMP 20.0C", ""),
        ("SOUR2:TEMP:SPO?", "2.000000E+01\n"),
        ("UNIT:TEMP K;:SOUR2:TEMP?", "2.931500E+02\n"),
        ("UNIT:TEMP C", ""),
        ("OUTP ON", ""),  # without cooling
        ("SYST:ERR?", '-221,"Settings conflict"\n'),
        ("OUTP2 ON;:OUTP2?", "1\n"),
        ("OUTP:PROT:INTL:TRIP?;:OUTP:PROT:KEYL:TRIP?", "0;0\n"),
        ("SYST:ERR?", '+0,"No error"\n'),
    ]

    async def scenario() -> None:
        sink = Sink()
        session = make_box().connect(sink)
        for command, answer in exchanges:
            assert (await said(session, sink, f"{command}\n".encode())).decode() == answer, command

    run_virtual(scenario())


def test_the_driver_on_it() -> None:
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        box = make_box()
        laser = box._laser
        async with on_twin(cld1015.Cld1015, box.connect, options=OPTIONS, poll=box.poll) as driver:
            started_s = clock()
            await driver.apply({"temperature_c": 20.0, "current_ma": 70.0, "emission": True})
            assert clock() - started_s > 5.0  # the temperature has to settle before
            assert laser.emission
            assert laser.power_mw == pytest.approx(60.0)
            assert await driver.current_ma() == pytest.approx(70.0)
            assert (await driver.temperatures_c())[0] == pytest.approx(20.0, abs=0.1)
            with pytest.raises(Refused, match="needs its cooling"):
                await driver.set_regulating(False)
            box.interlock_open = True
            await asyncio.sleep(0.1)
            assert not laser.emission
            assert (await driver.readings())["trips"] == "interlock"
            with pytest.raises(InstrumentError, match="tripped are interlock"):
                await driver.set_emission(True)
            box.interlock_open = False
            await asyncio.sleep(1.0)
            assert not laser.emission  # it does not come back by itself
            await driver.set_emission(True)
            await driver.enter_safe_state()
            assert not laser.emission
            assert box.regulating
            await driver.set_regulating(False)
            await asyncio.sleep(20.0)
            assert box.actual_c == pytest.approx(23.5, abs=0.01)

    run_virtual(scenario())
