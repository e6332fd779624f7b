"""The FS725 driver against the readings of real PRS10 that public sources quote."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.devices import ReferenceStatus
from drivers.electronics.fs725 import Fs725
from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]


def ask(command: str, answer: str) -> Line:
    return f"{command}\r".encode(), f"{answer}\r".encode()


CONNECT: list[Line] = [
    (b"\r", None),
    ask("ID?", "PRS10_3.24_SN_19957"),
    ask("ST?", "0,2,21,1,3,128"),  # what has happened before us
]


def look(bits: str = "0,0,0,0,4,0", tag: str = "13", *, lo: str = "1", pl: str = "1") -> list[Line]:
    return [ask("LO?", lo), ask("PL?", pl), ask("ST?", bits), ask("TT?", tag)]


def test_a_good_clock() -> None:
    async def scenario() -> None:
        async with expected_exchange(Fs725, [*CONNECT, *look()]) as clock:
            who = await clock.connect()
            assert (who.serial, who.firmware) == ("19957", "3.24")
            assert wrong_box(Fs725.manifest, who, "19957") == ""
            assert await clock.status() == ReferenceStatus(True, True, 13.0)

    run_virtual(scenario())


def test_a_status_bit_that_was_read_is_told_to_both_who_ask_and_once_to_each() -> None:
    script = [
        *CONNECT,
        *look("16,0,0,0,4,0", "999999990"),  # and reading it has cleared it
        *look(),
        *look(),
        ask("PL?", "1"),
        ask("AD10?", "0.802"),
        *look(),
        ask("PL?", "1"),
        ask("AD10?", "0.802"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Fs725, script) as clock:
            await clock.connect()
            seen = await clock.status()
            assert seen.warnings == ("lamp light too low",)
            assert seen.pps_offset_ns == -10.0
            assert (await clock.status()).warnings == ()
            first = await clock.readings()
            assert first["warnings"] == "lamp light too low"
            assert first["case_c"] == pytest.approx(80.2)
            assert (await clock.readings())["warnings"] == "none"

    run_virtual(scenario())


def test_a_missing_pulse_is_a_warning_only_to_a_clock_that_has_to_follow() -> None:
    script = [*look("0,0,0,0,130,0", "-1"), *look("0,0,0,0,129,0", "-1", pl="0")]

    async def scenario() -> None:
        async with expected_exchange(Fs725, script) as clock:
            seen = await clock.status()
            assert seen == ReferenceStatus(
                True, False, None, ("fewer than 256 good 1 pps inputs", "no 1 pps input")
            )
            assert await clock.status() == ReferenceStatus(True, False, None)

    run_virtual(scenario())


def test_a_clock_that_warms_up_is_not_locked() -> None:
    async def scenario() -> None:
        async with expected_exchange(Fs725, look("0,0,17,1,0,128", lo="0")) as clock:
            seen = await clock.status()
            assert not seen.locked
            assert "lamp below its temperature" in seen.warnings
            assert "unit has been reset" in seen.warnings

    run_virtual(scenario())


def test_following_is_set_and_read_back() -> None:
    script: list[Line] = [
        (b"PL 1\r", None),
        ask("PL?", "1"),
        (b"PL 0\r", None),
        ask("PL?", "1"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Fs725, script) as clock:
            await clock.apply({"follow_pps": True})
            with pytest.raises(InstrumentError, match="told to ignore the pulse and does not"):
                await clock.apply({"follow_pps": False})

    run_virtual(scenario())


@pytest.mark.parametrize("settings", [{"follow_pps": 1}, {"frequency": 10}])
def test_wrong_settings(settings: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with expected_exchange(Fs725, []) as clock:
            with pytest.raises(Refused, match=next(iter(settings))):
                await clock.apply(settings)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("bits", "tag"),
    [("0,0,0,0,4", "13"), ("0,0,0,0,4,256", "13"), ("a,b,c,d,e,f", "13"), ("0,0,0,0,4,0", "1e9")],
)
def test_malformed_answers_show_their_bytes_and_poison(bits: str, tag: str) -> None:
    async def scenario() -> None:
        script = look(bits, tag)[: 4 if bits.endswith("4,0") else 3]
        async with expected_exchange(Fs725, script) as clock:
            with pytest.raises(ProtocolError) as caught:
                await clock.status()
            assert caught.value.raw
            assert not clock.link.usable

    run_virtual(scenario())


def test_another_box_and_no_box() -> None:
    async def scenario() -> None:
        async with expected_exchange(Fs725, [(b"\r", None), ask("ID?", "GPS")]) as clock:
            with pytest.raises(ProtocolError, match="identity"):
                await clock.connect()
        async with memory_link() as (link, _):
            with pytest.raises(Timeout):
                await Fs725(link).ping()
            with pytest.raises(ValueError, match="it has no options"):
                Fs725(link, {"pps": 1})

    run_virtual(scenario())
