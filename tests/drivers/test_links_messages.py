"""WebSocket, SNMP and VISA links against real far ends."""

import asyncio
import builtins
import importlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection, serve

from drivers.errors import NotConnected, ProtocolError, Timeout
from drivers.framing import LINE_LF, PACKET
from drivers.links import Link, make_link
from drivers.links.snmp import get_request, read_answer
from sim_backends.mount import Channel
from sim_backends.mount_hislip import HislipPlace
from sim_backends.mount_udp import SnmpPlace


@asynccontextmanager
async def web_socket() -> AsyncIterator[tuple[Link, asyncio.Queue[ServerConnection]]]:
    clients: asyncio.Queue[ServerConnection] = asyncio.Queue(4)

    async def client(connection: ServerConnection) -> None:
        clients.put_nowait(connection)
        await connection.wait_closed()

    async with serve(client, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        link = make_link(f"ws://127.0.0.1:{port}/counts", owner="lab/retina")
        try:
            yield link, clients
        finally:
            await link.close()


async def test_web_socket_messages_stay_apart_whatever_their_frames() -> None:
    async with web_socket() as (link, clients):
        await link.open()
        far = await clients.get()
        assert far.request is not None
        assert far.request.path == "/counts"
        await far.send(bytes(range(256)))
        await far.send([b"in ", b"three ", b"frames"])
        await far.send("text")
        pong = await far.ping()
        got = [await link.receive(PACKET) for _ in range(3)]
        assert got == [bytes(range(256)), b"in three frames", b"text"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await link.receive(PACKET, timeout_s=None)
        await asyncio.wait_for(pong, 1.0)
        await link.send(PACKET.wrap(b"hello") + PACKET.wrap(b"\xff\xfe"))
        assert await far.recv() == "hello"
        assert await far.recv() == b"\xff\xfe"
        closing = asyncio.create_task(far.close())
        with pytest.raises(NotConnected, match="closed"):
            await link.receive(PACKET)
        await closing


async def test_a_server_without_web_socket_is_told() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(page, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NotConnected, match=r"no WebSocket there: .*404"):
        await make_link(f"ws://127.0.0.1:{port}/", owner="x").open()
    server.close()


async def test_web_socket_nonsense_after_the_handshake_is_told() -> None:
    async with web_socket() as (link, clients):
        await link.open()
        far = await clients.get()
        far.transport.write(b"\xff\xff\xff\xff nonsense")
        with pytest.raises(ProtocolError, match="expected WebSocket frames"):
            await link.receive(PACKET)


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=8), min_size=1, max_size=5),
)
def test_a_request_is_well_formed(request_id: int, tails: list[list[int]]) -> None:
    # Turned into a response, as an agent does, it has to read as one: type, number and names.
    oids = [".".join(str(each) for each in (1, 3, *tail)) for tail in tails]
    request = bytearray(get_request(request_id, "public", oids))
    request[request.index(0xA0, 2 + 2 + 3)] = 0xA2
    answer = read_answer(bytes(request))
    assert answer.request_id == request_id
    assert dict(answer.values) == dict.fromkeys(oids)


def test_an_answer_as_another_agent_encodes_it() -> None:
    # Made by net-snmp's rules by hand: sysUpTime.0 = 0x015f90 ticks, sysName.0 = "wrs".
    message = bytes.fromhex(
        "3038020101 04067075626c6963 a22b 02022a5d 020100 020100 301f"
        "300f 06082b06010201010300 4303015f90"
        "300c 06082b06010201010500 0400".replace(" ", "")
    )
    answer = read_answer(message)
    assert answer.values == {"1.3.6.1.2.1.1.3.0": 0x015F90, "1.3.6.1.2.1.1.5.0": b""}
    assert (answer.request_id, answer.error) == (0x2A5D, "")


