"""The Santec driver against exchanges of QMI's and pymeasure's drivers, in both dialects."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.errors import InstrumentError, ProtocolError, Refused, Timeout
from drivers.lasers.santec_tsl import SantecTsl
from drivers.plugin import wrong_box
from drivers.testing import expected_exchange
from timing.loop import run_virtual

Line = tuple[bytes, bytes | None]


def ask(command: str, answer: str) -> Line:
    return f"{command}\r".encode(), f"{answer}\r".encode()


def put(command: str, error: str = '0,"No error"') -> list[Line]:
    return [(f"{command}\r".encode(), None), ask(":SYST:ERR?", error)]


NO_ALERT = ask(":SYST:ALER?", "No alerts.")
LEGACY = ask(":SYST:COMM:COD?", "0")
SCPI = ask(":SYST:COMM:COD?", "1")
DBM, MW = ask(":POW:UNIT?", "0"), ask(":POW:UNIT?", "1")


def connect(*, scpi: bool = False) -> list[Line]:
    low, high = ("+1.48000000E-006", "+1.64000000E-006") if scpi else ("1480.0000", "1640.0000")
    return [
        (b"\r", None),
        ask("*IDN?", "SANTEC,TSL-570,21020001,0001.000.0001"),
        ask(":SYST:ERR?", "0,No error" if scpi else '0,"No error"'),
        SCPI if scpi else LEGACY,
        ask(":WAV:MIN?", low),
        ask(":WAV:MAX?", high),
    ]


@pytest.mark.parametrize("scpi", [False, True])
def test_connect_reads_the_range_in_either_dialect(scpi: bool) -> None:
    async def scenario() -> None:
        async with expected_exchange(SantecTsl, connect(scpi=scpi)) as laser:
            who = await laser.connect()
            assert (who.serial, who.firmware) == ("21020001", "0001.000.0001")
            assert wrong_box(SantecTsl.manifest, who, "21020001") == ""
            with pytest.raises(Refused, match="accepted are 1480 to 1640 nm"):
                await laser.set_wavelength_nm(1479.9)

    run_virtual(scenario())


def test_a_flip_of_the_dialect_gives_no_wrong_wavelength() -> None:
    script = [
        *connect(),
        LEGACY,
        *put(":WAV 1550.1234"),
        ask("*OPC?", "0"),
        ask("*OPC?", "1"),
        ask(":WAV?", "1550.1234"),
        ask(":WAV?", "+1.55012340E-006"),  # somebody at the panel
        SCPI,
        *put(":WAV 1.56000000e-06", "0,No error"),
        ask("*OPC?", "1"),
        ask(":WAV?", "+1.56000000E-006"),
        LEGACY,
        *put(":WAV 1550.0000", '-222,"Data out of range"'),  # flipped in between
    ]

    async def scenario() -> None:
        async with expected_exchange(SantecTsl, script) as laser:
            await laser.connect()
            await laser.set_wavelength_nm(1550.1234)
            assert await laser.wavelength_nm() == pytest.approx(1550.1234)
            await laser.set_wavelength_nm(1560.0)
            with pytest.raises(InstrumentError, match="-222: Data out of range"):
                await laser.set_wavelength_nm(1550.0)

    run_virtual(scenario())


@pytest.mark.parametrize("answer", ["0.00155", "1.55", "155012.34", "1.55E-3"])
def test_a_wavelength_of_neither_size_is_none(answer: str) -> None:
    async def scenario() -> None:
        async with expected_exchange(SantecTsl, [ask(":WAV?", answer)]) as laser:
            with pytest.raises(ProtocolError, match="in nm or m"):
                await laser.wavelength_nm()

    run_virtual(scenario())


def test_power_is_read_between_two_looks_at_its_unit() -> None:
    emits = [ask(":POW:STAT?", "1"), ask(":POW:SHUT?", "0")]
    script = [
        *emits,
        DBM,
        ask(":POW:ACT?", "+10.000"),
        DBM,
        *emits,
        DBM,
        ask(":POW:ACT?", "+10.000"),  # of which unit? it was changed
        MW,
        MW,
        ask(":POW:ACT?", "+10.000"),
        MW,
        ask(":POW:STAT?", "1"),
        ask(":POW:SHUT?", "1"),
    ]

    async def scenario() -> None:
        async with expected_exchange(SantecTsl, script) as laser:
            assert await laser.power_mw() == pytest.approx(10.0)
            assert await laser.power_mw() == pytest.approx(10.0)
            assert await laser.power_mw() == 0.0

    run_virtual(scenario())


def test_power_is_set_in_the_unit_that_is_set_and_read_back() -> None:
    script = [
        DBM,
        *put(":POW 6.99"),
        DBM,
        DBM,
        ask(":POW?", "+6.990"),
        DBM,
        MW,
        *put(":POW 5.000"),
        MW,
        MW,
        ask(":POW?", "+2.000"),
        MW,
    ]

    async def scenario() -> None:
        async with expected_exchange(SantecTsl, script, options={"max_power_mw": 10}) as laser:
            await laser.set_power_mw(5.0)
            with pytest.raises(InstrumentError, match="set to 5 mW and reads 2 mW"):
                await laser.set_power_mw(5.0)
            with pytest.raises(Refused, match=r"accepted are 0\.04 to 10 mW"):
                await laser.set_power_mw(10.1)

    run_virtual(scenario())


def test_emission_needs_the_interlock_and_waits_for_the_diode() -> None:
    script = [
        NO_ALERT,
        *put(":POW:STAT 1"),
        *put(":POW:SHUT 0"),
        ask(":POW:STAT?", "0"),
        ask(":POW:STAT?", "1"),
        ask(":POW:SHUT?", "0"),
    ]
    tripped = [ask(":SYST:ALER?", "No23."), ask(":SYST:ALER?", "No07."), NO_ALERT]

    async def scenario() -> None:
        async with expected_exchange(SantecTsl, script) as laser:
            await laser.set_emission(True)
        async with expected_exchange(SantecTsl, tripped) as laser:
            with pytest.raises(InstrumentError, match="its interlock is open"):
                await laser.set_emission(True)
        async with expected_exchange(SantecTsl, [], armed=False) as laser:
            with pytest.raises(Refused, match="arming lease"):
                await laser.set_emission(True)

    run_virtual(scenario())


def test_the_safe_state_is_read_back() -> None:
    off = [*put(":POW:SHUT 1"), *put(":POW:STAT 0")]
    dark = [ask(":POW:SHUT?", "1"), ask(":POW:STAT?", "0")]
    lit = [ask(":POW:SHUT?", "1"), ask(":POW:STAT?", "1")]

    async def scenario() -> None:
        async with expected_exchange(SantecTsl, [*off, *lit, *dark]) as laser:
            await laser.enter_safe_state()
        async with expected_exchange(SantecTsl, [*off, *lit * 41]) as laser:
            with pytest.raises(Timeout, match="is not dark"):
                await laser.enter_safe_state()

    run_virtual(scenario())


def test_alerts_have_words_and_end() -> None:
    async def scenario() -> None:
        script = [ask(":SYST:ALER?", "No26."), ask(":SYST:ALER?", "No26.")]
        async with expected_exchange(SantecTsl, script) as laser:
            assert await laser.alerts() == ["sensor"]
        async with expected_exchange(SantecTsl, [ask(":SYST:ALER?", "what?")]) as laser:
            with pytest.raises(ProtocolError, match="expected an alert"):
                await laser.alerts()

    run_virtual(scenario())


@pytest.mark.parametrize("settings", [{"power_mw": "5"}, {"emission": 1}, {"current_ma": 5.0}])
def test_wrong_settings(settings: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with expected_exchange(SantecTsl, []) as laser:
            with pytest.raises(Refused, match=next(iter(settings))):
                await laser.apply(settings)

    run_virtual(scenario())
