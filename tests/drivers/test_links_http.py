"""HTTP links: the reply parser on any cut, and a real server in every manner of HTTP/1.1."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import NotConnected, ProtocolError, Timeout
from drivers.framing import PACKET
from drivers.links import Link, make_link
from drivers.links.http import HttpReply

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;name=x\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
)
LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH


@given(st.sampled_from([CHUNKED, LENGTH, CONTINUED]), st.lists(st.integers(1, 40)))
def test_a_reply_is_the_same_however_it_is_cut(raw: bytes, cuts: list[int]) -> None:
    reply, rest, body = HttpReply(), raw, None
    for cut in [*cuts, len(raw)]:
        if rest:
            assert body is None, "it was complete before its end"
            body, rest = reply.feed(rest[:cut]), rest[cut:]
    assert body == b"hello world"
    assert (reply.status, reply.keeps_alive) == (200, True)


def test_a_body_until_the_end_of_the_connection() -> None:
    reply = HttpReply()
    assert reply.feed(b"HTTP/1.0 200 OK\r\n\r\nhel") is None
    assert reply.feed(b"lo") is None
    assert reply.end() == b"hello"
    assert not reply.keeps_alive
    half = HttpReply()
    assert half.feed(LENGTH[:-1]) is None
    assert half.end() is None


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd",
        b"HTTP/1.1 " + b"x" * 70_000,
    ],
)
def test_what_is_no_reply_is_told_with_its_bytes(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match="the bytes were"):
        HttpReply().feed(raw)


@given(st.binary(max_size=200))
def test_noise_never_becomes_a_body(noise: bytes) -> None:
    with suppress(ProtocolError):
        assert HttpReply().feed(noise) is None


Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[tuple[Link, list[bytes]]]:
    """A server that reads one request after the other and answers with `answer`."""
    heads: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                heads.append(head)
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await answer(await reader.readexactly(size), writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = make_link(f"http://127.0.0.1:{port}/json-rpc", owner="lab/pulses")
    try:
        yield link, heads
    finally:
        await link.close()
        server.close()
        for writer in writers:
            writer.transport.abort()


def plain(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(link: Link, body: bytes, timeout_s: float = 2.0) -> bytes:
    return await link.exchange(PACKET.wrap(body), PACKET, timeout_s=timeout_s)


async def test_two_requests_share_a_connection() -> None:
    async def echo(body: bytes, writer: asyncio.StreamWriter) -> None:
        raw = plain(body[::-1])
        writer.write(raw[:20])
        await asyncio.sleep(0)
        writer.write(raw[20:])

    async with served(echo) as (link, heads):
        await link.open()
        assert await ask(link, b"abc") == b"cba"
        assert await ask(link, b"") == b""
        assert heads[0].startswith(b"POST /json-rpc HTTP/1.1\r\nHost: 127.0.0.1:")
        assert link.usable


async def test_a_connection_that_the_far_end_does_not_keep_is_made_anew() -> None:
    async def once(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        writer.close()

    async with served(once) as (link, heads):
        await link.open()
        for n in range(3):
            assert await ask(link, b"%d" % n) == b"%d" % n
        assert len(heads) == 3


async def test_half_an_answer_and_no_answer() -> None:
    async def half(body: bytes, writer: asyncio.StreamWriter) -> None:
        if body == b"half":
            writer.write(plain(b"whole")[:-2])
            writer.close()

    async with served(half) as (link, heads):
        await link.open()
        with pytest.raises(NotConnected, match="closed"):
            await ask(link, b"half")
        await link.open()
        with pytest.raises(Timeout):
            await ask(link, b"none", timeout_s=0.1)
        assert not link.usable
        assert len(heads) == 2, "a request must not be sent twice"


async def test_an_error_of_http_shows_its_status_and_body() -> None:
    async def refuse(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno page")

    async with served(refuse) as (link, _):
        await link.open()
        with pytest.raises(ProtocolError, match=r"'404 Not Found' to POST /json-rpc.*no page"):
            await ask(link, b"x")


async def test_bytes_that_nobody_asked_for_answer_nothing() -> None:
    async def talkative(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(body) + plain(b"unasked"))

    async with served(talkative) as (link, _):
        await link.open()
        for n in range(5):
            assert await ask(link, b"%d" % n) == b"%d" % n
            await asyncio.sleep(0.01)
