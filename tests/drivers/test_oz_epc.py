"""The EPC-04 driver against the answers that public drivers quote."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.optics.oz_answers import UntilDone
from drivers.optics.oz_epc import OzEpc
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]


def answer(command: str, text: str, *, echo: bool = False) -> Line:
    echoed = f"{command}\r\n" if echo else ""
    return f"{command}\r\n".encode(), f"{echoed}{text}\r\nDone\r\n".encode()


VOLTAGES = "Voltage(mV): CH1 +2200 CH2 +5000 CH3 -1000 CH4 -4000"
DC = answer("M?", "Work Mode: DC")
AC = answer("M?", "Work Mode: AC(Sine)")
CONNECT: list[Line] = [(b"\r\n", None), DC, DC, answer("V?", VOLTAGES)]


@pytest.mark.parametrize("echo", [False, True])
def test_voltages_are_read_set_where_they_differ_and_confirmed(echo: bool) -> None:
    script: list[Line] = [
        (b"\r\n", b"\r\nError!\r\n"),
        (b"M?\r\n", b"Error!\r\n"),  # to what was left behind, late
        answer("M?", "Work Mode: DC", echo=echo),
        answer("M?", "Work Mode: DC", echo=echo),
        answer("V?", VOLTAGES, echo=echo),
        answer("M?", "Work Mode: DC", echo=echo),
        answer("V?", VOLTAGES, echo=echo),
        answer("V3,2500", "Set CH3 DC Voltage at: 2500mV", echo=echo),
        answer("V?", VOLTAGES.replace("-1000", "+2500"), echo=echo),
    ]

    async def scenario() -> None:
        async with expected_exchange(OzEpc, script) as epc:
            who = await epc.connect()
            assert wrong_box(OzEpc.manifest, who, None) == ""
            await epc.apply({"drives_mv": [2200, 5000.0, 2500.2, -4000]})

    run_virtual(scenario())


def test_scrambling_is_left_before_voltages_are_set() -> None:
    script = [AC, answer("MDC", "Set To DC Mode"), answer("V?", VOLTAGES), answer("V?", VOLTAGES)]

    async def scenario() -> None:
        async with expected_exchange(OzEpc, script) as epc:
            await epc.set_drives((2200, 5000, -1000, -4000))

    run_virtual(scenario())


def test_a_voltage_that_was_not_taken_is_told() -> None:
    first = "Voltage(mV): CH1 +0000 CH2 +0000 CH3 +0000 CH4 +0000"
    refused = (b"V1,100\r\n", b"Error!\r\n")
    script = [DC, answer("V?", first), answer("V1,5", "Set"), answer("V?", first), DC]
    script += [answer("V?", first), refused, DC]

    async def scenario() -> None:
        async with expected_exchange(OzEpc, script) as epc:
            with pytest.raises(InstrumentError, match="it tells"):
                await epc.set_drives((5, 0, 0, 0))
            with pytest.raises(InstrumentError, match="Error!: it does not take V1,100"):
                await epc.set_drives((100, 0, 0, 0))
            await epc.ping()  # an error does not end the talk

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("drives", "words"),
    [
        ([5001, 0, 0, 0], "drive 1 = 5001, accepted are -5000 to 5000 mV"),
        ([0, 0, 0, float("nan")], "drive 4 = nan"),
        ([0, "1", 0, 0], "drive 2 = '1'"),
        ([0, True, 0, 0], "drive 2 = True"),
        ([0, 0, 0], "expected 4 voltages"),
        (5, "drives_mv = 5, expected a list"),
    ],
)
def test_wrong_drives_are_refused_before_anything_is_sent(drives: Any, words: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(OzEpc, []) as epc:
            with pytest.raises(Refused, match=words):
                await epc.apply({"drives_mv": drives})

    run_virtual(scenario())


@pytest.mark.parametrize(
    "text", ["Voltage(mV): CH1 +2200 CH2 +5000", "", "CH1 1 CH2 2 CH3 3 CH5 4", "\xff\xfe"]
)
def test_a_malformed_answer_shows_its_bytes_and_poisons(text: str) -> None:
    async def scenario() -> None:
        script = [(b"V?\r\n", f"{text}\r\nDone\r\n".encode("latin-1"))]
        async with expected_exchange(OzEpc, script) as epc:
            with pytest.raises(ProtocolError) as caught:
                await epc.drives()
            assert caught.value.raw == text.encode("latin-1")
            assert not epc.link.usable

    run_virtual(scenario())


def test_without_done_it_is_a_timeout() -> None:
    async def scenario() -> None:
        async with expected_exchange(OzEpc, [(b"M?\r\n", b"Work Mode: DC\r\nDon")]) as epc:
            with pytest.raises(Timeout):
                await epc.ping()

    run_virtual(scenario())


def test_the_end_of_an_answer() -> None:
    until = UntilDone()
    assert until.take(bytearray(b"Done")) is None
    assert until.take(bytearray(b"not Done yet\r\n")) is None
    buffer = bytearray(b"Set\r\nDone\r\n\r\nnext")
    assert until.take(buffer) == b"Set\r\nDone\r\n"
    assert buffer == b"\r\nnext"
    assert until.take(bytearray(b"Error-5\r\n")) == b"Error-5\r\n"
    with pytest.raises(ProtocolError, match="no Done"):
        until.take(bytearray(b"x" * (1 << 20) + b"x"))


def test_options_are_refused() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match="it has no options"):
                OzEpc(link, {"echo": True})

    run_virtual(scenario())
