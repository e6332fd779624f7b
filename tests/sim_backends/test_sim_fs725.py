"""The simulated FS725 by its lines, and the driver on it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from drivers.electronics import fs725
from sim_backends.instruments.fs725 import Fs725
from tests.twins import Sink, on_twin, said
from timing.loop import run_virtual


def make_clock(pps_offset_ns: float | None = 50.0) -> Fs725:
    clock = asyncio.get_running_loop().time
    rng = np.random.default_rng(2)
    return Fs725("19957", rng, now_s=clock, warm_up_s=300.0, pps_offset_ns=pps_offset_ns)


def test_lines_while_it_warms_up_and_after() -> None:
    async def scenario() -> None:
        sink = Sink()
        session = make_clock().connect(sink)
        assert await said(session, sink, b"ID?\r") == b"PRS10_3.24_SN_19957\r"
        assert await said(session, sink, b"lo?\r") == b"0\r"
        assert await said(session, sink, b"ST?\r") == b"0,0,17,1,2,128\r"
        await asyncio.sleep(1000.0)
        assert await said(session, sink, b"LO?\r") == b"1\r"
        assert await said(session, sink, b"ST?\r") == b"0,0,0,0,4,0\r"
        assert await said(session, sink, b"NONSENSE\r") == b""
        assert await said(session, sink, b"ST?\r") == b"0,0,0,0,4,32\r"
        assert await said(session, sink, b"ST?\r") == b"0,0,0,0,4,0\r"

    run_virtual(scenario())


def test_a_fault_that_passes_stays_latched_until_it_is_read() -> None:
    async def scenario() -> None:
        box = make_clock()
        await asyncio.sleep(1000.0)
        async with on_twin(fs725.Fs725, box.connect) as clock:
            assert (await clock.status()).warnings == ()
            box.lamp_failed = True
            box.note()
            box.lamp_failed = False
            seen = await clock.status()
            assert seen.locked
            assert "lamp light too low" in seen.warnings
            assert (await clock.status()).warnings == ()
            assert "lamp light too low" in str((await clock.readings())["warnings"])

    run_virtual(scenario())


def test_it_locks_follows_the_pulse_and_loses_it() -> None:
    async def scenario() -> None:
        box = make_clock(pps_offset_ns=-80.0)
        async with on_twin(fs725.Fs725, box.connect) as clock:
            assert not (await clock.status()).locked
            await asyncio.sleep(310.0)
            seen = await clock.status()
            assert seen.locked
            assert not seen.following
            assert seen.pps_offset_ns == pytest.approx(-80.0, abs=15.0)
            await asyncio.sleep(1500.0)
            seen = await clock.status()
            assert seen.following
            assert seen.pps_offset_ns == pytest.approx(0.0, abs=15.0)
            box.jump_ns(None)
            seen = await clock.status()
            assert (seen.locked, seen.following, seen.pps_offset_ns) == (True, False, None)
            assert "no 1 pps input" in seen.warnings
            await clock.set_follow_pps(False)
            await clock.status()
            assert (await clock.status()).warnings == ()

    run_virtual(scenario())
