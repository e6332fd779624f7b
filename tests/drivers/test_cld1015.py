"""The CLD1015 driver against the exchanges of public drivers."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.lasers.cld1015 import TRIPS, Cld1015
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange, memory_link
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]
OPTIONS = {"wavelength_nm": 1550.0}


def ask(command: str, answer: str) -> Line:
    return f"{command}\n".encode(), f"{answer}\n".encode()


def put(command: str, error: str = '+0,"No error"') -> list[Line]:
    return [(f"{command}\n".encode(), None), ask("SYST:ERR?", error)]


CONNECT: list[Line] = [
    (b"\n", None),
    ask("*IDN?", "THORLABS,ITC4020,E12345678,1.4.0/2.0.3/1.6.0"),
    ask("SYST:ERR?", '+0,"No error"'),
    *put("UNIT:TEMP C"),
    ask("SOUR:CURR:LIM?", "1.500000E-01"),
    ask("SOUR2:TEMP? MIN", "5.0"),
    ask("SOUR2:TEMP? MAX", "70.0"),
]
NO_TRIPS = [ask(f"OUTP:PROT:{word}:TRIP?", "0") for word in TRIPS]
REGULATES = [*put("OUTP2:STAT ON"), ask("OUTP2:STAT?", "1")]
SETTLES = [
    ask("SOUR2:TEMP?", "25.0"),
    ask("MEAS:TEMP?", "23.80"),
    ask("SOUR2:TEMP?", "25.0"),
    ask("MEAS:TEMP?", "24.95"),
]


def test_connect_reads_identity_and_limits() -> None:
    async def scenario() -> None:
        async with expected_exchange(Cld1015, CONNECT, options=OPTIONS) as laser:
            who = await laser.connect()
            assert who.serial == "E12345678"
            assert who.firmware == "1.4.0/2.0.3/1.6.0"
            assert wrong_box(Cld1015.manifest, who, "E12345678") == ""
            assert await laser.wavelength_nm() == 1550.0
            with pytest.raises(Refused, match="current_ma = 151, accepted are 0 to 150 mA"):
                await laser.set_current_ma(151)
            with pytest.raises(Refused, match="accepted are 5 to 70 C"):
                await laser.set_temperature_c(1, 71.0)
            with pytest.raises(Refused, match="channel 2, there is 1 only"):
                await laser.set_temperature_c(2, 25.0)

    run_virtual(scenario())


def test_the_order_on_is_cooling_temperature_light() -> None:
    script = [
        *CONNECT,
        *put("SOUR2:TEMP 25"),
        *put("SOUR:CURR 0.08"),
        *NO_TRIPS,
        *REGULATES,
        *SETTLES,
        *put("OUTP1:STAT ON"),
        ask("OUTP1:STAT?", "0"),
        ask("OUTP1:STAT?", "1"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Cld1015, script, options=OPTIONS) as laser:
            await laser.connect()
            await laser.apply({"emission": True, "current_ma": 80.0, "temperature_c": 25.0})

    run_virtual(scenario())


def test_a_lease_that_ends_while_the_temperature_settles_keeps_it_dark() -> None:
    async def scenario() -> None:
        script = [*NO_TRIPS, *REGULATES, *SETTLES]
        async with expected_exchange(Cld1015, script, options=OPTIONS) as laser:
            asked = iter([True, False])
            laser.armed = lambda: next(asked)
            with pytest.raises(Refused, match="arming lease"):
                await laser.set_emission(True)

    run_virtual(scenario())


def test_a_trip_and_a_temperature_that_does_not_come_keep_it_dark() -> None:
    tripped = [
        ask(f"OUTP:PROT:{word}:TRIP?", "1" if word in ("INTL", "KEYL") else "0") for word in TRIPS
    ]
    cold = [ask("SOUR2:TEMP?", "25.0"), ask("MEAS:TEMP?", "20.0")]

    async def scenario() -> None:
        async with expected_exchange(Cld1015, tripped, options=OPTIONS) as laser:
            with pytest.raises(InstrumentError, match="tripped are interlock, key lock"):
                await laser.set_emission(True)
        script = [*NO_TRIPS, *REGULATES, *cold * 201]
        async with expected_exchange(Cld1015, script, options=OPTIONS) as laser:
            with pytest.raises(Timeout, match="the diode stays dark"):
                await laser.set_emission(True)
        async with expected_exchange(Cld1015, [], options=OPTIONS, armed=False) as laser:
            with pytest.raises(Refused, match="arming lease"):
                await laser.set_emission(True)

    run_virtual(scenario())


def test_the_order_off_is_light_current_cooling() -> None:
    script = [
        ask("OUTP1:STAT?", "1"),
        *put("OUTP1:STAT OFF"),
        ask("OUTP1:STAT?", "0"),
        ask("MEAS:CURR?", "4.0E-02"),
        ask("OUTP1:STAT?", "0"),
        ask("MEAS:CURR?", "1.0E-05"),
        ask("OUTP1:STAT?", "0"),
        ask("MEAS:CURR?", "1.0E-05"),
        *put("OUTP2:STAT OFF"),
        ask("OUTP2:STAT?", "0"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Cld1015, script, options=OPTIONS) as laser:
            with pytest.raises(Refused, match="needs its cooling"):
                await laser.set_regulating(False)
            await laser.enter_safe_state()
            await laser.set_regulating(False)

    run_virtual(scenario())


def test_a_diode_that_stays_lit_is_told() -> None:
    script = [*put("OUTP1:STAT OFF"), *[ask("OUTP1:STAT?", "1")] * 41]

    async def scenario() -> None:
        async with expected_exchange(Cld1015, script, options=OPTIONS) as laser:
            with pytest.raises(Timeout, match="turn the key"):
                await laser.enter_safe_state()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"current_ma": -1.0}, "accepted are 0 to 100 mA"),
        ({"current_ma": True}, "expected a number"),
        ({"regulating": 1}, "expected true or false"),
        ({"power_mw": 1.0}, "unknown settings power_mw"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], words: str) -> None:
    async def scenario() -> None:
        options = {**OPTIONS, "max_current_ma": 100.0}
        async with expected_exchange(Cld1015, CONNECT, options=options) as laser:
            await laser.connect()
            with pytest.raises(Refused, match=words):
                await laser.apply(settings)

    run_virtual(scenario())


@pytest.mark.parametrize("reply", [b"maybe\n", b"\n", b"2\n", b"\xff\n"])
def test_a_state_that_is_none_shows_its_bytes_and_poisons(reply: bytes) -> None:
    async def scenario() -> None:
        script = [(b"OUTP1:STAT?\n", reply)]
        async with expected_exchange(Cld1015, script, options=OPTIONS) as laser:
            with pytest.raises(ProtocolError) as caught:
                await laser.ping()
            assert caught.value.raw == reply.strip()
            assert not laser.link.usable

    run_virtual(scenario())


@pytest.mark.parametrize("options", [{}, {"wavelength_nm": "red"}, {"wavelength_nm": 1.55e-6}])
def test_the_wavelength_of_the_diode_is_needed(options: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match="wavelength_nm"):
                Cld1015(link, options)

    run_virtual(scenario())
