"""The MPC320 driver against messages as the APT document and two public drivers have them."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.links.base import Link
from drivers.links.memory import MemoryTransport
from drivers.optics.apt import Apt, AptMessages
from drivers.optics.mpc320 import Mpc320
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from drivers.testing.twins import dial_to
from sim_backends.instruments.mpc320 import Mpc320 as Twin
from sim_backends.lab_parts import PaddlesConfig
from sim_backends.paddles import Paddles
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]
ON = 0x8000_0000

# HW_REQ_INFO and its answer, byte by byte: 84 bytes of data, from 50 to 01.
WHO = bytes.fromhex("050000005001")
INFO = (
    bytes.fromhex("060054008150")
    + bytes.fromhex("9CB44A02")  # 38450332
    + b"MPC320\0\0"
    + bytes.fromhex("2C00")
    + bytes.fromhex("03000100")
    + bytes(60)
    + bytes.fromhex("010000000300")
)
ENABLE_ALL = bytes.fromhex("100207015001")
DISABLE_ALL = bytes.fromhex("100200015001")
MOVED = bytes.fromhex("640402000150")


def status(bit: int, counts: int, bits: int = 0) -> Line:
    data = struct.pack("<HiHhI", bit, counts, 0, 0, bits)
    return bytes([0x90, 0x04, bit, 0, 0x50, 0x01]), bytes.fromhex("91040E008150") + data


def stand(*counts: int, bits: int = 0) -> list[Line]:
    return [status(1 << n, each, bits) for n, each in enumerate(counts)]


def params(velocity: int = 50) -> Line:
    data = struct.pack("<6H", 0, velocity, 0, 10, 20, 30)
    return bytes.fromhex("310500005001"), bytes.fromhex("32050C008150") + data


def test_who_it_is_and_where_it_stands() -> None:
    script: list[Line] = [(WHO, INFO), *stand(0, 685, 1370)]
    script += [*stand(0, 685, 1370), *stand(0, 685, 1370, bits=ON), params()]

    async def scenario() -> None:
        async with expected_exchange(Mpc320, script) as box:
            who = await box.connect()
            assert (who.serial, who.firmware) == ("38450332", "1.0.3")
            assert wrong_box(Mpc320.manifest, who, None) == ""
            assert await box.drives() == (0.0, 85.0, 170.0)
            assert await box.readings() == {
                "paddle1_deg": 0.0,
                "paddle2_deg": 85.0,
                "paddle3_deg": 170.0,
                "velocity_percent": 50.0,
                "motors_on": True,
            }

    run_virtual(scenario())


def test_only_paddles_that_stand_elsewhere_move_one_after_the_other() -> None:
    move = bytes.fromhex("53040600D001") + struct.pack("<Hi", 2, 1209)
    script: list[Line] = [
        *stand(0, 685, 1370),
        (ENABLE_ALL, None),
        *stand(0, 685, 1370, bits=ON),
        (move, None),
        status(2, 900, ON),
        status(2, 1209, ON),
        status(2, 1209, ON),
        (DISABLE_ALL, None),
        *stand(0, 1209, 1370),
    ]

    async def scenario() -> None:
        async with expected_exchange(Mpc320, script) as box:
            await box.set_drives((0.0, 150.0, 170.0))
            assert not box.busy

    run_virtual(scenario())


def test_nothing_is_sent_for_where_it_stands() -> None:
    async def scenario() -> None:
        async with expected_exchange(Mpc320, stand(0, 685, 1370)) as box:
            await box.set_drives((0.1, 85.0, 170.0))

    run_virtual(scenario())


def test_what_it_says_unasked_is_no_answer() -> None:
    question, answer = status(1, 42)
    assert answer is not None
    other = status(2, 7)[1]
    assert other is not None

    async def scenario() -> None:
        # The rest of a message whose first half was dropped comes first.
        async with expected_exchange(Mpc320, [(question, MOVED[3:] + MOVED + other + answer)]) as b:
            await b.ping()
            assert b.link.usable

    run_virtual(scenario())


def test_a_paddle_that_is_held_is_told_and_its_motor_off() -> None:
    class Stuck:
        """Answers to a controller whose paddle stays at 100."""

        def __init__(self) -> None:
            self.on = False

        def answer(self, asked: bytes) -> bytes | None:
            if asked[:2] == b"\x90\x04":
                return status(asked[2], 100, ON if self.on else 0)[1]
            if asked[:2] == b"\x10\x02":
                self.on = asked[2] != 0
            return None

    async def scenario() -> None:
        stuck = Stuck()
        async with memory_link() as (link, server):

            async def serve() -> None:
                waiting = bytearray()
                while True:
                    waiting += await server.read()
                    while len(waiting) >= 6:
                        size = 6 + (waiting[2] if waiting[4] & 0x80 else 0)
                        asked = bytes(waiting[:size])
                        del waiting[:size]
                        if (said := stuck.answer(asked)) is not None:
                            await server.write(said)

            serving = asyncio.create_task(serve())
            box = Mpc320(link)
            with pytest.raises(InstrumentError, match=r"paddle 1 was sent to 170\.0 degrees"):
                await box.set_drives((170.0, 12.4, 12.4))
            assert not stuck.on
            serving.cancel()

    run_virtual(scenario())


def test_velocity_keeps_the_other_parameters_and_is_confirmed() -> None:
    told = bytes.fromhex("30050C00D001") + struct.pack("<6H", 0, 80, 0, 10, 20, 30)

    async def scenario() -> None:
        async with expected_exchange(Mpc320, [params(), (told, None), params(80)]) as box:
            await box.apply({"velocity_percent": 80})
        async with expected_exchange(Mpc320, [params(), (told, None), params(50)]) as box:
            with pytest.raises(InstrumentError, match="set to 80 %, it tells 50 %"):
                await box.set_velocity_percent(80.0)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"drives_deg": [0, 0, 170.5]}, "drive 3 = 170.5, accepted are 0 to 170 deg"),
        ({"drives_deg": [0, float("nan"), 0]}, "drive 2 = nan"),
        ({"drives_deg": [0, 0]}, "expected 3 angles"),
        ({"velocity_percent": 9}, "accepted are 10 to 100 %"),
        ({"velocity_percent": True}, "expected a number"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(
    settings: dict[str, Any], words: str
) -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(Refused, match=words):
                await Mpc320(link).apply(settings)

    run_virtual(scenario())


def test_another_box_and_a_short_answer() -> None:
    two = INFO[:-2] + b"\x02\x00"
    short = bytes.fromhex("060004008150") + b"abcd"

    async def scenario() -> None:
        async with expected_exchange(Mpc320, [(WHO, two)]) as box:
            with pytest.raises(InstrumentError, match="MPC320 has 2, an MPC320 has 3"):
                await box.connect()
        async with expected_exchange(Mpc320, [(WHO, short)]) as box:
            with pytest.raises(ProtocolError, match="expected 84 bytes"):
                await box.connect()
            assert not box.link.usable

    run_virtual(scenario())


def test_no_answer_is_a_timeout() -> None:
    async def scenario() -> None:
        async with expected_exchange(Mpc320, [(status(1, 0)[0], MOVED)]) as box:
            with pytest.raises(Timeout):
                await box.ping()

    run_virtual(scenario())


# Numbers from 0x5001 on could end what looks like a header with what comes before.
@given(st.integers(0, 0x4FFF), st.binary(max_size=40), st.binary(max_size=9))
def test_messages_are_found_whatever_comes_before(number: int, data: bytes, before: bytes) -> None:
    message = struct.pack("<HHBB", number, len(data), 0x81, 0x50) + data
    buffer = bytearray(bytes(each & 0x7E for each in before) + message)
    taken = None
    for end in range(len(buffer) + 1):
        part = buffer[:end]
        taken = AptMessages().take(part)
        if taken is not None:
            break
    assert taken is not None
    assert Apt.of(taken) == Apt(number, data=data)


def test_bytes_without_a_message_are_an_error_at_last() -> None:
    with pytest.raises(ProtocolError, match="no APT message"):
        AptMessages().take(bytearray(2000))
    assert AptMessages().take(bytearray(100)) is None


def test_options_are_refused() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match="it has no options"):
                Mpc320(link, {"home": True})

    run_virtual(scenario())


def test_two_who_move_paddles_do_not_switch_each_others_motors_off() -> None:
    async def scenario() -> None:
        twin = Twin(Paddles(PaddlesConfig(), asyncio.get_running_loop().time), "1")
        transport = MemoryTransport("box", {"box": dial_to(twin.connect)})
        link = Link(transport, owner="test")
        await link.open()
        box = Mpc320(link)
        one = asyncio.create_task(box.set_drives((170.0, 0.0, 0.0)))
        await asyncio.sleep(0.1)  # virtual; it moves
        assert box.busy
        await box.set_drives((170.0, 20.0, 160.0))
        await one
        assert await box.drives() == pytest.approx((170.0, 20.0, 160.0), abs=0.2)
        await link.close()

    run_virtual(scenario())
