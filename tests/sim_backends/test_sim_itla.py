"""The simulated ITLA by its packets, and the driver on it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentError, Refused
from drivers.lasers import itla
from sim_backends.instruments.itla import Itla
from tests.twins import Sink, make_laser, on_twin, said
from timing.loop import run_virtual


def make_module() -> Itla:
    return Itla(make_laser(1550.0), "SN0042", now_s=asyncio.get_running_loop().time)


def test_packets() -> None:
    # Requests as pytla 0.2.0 encodes them; the answers' checksums by hand.
    exchanges = {
        "00000000": "54000010",
        "81320008": "e7320100",  # pending
        "a13500c1": "6535" + "0000",  # not while the output is on
        "5131ff06": "2531" + "0000",
        "10010000": "9601" + "0008",  # the device type has eight bytes
        "b00b0000": "840b" + "4357",  # "CW"
    }

    async def scenario() -> None:
        sink = Sink()
        session = make_module().connect(sink)
        for sent, answered in exchanges.items():
            heard = await said(session, sink, bytes.fromhex(sent), 0.05)
            assert heard[0] & 0x0F == int(answered[1], 16), sent
            assert heard[1:] == bytes.fromhex(answered)[1:], sent
        heard = await said(session, sink, bytes.fromhex("10320008"), 0.05)
        assert heard[0] & 0x08  # a broken packet is not understood

    run_virtual(scenario())


@given(st.binary(max_size=60))
def test_garbage_leaves_it_working(garbage: bytes) -> None:
    async def scenario() -> None:
        module = make_module()
        module.connect(Sink()).feed(garbage)
        async with on_twin(itla.Itla, module.connect) as driver:
            await driver.ping()

    run_virtual(scenario())


def test_the_driver_on_it_after_half_a_packet() -> None:
    async def scenario() -> None:
        clock = asyncio.get_running_loop().time
        module = make_module()
        laser = module._laser
        async with on_twin(itla.Itla, module.connect, poll=module.poll) as driver:
            for cut in range(1, 4):
                await driver.link.send(b"\x10\x01\x00"[:cut])
                await driver.link.open()
                await driver.connect()
            before_s = clock()
            await driver.apply({"power_mw": 10.0, "wavelength_nm": 1545.0, "emission": True})
            assert clock() - before_s > 2.0
            assert laser.emission
            assert laser.power_mw == pytest.approx(10.0)
            assert laser.wavelength_nm == pytest.approx(1545.0, abs=4e-4)
            assert await driver.power_mw() == pytest.approx(10.0, rel=2e-3)
            await driver.set_wavelength_nm(1545.02)
            assert await driver.wavelength_nm() == pytest.approx(1545.02, abs=1e-5)
            await asyncio.sleep(0.1)
            assert laser.wavelength_nm == pytest.approx(1545.02, abs=1e-5)
            with pytest.raises(Refused, match="switch emission off first"):
                await driver.set_wavelength_nm(1546.0)
            await driver.set_low_noise("whisper")
            assert (await driver.readings())["low_noise"] == "whisper"
            module.disabled = True
            await asyncio.sleep(0.1)
            assert not laser.emission
            with pytest.raises(InstrumentError, match="value out of range"):
                await driver.set_emission(True)
            module.disabled = False
            await driver.set_emission(True)
            await driver.enter_safe_state()
            assert not laser.emission
            assert await driver.power_mw() == 0.0

    run_virtual(scenario())
