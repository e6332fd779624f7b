"""The DG645 driver against the exchanges that public drivers and their tests quote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.devices import Pulse
from drivers.electronics.dg645 import Dg645
from drivers.errors import InstrumentError, ProtocolError, Refused
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange
from sim_backends.instruments import dg645 as sim
from tests.twins import on_twin
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]
GOOD: Line = (b"LERR?\n", b"0\r\n")


def ask(command: str, answer: str) -> Line:
    return f"{command}\n".encode(), f"{answer}\r\n".encode()


def put(command: str, error: int = 0) -> list[Line]:
    return [(f"{command}\n".encode(), None), ask("LERR?", str(error))]


def edges(**delays: tuple[int, str]) -> list[Line]:
    """The answers to DLAY? of A to H; those not given are at T0."""
    return [
        ask(f"DLAY?{n}", "{},{}".format(*delays.get(name, (0, "+0.000000000000"))))
        for n, name in enumerate("ABCDEFGH", 2)
    ]


CONNECT: list[Line] = [
    (b"\n", None),
    ask("*IDN?", "Stanford Research Systems,DG645,s/n001013,ver1.10.00"),
    ask("LERR?", "111"),
    GOOD,
    ask("TSRC?", "5"),
]


def test_connect_tells_the_serial_number_and_forgets_old_errors() -> None:
    async def scenario() -> None:
        async with expected_exchange(Dg645, CONNECT) as generator:
            who = await generator.connect()
            assert (who.serial, who.firmware) == ("001013", "1.10.00")
            assert wrong_box(Dg645.manifest, who, "001013") == ""

    run_virtual(scenario())


def test_a_pulse_is_a_delay_and_a_width_exact_to_the_picosecond() -> None:
    script = [
        *CONNECT,
        *put("DLAY 2,0,0.000001000005"),
        *put("DLAY 3,2,0.000000020000"),
        *edges(A=(0, "+0.000001000005"), B=(2, "+0.000000020000")),
    ]

    async def scenario() -> None:
        async with expected_exchange(Dg645, script) as generator:
            await generator.connect()
            table = {"AB": {"delay_ps": 1_000_005, "width_ps": 20_000}}
            await generator.apply({"pulses": table})

    run_virtual(scenario())


def test_edges_tied_to_each_other_by_hand_are_followed() -> None:
    tied = edges(A=(3, "-1e-9"), B=(4, "+3e-9"), C=(0, "+0.000000010"), D=(2, "+0.5"))
    nowhere = edges(A=(1, "+0.0"))

    async def scenario() -> None:
        async with expected_exchange(Dg645, [*tied, *nowhere]) as generator:
            pulses = await generator.pulses()
            assert pulses["AB"] == Pulse(12_000, 1_000)
            assert pulses["CD"] == Pulse(10_000, 500_000_002_000)
            with pytest.raises(InstrumentError, match="tied to channel 1, not to T0"):
                await generator.pulses()

    run_virtual(scenario())


def test_triggers_are_held_let_through_and_read_back() -> None:
    script = [
        *CONNECT,
        *put("TSRC 1"),
        ask("TSRC?", "1"),
        *put("TRAT 1000000"),
        ask("TSRC?", "1"),
        *put("TSRC 0"),
        ask("TSRC?", "0"),
        *put("TSRC 5"),
        ask("TSRC?", "0"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Dg645, script) as generator:
            await generator.connect()
            await generator.set_running(True)
            await generator.set_trigger_rate_hz(1e6)
            with pytest.raises(InstrumentError, match="set to 5 and is 0"):
                await generator.enter_safe_state()

    run_virtual(scenario())


def test_an_error_has_number_and_meaning() -> None:
    async def scenario() -> None:
        async with expected_exchange(Dg645, put("TSRC 5", 15)) as generator:
            with pytest.raises(InstrumentError, match="15: not allowed: locked") as caught:
                await generator.enter_safe_state()
            assert caught.value.code == 15

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pulses": {"XY": {"delay_ps": 0, "width_ps": 5}}}, "there are AB, CD, EF, GH"),
        ({"pulses": {"AB": {"delay_ps": 3, "width_ps": 5}}}, "the step is 5 ps"),
        ({"pulses": {"AB": {"delay_ps": -5, "width_ps": 5}}}, "accepted are 0 to 2e+15"),
        ({"pulses": {"AB": {"delay_ps": 2 * 10**15, "width_ps": 5}}}, "AB end_ps"),
        ({"pulses": {"AB": {"delay_ps": 0.5, "width_ps": 5}}}, "whole numbers"),
        ({"pulses": {"AB": {"delay_ps": 5}}}, "expected delay_ps and width_ps"),
        ({"pulses": 5}, "expected a table"),
        ({"trigger": "internal"}, "accepted is external"),
        ({"trigger": "external", "trigger_rate_hz": 5.0}, "exclude each other"),
        ({"running": 1}, "true or false"),
        ({"delay": 1}, "unknown settings delay"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(settings: Any, words: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(Dg645, []) as generator:
            with pytest.raises(Refused) as caught:
                await generator.apply(settings)
            assert words in str(caught.value)

    run_virtual(scenario())


def test_a_rate_out_of_range_is_refused() -> None:
    async def scenario() -> None:
        async with expected_exchange(Dg645, []) as generator:
            with pytest.raises(Refused, match="to 10000000 Hz"):
                await generator.set_trigger_rate_hz(1e8)

    run_virtual(scenario())


@pytest.mark.parametrize("answer", ["0", "0,one", "x,+0.1", "0,nan", "0,inf", ""])
def test_a_malformed_delay_shows_its_bytes_and_poisons(answer: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(Dg645, [ask("DLAY?2", answer)]) as generator:
            with pytest.raises(ProtocolError) as caught:
                await generator.pulses()
            assert caught.value.raw == answer.encode()
            assert not generator.link.usable

    run_virtual(scenario())


WHOLE = st.integers(0, 10**12).map(lambda n: 5 * n)


@given(st.lists(st.tuples(st.sampled_from(["AB", "CD", "EF", "GH"]), WHOLE, WHOLE), max_size=6))
def test_any_pulses_on_the_twin_are_what_was_set(wanted: list[tuple[str, int, int]]) -> None:
    async def scenario() -> None:
        box = sim.Dg645("001013")
        async with on_twin(Dg645, box.connect) as generator:
            for name, delay_ps, width_ps in wanted:
                await generator.set_pulses({name: Pulse(delay_ps, width_ps)})
            found = await generator.pulses()
            for name, (_, delay_ps, width_ps) in {each[0]: each for each in wanted}.items():
                assert found[name] == Pulse(delay_ps, width_ps)

    run_virtual(scenario())
