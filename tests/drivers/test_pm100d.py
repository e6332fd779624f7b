"""The PM100D driver against the command and reply pairs of its manual."""

import pytest

from drivers.detectors.pm100d import Pm100d
from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.links.base import Link
from drivers.plugin import wrong_box
from drivers.testing import ScriptedTransport, expected_exchange, memory_link
from timing.loop import run_virtual

CONNECT = [
    (b"\n", None),
    (b"*IDN?\n", b"Thorlabs,PM100D,P0031415,2.4.0\n"),
    (b"SYST:ERR?\n", b'+0,"No error"\n'),
    (b"SENS:CORR:WAV? MIN\n", b"4.000000E+02\n"),
    (b"SENS:CORR:WAV? MAX\n", b"1.100000E+03\n"),
]


def test_connect_names_the_meter_and_its_serial_number() -> None:
    async def scenario() -> None:
        async with expected_exchange(Pm100d, CONNECT) as meter:
            who = await meter.connect()
            assert who.serial == "P0031415"
            assert who.firmware == "2.4.0"
            assert wrong_box(Pm100d.manifest, who, "P0031415") == ""
            assert "P0099" in wrong_box(Pm100d.manifest, who, "P0099")

    run_virtual(scenario())


def test_connect_ends_half_a_command_drops_late_replies_and_clears_old_errors() -> None:
    script = [
        (b"", b"1.23E-3\n4.5"),
        (b"\n", b"E-6\n"),
        CONNECT[1],
        (b"SYST:ERR?\n", b'-113,"Undefined header"\n'),
        (b"SYST:ERR?\n", b'-222,"Data out of range"\n'),
        *CONNECT[2:],
        (b"MEAS:POW?\n", b"2.500000E-03\n"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Pm100d, script) as meter:
            assert (await meter.connect()).serial == "P0031415"
            assert await meter.power_w() == 2.5e-3

    run_virtual(scenario())


def test_wavelength_is_set_checked_for_range_and_errors_are_asked_for() -> None:
    script = [
        *CONNECT,
        (b"SENS:CORR:WAV 405\n", None),
        (b"SYST:ERR?\n", b'+0,"No error"\n'),
        (b"SENS:CORR:WAV 810.5\n", None),
        (b"SYST:ERR?\n", b'-222,"Data out of range"\n'),
    ]

    async def scenario() -> None:
        async with expected_exchange(Pm100d, script) as meter:
            await meter.connect()
            await meter.apply({"wavelength_nm": 405.0})
            with pytest.raises(Refused, match="399, accepted are 400 to 1100 nm"):
                await meter.set_wavelength_nm(399)
            with pytest.raises(Refused, match="accepted are 400"):
                await meter.set_wavelength_nm(float("nan"))
            with pytest.raises(Refused, match="wavelength"):
                await meter.apply({"wavelength": 405.0})
            with pytest.raises(Refused, match="expected a number"):
                await meter.apply({"wavelength_nm": "405"})
            with pytest.raises(InstrumentError, match="-222: Data out of range") as caught:
                await meter.set_wavelength_nm(810.5)
            assert caught.value.code == -222

    run_virtual(scenario())


def test_readings_have_units_and_overrange_is_no_power() -> None:
    script = [
        (b"MEAS:POW?\n", b"1.0E-3\n"),
        (b"SENS:CORR:WAV?\n", b"405.0\n"),
        (b"MEAS:POW?\n", b"9.90000000E+37\n"),
    ]

    async def scenario() -> None:
        async with expected_exchange(Pm100d, script) as meter:
            assert await meter.readings() == {"power_mw": 1.0, "wavelength_nm": 405.0}
            with pytest.raises(InstrumentError, match="overrange"):
                await meter.power_w()

    run_virtual(scenario())


@pytest.mark.parametrize("reply", [b"garbage\n", b"\xff\xfe\n", b"nan\n", b"\n"])
def test_a_malformed_reply_shows_its_bytes_and_poisons(reply: bytes) -> None:
    async def scenario() -> None:
        async with expected_exchange(Pm100d, [(b"MEAS:POW?\n", reply)]) as meter:
            with pytest.raises(ProtocolError) as caught:
                await meter.power_w()
            assert caught.value.raw == reply.strip()
            assert not meter.link.usable

    run_virtual(scenario())


def test_after_a_timeout_nothing_is_asked_before_the_link_is_opened_anew() -> None:
    transport = ScriptedTransport([(b"MEAS:POW?\n", None), *CONNECT, (b"MEAS:POW?\n", b"2E-3\n")])

    async def scenario() -> None:
        link = Link(transport, owner="alice/power_meter")
        meter = Pm100d(link)
        await link.open()
        with pytest.raises(Timeout, match="alice/power_meter"):
            await meter.power_w()
        with pytest.raises(NotConnected):
            await meter.power_w()
        await link.open()
        await meter.connect()
        assert await meter.power_w() == 2e-3
        await link.close()

    run_virtual(scenario())
    assert not transport.missing()


def test_options_are_refused() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, _):
            with pytest.raises(ValueError, match="it has no options"):
                Pm100d(link, {"range": 1})

    run_virtual(scenario())
