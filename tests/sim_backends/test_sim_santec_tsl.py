"""The simulated TSL-570 by its lines, and the driver on it."""

from __future__ import annotations

import asyncio

import pytest

from drivers.errors import InstrumentError
from drivers.lasers import santec_tsl
from sim_backends.instruments.santec_tsl import SantecTsl
from tests.twins import Sink, make_laser, on_twin, said
from timing.loop import run_virtual


def make_box() -> SantecTsl:
    laser = make_laser(1550.0)
    return SantecTsl(laser, "21020001", now_s=asyncio.get_running_loop().time)


def test_lines_in_both_dialects() -> None:
    exchanges = [
        (":WAV?", "1550.0000\r"),
        (":WAVelength 1550.5;WAV?", "1550.5000\r"),
        (":WAV:FREQ?", "193.35212\r"),
        (":WAV 2000", ""),
        (":SYST:ERR?", '-222,"Data out of range"\r'),
        (":SYST:ERR?", '0,"No error"\r'),
        (":POW:UNIT 1;:POW 5;:POW?", "+5.000\r"),
        (":SYSTem:COMMunicate:CODe 1", ""),
        (":WAV?", "+1.55050000E-06\r"),
        (":WAV 1550", ""),
        (":SYST:ERR?", "-222,Data out of range\r"),
        (":WAV 1.56e-6;WAV?", "+1.56000000E-06\r"),
        (":FREQ 1.93e14", ""),
        (":SYST:ERR?", "0,No error\r"),
        (":SYST:ALER?", "No alerts.\r"),
    ]

    async def scenario() -> None:
        sink = Sink()
        session = make_box().connect(sink)
        for command, answer in exchanges:
            assert (await said(session, sink, f"{command}\r".encode())).decode() == answer, command

    run_virtual(scenario())


def test_the_driver_on_it_while_somebody_plays_with_the_panel() -> None:
    async def scenario() -> None:
        box = make_box()
        laser = box._laser
        async with on_twin(santec_tsl.SantecTsl, box.connect, poll=box.poll) as driver:
            for wanted_nm, power_mw in ((1500.0, 1.0), (1520.5, 5.0), (1540.0, 12.0)):
                await driver.apply({"wavelength_nm": wanted_nm, "power_mw": power_mw})
                await driver.set_emission(True)
                assert laser.emission
                assert laser.power_mw == pytest.approx(power_mw, rel=0.01)
                assert laser.wavelength_nm == pytest.approx(wanted_nm, abs=1e-3)
                box.scpi = not box.scpi
                assert await driver.wavelength_nm() == pytest.approx(wanted_nm)
                box.milliwatts = not box.milliwatts
                assert await driver.power_mw() == pytest.approx(power_mw, rel=0.01)
            box.interlock_open = True
            await asyncio.sleep(0.1)
            assert not laser.emission
            assert (await driver.readings())["alerts"] == "interlock"
            with pytest.raises(InstrumentError, match="interlock"):
                await driver.set_emission(True)
            box.interlock_open = False
            await asyncio.sleep(1.5)
            await driver.enter_safe_state()
            assert not laser.emission

    run_virtual(scenario())
