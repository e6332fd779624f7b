"""ZeroMQ links against real ZeroMQ sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import zmq
import zmq.asyncio

from drivers.errors import NotConnected, ProtocolError, Timeout
from drivers.framing import PACKET, Packet
from drivers.links import make_link


@asynccontextmanager
async def bound(kind: int) -> AsyncIterator[tuple[zmq.asyncio.Socket, int]]:
    far = zmq.asyncio.Context.instance().socket(kind)
    far.setsockopt(zmq.LINGER, 0)
    port = far.bind_to_random_port("tcp://127.0.0.1")
    try:
        yield far, port
    finally:
        far.close(0)


async def test_a_question_and_its_answer_of_any_size() -> None:
    async with bound(zmq.REP) as (far, port):
        link = make_link(f"zmq://127.0.0.1:{port}", owner="lab/tagger")
        await link.open()
        for answer in (b"", b"ID1000\n", bytes(200_000)):
            asking = asyncio.create_task(link.exchange(PACKET.wrap(b"*IDN?"), PACKET))
            assert await far.recv() == b"*IDN?"
            await far.send(answer)
            assert await asking == answer
        assert link.usable
        await link.close()
        await link.close()


async def test_after_a_lost_reply_the_link_is_opened_anew_and_the_late_one_answers_nothing() -> (
    None
):
    async with bound(zmq.ROUTER) as (far, port):
        link = make_link(f"zmq://127.0.0.1:{port}", owner="lab/tagger")
        await link.open()
        with pytest.raises(Timeout, match="lab/tagger at zmq://"):
            await link.exchange(PACKET.wrap(b"a?"), PACKET, timeout_s=0.1)
        first, *_ = await far.recv_multipart()
        with pytest.raises(NotConnected, match="opened again"):
            await link.exchange(PACKET.wrap(b"b?"), PACKET)
        await link.open()
        asking = asyncio.create_task(link.exchange(PACKET.wrap(b"b?"), PACKET))
        second, _, question = await far.recv_multipart()
        assert question == b"b?"
        await far.send_multipart([first, b"", b"answer to a"])
        await far.send_multipart([second, b"", b"answer to b"])
        assert await asking == b"answer to b"
        await link.close()


async def test_nobody_there_is_told_when_opening() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    link = make_link(f"zmq://127.0.0.1:{port}", owner="lab/tagger")
    with pytest.raises(NotConnected, match="nobody speaks ZeroMQ there"):
        await link.open(timeout_s=2.0)


async def test_a_far_end_that_is_no_zeromq_is_told() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.lab ESMTP ready, this is no ZeroMQ at all\r\n" * 4)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(chat, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = make_link(f"zmq://127.0.0.1:{port}", owner="lab/tagger")
    with pytest.raises(NotConnected, match=r"nobody speaks ZeroMQ|no connection within"):
        await link.open(timeout_s=1.0)
    server.close()


async def test_a_far_end_that_goes_away_ends_the_question() -> None:
    async with bound(zmq.REP) as (far, port):
        link = make_link(f"zmq://127.0.0.1:{port}", owner="lab/tagger")
        await link.open()
        asking = asyncio.create_task(link.exchange(PACKET.wrap(b"a?"), PACKET, timeout_s=5.0))
        await far.recv()
        far.close(0)
        with pytest.raises(NotConnected, match="closed"):
            await asking
        with pytest.raises(NotConnected):
            await link.open(timeout_s=1.0)


async def test_a_stream_keeps_its_messages_apart_through_cancelled_reads() -> None:
    async with bound(zmq.PAIR) as (far, port):
        link = make_link(f"zmq+pair://127.0.0.1:{port}", owner="lab/tagger")
        await link.open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await link.receive(PACKET, timeout_s=None)
        sent = [b"x" * n for n in (3, 0, 70_000, 8)]
        for message in sent:
            await far.send(message)
        got = []
        while len(got) < len(sent):
            try:
                async with asyncio.timeout(0.0005):
                    got.append(await link.receive(PACKET, timeout_s=None))
            except TimeoutError:
                continue
        assert got == sent
        far.close(0)
        with pytest.raises(NotConnected, match="closed"):
            await link.receive(PACKET, timeout_s=5.0)
        await link.close()


async def test_a_message_beyond_the_limit_is_told() -> None:
    async with bound(zmq.PAIR) as (far, port):
        link = make_link(f"zmq+pair://127.0.0.1:{port}", owner="lab/tagger")
        await link.open()
        await far.send(bytes(101))
        with pytest.raises(ProtocolError, match="101 bytes, the limit is 100"):
            await link.receive(Packet(max_bytes=100))
        await link.close()
