"""The simulated BASIK module by its telegrams, and the driver on it."""

from __future__ import annotations

import asyncio
import binascii
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentError
from drivers.lasers.nkt_koheras import KoherasBasik
from sim_backends.instruments.nkt_basik import NktBasik
from tests.twins import Sink, make_laser, on_twin, said
from timing.loop import run_virtual

NEVER = math.inf


def make_module(skips_one_in: float = NEVER, late_one_in: float = NEVER) -> NktBasik:
    return NktBasik(
        make_laser(1550.12),
        "K1234567",
        np.random.default_rng(3),
        now_s=asyncio.get_running_loop().time,
        skips_one_in=skips_one_in,
        late_one_in=late_one_in,
    )


def wire(*body: int) -> bytes:
    raw = bytes(body) + binascii.crc_hqx(bytes(body), 0).to_bytes(2, "big")
    for special in (0x5E, 0x0D, 0x0A):
        raw = raw.replace(bytes([special]), bytes([0x5E, special + 0x40]))
    return b"\x0d" + raw + b"\x0a"


def test_registers_and_refusals() -> None:
    async def scenario() -> None:
        sink = Sink()
        session = make_module().connect(sink)
        assert await said(session, sink, wire(1, 161, 4, 0x61)) == wire(161, 1, 8, 0x61, 0x33)
        name = await said(session, sink, wire(1, 200, 4, 0x65))
        assert name == wire(200, 1, 8, 0x65, *b"K1234567")
        assert await said(session, sink, wire(1, 161, 4, 0x99)) == wire(161, 1, 0, 0x99)
        assert await said(session, sink, wire(1, 161, 5, 0x32, 1, 2)) == wire(161, 1, 0, 0x32)
        # 0x0FA1 is 40.01 mW, the laser has 40.
        assert await said(session, sink, wire(1, 161, 5, 0x22, 0xA1, 0x0F)) == wire(161, 1, 0, 0x22)
        assert await said(session, sink, wire(2, 161, 4, 0x61)) == b""
        assert await said(session, sink, b"\r\x01\xa1\x04\x61\0\0\n") == wire(161, 1, 1, 0x61)
        assert await said(session, sink, wire(1, 161, 4, 0x61)[:4]) == b""
        assert await said(session, sink, wire(1, 161, 4, 0x30)) == wire(161, 1, 8, 0x30, 0)

    run_virtual(scenario())


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_leaves_it_working(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        sink = Sink()
        session = make_module().connect(sink)
        for piece in pieces:
            session.feed(piece)
        await asyncio.sleep(1.0)
        assert await said(session, sink, wire(1, 161, 4, 0x61)) == wire(161, 1, 8, 0x61, 0x33)

    run_virtual(scenario())


def test_the_driver_lights_tunes_and_darkens_it() -> None:
    async def scenario() -> None:
        module = make_module()
        laser = module._laser
        async with on_twin(KoherasBasik, module.connect, poll=module.poll) as driver:
            await driver.apply({"power_mw": 12.5, "emission": True})
            assert laser.emission
            assert laser.power_mw == pytest.approx(12.5)
            assert await driver.power_mw() == pytest.approx(12.5)
            await driver.set_wavelength_nm(1550.42)
            assert laser.wavelength_nm == pytest.approx(1550.42, abs=2e-3)
            assert asyncio.get_running_loop().time() > 5.0  # it takes its time to tune
            shown = await driver.readings()
            assert shown["alarms"] == "none"
            module.interlock_open = True
            await asyncio.sleep(0.1)
            assert not laser.emission
            assert not await driver.emission()
            assert "interlock" in str((await driver.readings())["alarms"])
            with pytest.raises(InstrumentError, match="interlock"):
                await driver.set_emission(True)
            module.interlock_open = False
            await driver.enter_safe_state()
            await asyncio.sleep(1.0)
            assert not laser.emission

    run_virtual(scenario())


def test_skipped_and_late_answers_give_no_wrong_value() -> None:
    async def scenario() -> None:
        module = make_module(skips_one_in=5.0, late_one_in=6.0)
        async with on_twin(KoherasBasik, module.connect, poll=module.poll) as driver:
            for wanted in range(1, 41):
                await driver.set_power_mw(float(wanted))
                assert await driver._integer(0x22, 2) == 100 * wanted
                assert await driver._integer(0x1E, 2) == 12_000
            assert int((await driver.readings())["repeated_requests"]) > 20

    run_virtual(scenario())
