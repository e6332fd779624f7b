"""The Polatis driver against the manual's examples as public drivers quote them."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.optics.polatis import Polatis
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]
CONNECT: list[Line] = [
    (b"\n", None),
    (b"*idn?\n", b"Polatis,I-OST-16x16-LU1-DMHNS,002414,6.5.2.18\n"),
    (b"*cls\n", None),
    (b":oxc:swit:size?\n", b"16,16\n"),
]


def state(inputs: str, outputs: str) -> Line:
    return b":oxc:swit:conn:stat?\n", f"(@{inputs}),(@{outputs})\n".encode()


def test_connections_are_made_with_outputs_counted_from_one_and_confirmed() -> None:
    script: list[Line] = [
        *CONNECT,
        (b":oxc:swit:conn:only (@1,2),(@19,17)\n", None),
        state("", ""),  # it has mirrors to move
        state("1,2", "19,17"),
        state("1, 2", "19, 17"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Polatis, script) as switch:
            who = await switch.connect()
            assert who.serial == "002414"
            assert wrong_box(Polatis.manifest, who, "002414") == ""
            assert await switch.size() == (16, 16)
            await switch.apply({"connections": {"1": 3, "2": 1}})
            assert await switch.readings() == {"connections": "1-3 2-1"}

    run_virtual(scenario())


def test_a_silent_rejection_is_found_by_asking() -> None:
    script: list[Line] = [
        *CONNECT,
        (b":oxc:swit:conn:only (@1),(@17)\n", None),
        *[state("4", "20")] * 22,
        (b":syst:err:all?\n", b'-200,"Execution error"\n'),
    ]

    async def scenario() -> None:
        async with expected_exchange(Polatis, script) as switch:
            await switch.connect()
            with pytest.raises(InstrumentError, match=r"\{4: 4\}; its errors: -200") as caught:
                await switch.set_connections({1: 1})
            assert "conn:only" in str(caught.value)

    run_virtual(scenario())


def test_the_safe_state_is_nothing_connected() -> None:
    script: list[Line] = [*CONNECT, (b":oxc:swit:disc:all\n", None), state("", "")]

    async def scenario() -> None:
        async with expected_exchange(Polatis, script) as switch:
            await switch.connect()
            await switch.enter_safe_state()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("connections", "words"),
    [
        ({1: 17}, r"outputs 1 to 16 \(on the panel 17 to 32\)"),
        ({17: 1}, "inputs 1 to 16"),
        ({0: 1}, "inputs 1 to 16"),
        ({1: 2, 3: 2}, "use an output twice"),
        ({"one": 2}, "expected port numbers"),
        ({"1": True}, "expected port numbers"),
        ([1], "expected a table"),
    ],
)
def test_wrong_ports_are_refused_before_anything_is_sent(connections: Any, words: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(Polatis, CONNECT) as switch:
            await switch.connect()
            with pytest.raises(Refused, match=words):
                await switch.apply({"connections": connections})

    run_virtual(scenario())


@pytest.mark.parametrize("reply", [b"(@1,2),(@17)\n", b"(@1),(@2)\n", b"1,2\n", b"\n", b"\xff\n"])
def test_a_malformed_state_shows_its_bytes_and_poisons(reply: bytes) -> None:
    async def scenario() -> None:
        script = [*CONNECT, (b":oxc:swit:conn:stat?\n", reply)]
        async with expected_exchange(Polatis, script) as switch:
            await switch.connect()
            with pytest.raises(ProtocolError) as caught:
                await switch.connections()
            assert caught.value.raw == reply.strip()
            assert not switch.link.usable

    run_virtual(scenario())


def test_a_size_that_is_none_is_not_taken() -> None:
    async def scenario() -> None:
        script: list[Line] = [*CONNECT[:3], (b":oxc:swit:size?\n", b"16,none\n")]
        async with expected_exchange(Polatis, script) as switch:
            with pytest.raises(ProtocolError, match="expected two numbers of ports"):
                await switch.connect()

    run_virtual(scenario())
