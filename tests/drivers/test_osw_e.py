"""The OSW-E driver against the exchanges of two public drivers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.optics.osw_e import OswE
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]
BAR: Line = (b"S?\n", b"1\r\n")
CROSS: Line = (b"S?\n", b"2\r\n")
CONNECT: list[Line] = [
    (b"\n", None),
    (b"I?\n", b"OSW22-1310E v1.0\r\n"),
    (b"T?\n", b"2\r\n"),
    BAR,
]


def test_the_first_answers_after_a_command_may_be_old() -> None:
    script: list[Line] = [*CONNECT, (b"S 2\n", None), BAR, BAR, CROSS, CROSS]

    async def scenario() -> None:
        async with expected_exchange(OswE, script, options={"model": "2x2"}) as switch:
            who = await switch.connect()
            assert wrong_box(OswE.manifest, who, None) == ""
            assert "OSW22-1310E" in who.text
            assert await switch.size() == (2, 2)
            await switch.apply({"connections": {"1": 2}})
            assert await switch.connections() == {1: 2, 2: 1}

    run_virtual(scenario())


def test_one_input() -> None:
    script: list[Line] = [CROSS, (b"S 1\n", None), BAR]

    async def scenario() -> None:
        async with expected_exchange(OswE, script) as switch:
            assert await switch.size() == (1, 2)
            assert await switch.connections() == {1: 2}
            await switch.set_connections({1: 1})

    run_virtual(scenario())


def test_a_switch_that_does_not_move_is_told_in_time_for_the_safe_state() -> None:
    async def scenario() -> None:
        async with expected_exchange(OswE, [(b"S 1\n", None), *[CROSS] * 26]) as switch:
            with pytest.raises(InstrumentError, match="sent to state 1 and is not there"):
                await switch.enter_safe_state()
            assert asyncio.get_running_loop().time() < 3.0

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("model", "connections", "words"),
    [
        ("1x2", {1: 3}, "a 1x2 switch makes {1: 1} or {1: 2}"),
        ("1x2", {2: 1}, "a 1x2 switch"),
        ("2x2", {1: 1, 2: 1}, "a 2x2 switch"),
        ("2x2", {}, "a 2x2 switch"),
        ("2x2", {"x": 1}, "expected port numbers"),
        ("2x2", 2, "expected a table"),
    ],
)
def test_wrong_connections_are_refused(model: str, connections: Any, words: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(OswE, [], options={"model": model}) as switch:
            with pytest.raises(Refused, match=words):
                await switch.apply({"connections": connections})

    run_virtual(scenario())


@pytest.mark.parametrize("reply", [b"3\r\n", b"\r\n", b"12\r\n", b"\xff\r\n"])
def test_a_state_that_is_none_shows_its_bytes(reply: bytes) -> None:
    async def scenario() -> None:
        async with expected_exchange(OswE, [(b"S?\n", reply)]) as switch:
            with pytest.raises(ProtocolError) as caught:
                await switch.ping()
            assert caught.value.raw == reply.strip()

    run_virtual(scenario())


def test_wrong_options() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match="model = '1x4', expected one of 1x2, 2x2"):
                OswE(link, {"model": "1x4"})

    run_virtual(scenario())
