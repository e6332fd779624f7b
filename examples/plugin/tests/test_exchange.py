"""The driver against command and reply pairs of the manual."""

import pytest

from qnodeos_acme_dimmer.driver import Dimmer
from qnodeos.plugin import InstrumentError, ProtocolError, expected_exchange, run_virtual

CONNECT = [
    (b"\n", None),
    (b"*IDN?\n", b"ACME,Dimmer,A17,1.0\n"),
    (b"ATT? MAX\n", b"60.00\n"),
]


def test_connect_reads_the_identity() -> None:
    async def scenario() -> None:
        async with expected_exchange(Dimmer, CONNECT) as attenuator:
            identity = await attenuator.connect()
            assert (identity.serial, identity.firmware) == ("A17", "1.0")

    run_virtual(scenario())


def test_it_waits_until_the_attenuation_is_reached() -> None:
    moving = [(b"ATT 12.50\n", b"OK\n"), (b"ATT?\n", b"3.00\n"), (b"ATT?\n", b"12.50\n")]

    async def scenario() -> None:
        async with expected_exchange(Dimmer, [*CONNECT, *moving]) as attenuator:
            await attenuator.connect()
            await attenuator.set_attenuation_db(12.5)

    run_virtual(scenario())


def test_what_it_says_is_told() -> None:
    failing = [(b"ATT 12.50\n", b"ERR stuck\n"), (b"ATT?\n", b"what?\n")]

    async def scenario() -> None:
        async with expected_exchange(Dimmer, [*CONNECT, *failing]) as attenuator:
            await attenuator.connect()
            with pytest.raises(InstrumentError, match="stuck"):
                await attenuator.set_attenuation_db(12.5)
            with pytest.raises(ProtocolError) as caught:
                await attenuator.attenuation_db()
            assert caught.value.raw == b"what?"

    run_virtual(scenario())
