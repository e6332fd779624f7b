"""The White Rabbit driver against its twin, and against agents that answer oddly."""

import asyncio
from typing import Any

import pytest

from drivers.devices import ReferenceStatus
from drivers.errors import InstrumentError, NotConnected, ProtocolError, Timeout
from drivers.framing import PACKET
from drivers.links import make_link
from drivers.links.memory import Pipe, pipe_pair
from drivers.plugin import wrong_box
from drivers.references.white_rabbit import WhiteRabbitSwitch
from sim_backends.instruments.wr_switch import WrSwitch
from sim_backends.mount_messages import in_packets
from sim_backends.mount_udp import SnmpPlace
from tests.twins import on_twin
from timing.loop import run_virtual

SERIAL = "7SWP02030P1"


def test_a_synchronised_slave_is_locked_and_tells_its_offset() -> None:
    async def scenario() -> None:
        twin = WrSwitch(SERIAL)
        async with on_twin(WhiteRabbitSwitch, in_packets(twin.connect)) as switch:
            assert await switch.status() == ReferenceStatus(
                locked=True, following=True, pps_offset_ns=0.012
            )
            twin.synchronised = False
            twin.offset_ps = -5_000_000_000
            status = await switch.status()
            assert (status.locked, status.pps_offset_ns) == (False, 2147483.647)
            assert status.warnings == (
                *("main: error", "timing: error", "ptp: error", "soft_pll: error"),
            )
            twin.synchronised, twin.slave, twin.temperature_high = True, False, True
            status = await switch.status()
            assert (status.locked, status.following, status.pps_offset_ns) == (True, False, None)
            assert status.warnings == ("main: warning", "temperature: warning")
            readings = await switch.readings()
            assert (readings["mode"], readings["fpga_c"], readings["pll_c"]) == ("master", 85, 41)
            assert "offset_ps" not in readings

    run_virtual(scenario())


def test_who_it_is() -> None:
    async def scenario() -> None:
        async with on_twin(WhiteRabbitSwitch, in_packets(WrSwitch(SERIAL).connect)) as switch:
            who = await switch.connect()
            assert (who.serial, who.firmware) == (SERIAL, "v6.1")
            assert not wrong_box(WhiteRabbitSwitch.manifest, who, SERIAL)
            assert "7SWP9" in wrong_box(WhiteRabbitSwitch.manifest, who, "7SWP9")

    run_virtual(scenario())


class Odd:
    """An agent that changes what the twin answers."""

    def __init__(self, change: Any) -> None:
        self.change = change
        self.task: asyncio.Task[None] | None = None

    def dial(self) -> tuple[Pipe, Pipe]:
        near, far = pipe_pair()
        self.task = asyncio.create_task(self.serve(*far))
        return near

    async def serve(self, reader: Pipe, writer: Pipe) -> None:
        buffer, twin = bytearray(), WrSwitch(SERIAL)
        while data := await reader.read():
            buffer += data
            while (message := PACKET.take(buffer)) is not None:
                answer = twin.answer(message)
                assert answer is not None
                await writer.write(PACKET.wrap(self.change(answer)))


async def asked(change: Any) -> ReferenceStatus:
    link = make_link("mem://wrs", owner="lab/wrs", memory={"wrs": Odd(change).dial})
    await link.open()
    try:
        return await WhiteRabbitSwitch(link).status()
    finally:
        await link.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: raw[:-1], "expected an SNMP response"),
        (lambda raw: b"", "expected an SNMP response"),
        (lambda raw: raw.replace(b"\xa2", b"\xa0", 1), "expected an SNMP response"),
        (
            lambda raw: raw.replace(b"\x02\x01\x01\x02\x01\x00", b"\x02\x01\x07\x02\x01\x00", 1),
            "objects",
        ),
        (lambda raw: raw.replace(b"\x06\x01\x03\x00", b"\x06\x01\x09\x00"), "objects asked for"),
    ],
)
def test_an_answer_that_cannot_be_shows_its_bytes(change: Any, says: str) -> None:
    with pytest.raises(ProtocolError, match=says) as caught:
        run_virtual(asked(change))
    assert "lab/wrs" in str(caught.value)


def test_an_error_of_the_agent_has_its_name() -> None:
    def too_big(raw: bytes) -> bytes:
        return raw.replace(b"\x02\x01\x00\x02\x01\x00", b"\x02\x01\x01\x02\x01\x00", 1)

    with pytest.raises(InstrumentError, match="tooBig"):
        run_virtual(asked(too_big))


def test_another_agent_is_no_switch() -> None:
    class Other(WrSwitch):
        def objects(self) -> dict[tuple[int, ...], tuple[int, bytes]]:
            return {(1, 3, 6, 1, 2, 1, 1, 1, 0): (4, b"a printer")}

    async def scenario() -> None:
        with pytest.raises(InstrumentError, match="no White Rabbit switch"):
            async with on_twin(WhiteRabbitSwitch, in_packets(Other("").connect)):
                pass

    run_virtual(scenario())


async def test_over_udp_a_lost_datagram_is_made_good_and_a_wrong_community_is_explained() -> None:
    place = SnmpPlace("127.0.0.1", 0)
    await place.start(WrSwitch(SERIAL, community="lab").connect)
    link = make_link(f"{place.resource}?community=lab", owner="lab/wrs")
    switch = WhiteRabbitSwitch(link)
    await link.open()
    await switch.connect()
    place.deaf = 1
    assert (await switch.status()).locked
    await link.close()
    other = make_link(place.resource, owner="lab/wrs")
    await other.open()
    with pytest.raises(Timeout, match="wrong community, and here it is 'public'"):
        await WhiteRabbitSwitch(other).connect()
    with pytest.raises(NotConnected):
        await WhiteRabbitSwitch(other).ping()
    await other.close()
    await place.stop()