@given(st.binary(max_size=80))
def test_noise_is_no_answer(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_answer(noise)


class Agent:
    """Answers each request with one integer; keeps what it got."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.channel: Channel | None = None

    def connect(self, channel: Channel) -> "Agent":
        self.channel = channel
        return self

    def feed(self, data: bytes) -> None:
        self.asked.append(data)
        assert self.channel is not None
        self.channel.send(data.replace(b"\xa0", b"\xa2", 1))

    def closed(self) -> None:
        pass


async def test_a_lost_datagram_is_asked_for_again_and_a_late_one_answers_nothing() -> None:
    place, agent = SnmpPlace("127.0.0.1", 0), Agent()
    await place.start(agent.connect)
    link = make_link(place.resource, owner="lab/switch")
    await link.open()
    place.deaf = 1
    first = get_request(7, "public", ["1.3.6.1"])
    reply = await link.exchange(PACKET.wrap(first), PACKET, timeout_s=3.0)
    assert read_answer(reply).request_id == 7
    assert agent.asked == [first]
    assert agent.channel is not None
    agent.channel.send(first.replace(b"\xa0", b"\xa2", 1))  # once more, late
    second = get_request(8, "public", ["1.3.6.1"])
    reply = await link.exchange(PACKET.wrap(second), PACKET, timeout_s=3.0)
    assert read_answer(reply).request_id == 8
    place.deaf = 100
    with pytest.raises(Timeout):
        await link.exchange(PACKET.wrap(first), PACKET, timeout_s=0.2)
    await link.close()
    await place.stop()


async def test_a_closed_udp_port_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    link = make_link(f"snmp://127.0.0.1:{port}", owner="lab/switch")
    await link.open()
    with pytest.raises(NotConnected, match="nobody answers SNMP there"):
        await link.exchange(PACKET.wrap(get_request(1, "public", ["1.3"])), PACKET)
    await link.close()


class Lines:
    """Answers what ends with a question mark; "hang?" never."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.heard: list[bytes] = []

    def connect(self, channel: Channel) -> "Lines":
        self.channel = channel
        return self

    def feed(self, data: bytes) -> None:
        self.heard.append(data)
        assert self.channel is not None
        if data.endswith(b"?\n") and data != b"hang?\n":
            # Without a line feed: the end of the message says it.
            self.channel.send(b"answer to " + data.strip())

    def closed(self) -> None:
        pass


async def test_visa_over_hislip() -> None:
    place, machine = HislipPlace("127.0.0.1", 0), Lines()
    await place.start(machine.connect)
    link = make_link(place.resource, owner="lab/spad")
    await link.open(timeout_s=5.0)
    assert await link.exchange(b"*IDN?\n", LINE_LF) == b"answer to *IDN?"
    await link.send(b"BIAS 1\n")
    with pytest.raises(Timeout):
        await link.exchange(b"hang?\n", LINE_LF, timeout_s=0.2)
    with pytest.raises(NotConnected):
        await link.exchange(b"*IDN?\n", LINE_LF)
    await link.open(timeout_s=5.0)
    assert await link.exchange(b"b?\n", LINE_LF) == b"answer to b?"
    assert machine.heard == [b"*IDN?\n", b"BIAS 1\n", b"hang?\n", b"b?\n"]
    await link.close()
    await place.stop()


@pytest.mark.parametrize("name", ["visa://nonsense", "USB0::1::2::3::INSTR"])
async def test_visa_that_cannot_be_opened_says_why(name: str) -> None:
    with pytest.raises(NotConnected, match="lab/spad at "):
        await make_link(name, owner="lab/spad").open(timeout_s=5.0)


@pytest.mark.parametrize(
    ("resource", "package"),
    [("visa://USB0::1::2::INSTR", "pyvisa"), ("ws://127.0.0.1:1/counts", "websockets")],
)
async def test_a_missing_library_is_named_with_its_extra(
    resource: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    link = make_link(resource, owner="x")
    with pytest.raises(NotConnected, match=rf"{package}, which.*qnodeos\[instruments\]"):
        await link.open()
    assert importlib.import_module("drivers.links.visa")
