"""The simulated DG645 by its lines, and the driver on it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from drivers.devices import Pulse
from drivers.electronics import dg645
from sim_backends.instruments.dg645 import Dg645
from tests.twins import Sink, on_twin, said
from timing.loop import run_virtual


def test_lines() -> None:
    exchanges = [
        ("DLAY 3,2,+0.001", ""),
        ("DLAY?3", "2,+0.001000000000\r\n"),
        ("DLAY? 3", "2,+0.001000000000\r\n"),
        ("LINK? 3", "2\r\n"),
        ("TRAT?", "+1000.000000\r\n"),
        ("TRAT 2e3;TRAT?", "+2000.000000\r\n"),
        ("LAMP 1,4.0;LAMP?1", "+4.00\r\n"),
        ("LPOL 1,0;LPOL?1", "0\r\n"),
        ("LERR?", "0\r\n"),
    ]

    async def scenario() -> None:
        sink = Sink()
        session = Dg645("001013").connect(sink)
        for command, answer in exchanges:
            assert (await said(session, sink, f"{command}\n".encode())).decode() == answer

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("TSRC 9", 10),
        ("DLAY 2,0,2001", 12),
        ("DLAY 2,0,-1e-9", 12),
        ("DLAY 2,2,0", 13),
        ("NONE 1", 111),
        ("NONE?", 111),
        ("*TRG?", 112),
        ("DLAY 2,0", 116),
        ("DLAY 2,0,soon", 118),
        ("TSRC x", 120),
    ],
)
def test_errors_are_queued_and_nothing_changes(line: str, code: int) -> None:
    async def scenario() -> None:
        sink = Sink()
        box = Dg645("001013")
        session = box.connect(sink)
        before = dict(box.edges)
        assert await said(session, sink, f"{line}\n".encode()) == b""
        assert await said(session, sink, b"LERR?\nLERR?\n") == f"{code}\r\n0\r\n".encode()
        assert box.edges == before

    run_virtual(scenario())


def test_the_driver_on_it() -> None:
    async def scenario() -> None:
        box = Dg645("001013")
        async with on_twin(dg645.Dg645, box.connect) as generator:
            pulses = {"AB": Pulse(1_000_005, 20_000), "GH": Pulse(0, 5)}
            await generator.set_pulses(pulses)
            assert box.edges[2] == (0, Decimal("0.000001000005"))
            assert box.edges[9] == (8, Decimal("5e-12"))
            await generator.apply({"trigger_rate_hz": 1e6, "running": True})
            assert box.triggers
            shown = await generator.readings()
            assert shown["trigger_rate_hz"] == 1e6
            assert shown["ab_width_ps"] == 20_000
            await generator.enter_safe_state()
            assert not box.triggers

    run_virtual(scenario())
