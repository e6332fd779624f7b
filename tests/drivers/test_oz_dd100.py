"""The DD-100-MC driver against the answers that public drivers quote."""

from __future__ import annotations

import asyncio

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.optics.oz_dd100 import OzDd100
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]


def answer(command: str, *lines: str) -> Line:
    return f"{command}\r".encode(), "\r\n".join([*lines, "Done", "", ""]).encode()


def stands(attenuation: str) -> Line:
    return answer("D", "DPos:512", f"ATTEN:{attenuation}")


CONNECT: list[Line] = [
    (b"\r", None),
    answer("CD", "DD-100-MC", "IL: 0.80", "MAX ATTEN: 60.00"),
    stands("3.20"),
]


def test_connect_asks_for_the_range_and_a_value_out_of_it_is_refused() -> None:
    script = [*CONNECT, answer("A12.35", "Pos:1386"), stands("12.34")]

    async def scenario() -> None:
        async with expected_exchange(OzDd100, script) as voa:
            who = await voa.connect()
            assert wrong_box(OzDd100.manifest, who, None) == ""
            with pytest.raises(Refused, match=r"accepted are 0\.8 to 60 dB"):
                await voa.set_attenuation_db(60.1)
            with pytest.raises(Refused, match="attenuation_db = '3', expected a number"):
                await voa.apply({"attenuation_db": "3"})
            await voa.apply({"attenuation_db": 12.35})

    run_virtual(scenario())


def test_the_safe_state_is_the_largest_attenuation_read_back() -> None:
    script = [*CONNECT, answer("A60.00", "Pos:7104"), stands("60.00")]
    stuck = [*CONNECT, answer("A60.00", "Pos:512"), stands("3.20")]

    async def scenario() -> None:
        async with expected_exchange(OzDd100, script) as voa:
            await voa.connect()
            await voa.enter_safe_state()
        async with expected_exchange(OzDd100, stuck) as voa:
            await voa.connect()
            with pytest.raises(InstrumentError, match=r"set to 60 dB and stands at 3\.2 dB"):
                await voa.enter_safe_state()

    run_virtual(scenario())


def test_the_option_bounds_and_is_needed_where_the_instrument_tells_no_range() -> None:
    silent = [(b"\r", None), answer("CD", "OZ Optics")]

    async def scenario() -> None:
        async with expected_exchange(OzDd100, silent) as voa:
            with pytest.raises(InstrumentError, match="give the option max_attenuation_db"):
                await voa.connect()
        options = {"max_attenuation_db": 30}
        async with expected_exchange(OzDd100, [*silent, stands("3")], options=options) as voa:
            await voa.connect()
            with pytest.raises(Refused, match="0 to 30 dB"):
                await voa.set_attenuation_db(31)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"Error-2\r\n", "-2: bad command"),
        (b"Error-5\r\nDone\r\n", "home sensor error"),
        (b"DPos:0\r\nAtten:unknown\r\nDone\r\n", "call `home`"),
    ],
)
def test_errors_of_the_instrument(raw: bytes, words: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(OzDd100, [(b"D\r", raw)]) as voa:
            with pytest.raises(InstrumentError, match=words):
                await voa.ping()

    run_virtual(scenario())


def test_another_drivers_form_of_the_position_is_read() -> None:
    async def scenario() -> None:
        script = [(b"D\r", b"\r\nPos: 5750\r\nAtten: 36.50(dB)\r\nDone\r\n")]
        async with expected_exchange(OzDd100, script) as voa:
            assert await voa.readings() == {"attenuation_db": 36.5}
        async with expected_exchange(OzDd100, [(b"D\r", b"DPos:1\r\nDone\r\n")]) as voa:
            with pytest.raises(ProtocolError, match="expected an attenuation"):
                await voa.ping()

    run_virtual(scenario())


def test_homing_is_waited_for() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, box):
            homing = asyncio.create_task(OzDd100(link).home())
            await box.expect(b"H\r")
            await asyncio.sleep(40.0)
            await box.write(b"Diff=2\r\nDone\r\n\r\n")
            await homing

    run_virtual(scenario())


@pytest.mark.parametrize("options", [{"max_attenuation_db": "60"}, {"wavelength": 1550}])
def test_wrong_options(options: dict[str, object]) -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match=next(iter(options))):
                OzDd100(link, options)

    run_virtual(scenario())
