"""Byte machines on TCP, on a pseudo-terminal and in memory."""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.mount import Channel, MountError, listen_on, take_lines
from sim_backends.mount_memory import open_memory
from sim_backends.mount_pty import PtyMount
from sim_backends.mount_tcp import TcpMount


class Echo:
    """Sends every byte back; `b"Q"` closes, `b"F"` floods. Counts sessions."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0
        self.channel: Channel | None = None
        self.news = asyncio.Event()

    async def closed_times(self, times: int) -> None:
        async with asyncio.timeout(5):
            while self.closed < times:
                self.news.clear()
                await self.news.wait()

    def connect(self, channel: Channel) -> EchoSession:
        self.opened += 1
        self.channel = channel
        return EchoSession(self, channel)


class EchoSession:
    def __init__(self, echo: Echo, channel: Channel) -> None:
        self.echo, self.channel = echo, channel

    def feed(self, data: bytes) -> None:
        if data == b"Q":
            self.channel.close()
        elif data == b"F":
            while self.channel.send(bytes(4096)):
                pass
            self.echo.news.set()
        else:
            self.channel.send(data)

    def closed(self) -> None:
        self.echo.closed += 1
        self.echo.news.set()


@asynccontextmanager
async def on_tcp(echo: Echo, **options: int) -> AsyncIterator[tuple[TcpMount, int]]:
    mount = TcpMount(echo.connect, **options)
    listener = listen_on("127.0.0.1", 0)
    port = listener.getsockname()[1]
    await mount.start(listener)
    try:
        yield mount, port
    finally:
        await mount.stop()


async def test_tcp_serves_two_clients_and_notices_when_they_go() -> None:
    echo = Echo()
    async with on_tcp(echo) as (_, port):
        ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for number, (reader, writer) in enumerate(ends):
            writer.write(f"to {number}".encode())
            assert await reader.readexactly(4) == f"to {number}".encode()
        for _, writer in ends:
            writer.close()
            await writer.wait_closed()
        await echo.closed_times(2)
    assert echo.opened == 2


async def test_tcp_closes_a_client_that_never_reads() -> None:
    echo = Echo()
    async with on_tcp(echo, limit_bytes=32 * 1024) as (mount, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"F")
        async with asyncio.timeout(10):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1 << 30)
        writer.close()
        assert mount.closed_for_overflow == 1


async def test_tcp_refuses_clients_beyond_its_number() -> None:
    echo = Echo()
    async with on_tcp(echo, max_clients=1) as (mount, port):
        _, first = await asyncio.open_connection("127.0.0.1", port)
        first.write(b"x")
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        assert (mount.refused, echo.opened) == (1, 1)
        first.close()
        second.close()


async def test_instrument_can_close_a_tcp_client() -> None:
    echo = Echo()
    async with on_tcp(echo) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"Q")
        assert await reader.read() == b""
        writer.close()


def test_a_port_in_use_is_named() -> None:
    with listen_on("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MountError, match=f"127.0.0.1:{port}: port {port} is in use; end the"):
            listen_on("127.0.0.1", port)


def test_a_foreign_address_is_refused_with_a_reason() -> None:
    with pytest.raises(MountError, match=r"192\.0\.2\.1:0: cannot listen"):
        listen_on("192.0.2.1", 0)


async def read_pty(file: int, count: int) -> bytes:
    """Read `count` bytes from a non-blocking terminal."""
    loop = asyncio.get_running_loop()
    data = b""
    async with asyncio.timeout(5):
        while len(data) < count:
            arrived = asyncio.Event()
            loop.add_reader(file, arrived.set)
            await arrived.wait()
            loop.remove_reader(file)
            data += os.read(file, count - len(data))
    return data


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[int]:
    file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield file
    finally:
        os.close(file)


async def test_pty_survives_clients_that_close_and_open_again(tmp_path: Path) -> None:
    echo = Echo()
    mount = PtyMount(echo.connect, tmp_path / "run" / "box")
    mount.start()
    for turn in (1, 2, 3):
        async with opened(mount.link) as file:
            assert not termios.tcgetattr(file)[3] & termios.ECHO
            os.write(file, b"\x00\x03\n\r\xffabc")
            assert await read_pty(file, 8) == b"\x00\x03\n\r\xffabc"
        await echo.closed_times(turn)
    assert echo.opened == 3
    mount.stop()
    assert not mount.link.is_symlink()


async def test_pty_forgets_what_the_last_client_did_not_read(tmp_path: Path) -> None:
    echo = Echo()
    mount = PtyMount(echo.connect, tmp_path / "box", limit_bytes=1 << 16)
    mount.start()
    async with opened(mount.link) as file:
        os.write(file, b"F")
        async with asyncio.timeout(5):
            await echo.news.wait()
        assert mount.dropped_bytes > 0
    await echo.closed_times(1)
    assert echo.channel is not None
    assert not echo.channel.send(b"nobody hears this")
    async with opened(mount.link) as file:
        os.write(file, b"fresh")
        assert await read_pty(file, 5) == b"fresh"
    mount.stop()


async def test_pty_sends_more_than_the_terminal_holds_to_a_slow_reader(tmp_path: Path) -> None:
    echo = Echo()
    mount = PtyMount(echo.connect, tmp_path / "box", limit_bytes=1 << 20)
    mount.start()
    text = bytes(range(256)) * 1000
    async with opened(mount.link) as file:
        os.write(file, b"?")
        assert await read_pty(file, 1) == b"?"
        assert echo.channel is not None
        assert echo.channel.send(text)
        assert await read_pty(file, len(text)) == text
    mount.stop()
    assert mount.dropped_bytes == 0


async def test_pty_replaces_a_stale_link_and_leaves_a_foreign_one(tmp_path: Path) -> None:
    link = tmp_path / "box"
    link.symlink_to("/dev/pts/99999")
    mount = PtyMount(Echo().connect, link)
    mount.start()
    assert link.exists()
    link.unlink()
    link.symlink_to("/dev/null")
    mount.stop()
    mount.stop()
    assert str(link.readlink()) == "/dev/null"


async def test_pty_does_not_overwrite_a_file(tmp_path: Path) -> None:
    (tmp_path / "box").write_text("mine")
    with pytest.raises(MountError, match="there is a file where"):
        PtyMount(Echo().connect, tmp_path / "box").start()
    assert (tmp_path / "box").read_text() == "mine"


async def test_pty_clients_that_set_raw_mode_themselves_are_served(tmp_path: Path) -> None:
    mount = PtyMount(Echo().connect, tmp_path / "box")
    mount.start()
    async with opened(mount.link) as file:
        tty.setraw(file)
        os.write(file, b"a;b\r\n")
        assert await read_pty(file, 5) == b"a;b\r\n"
    mount.stop()


async def test_memory_carries_bytes_and_ends_from_both_sides() -> None:
    echo = Echo()
    port = open_memory(echo.connect)
    await port.write(b"hello")
    assert await port.read() == b"hello"
    await port.write(b"rest")
    await port.write(b"Q")
    assert await port.read() == b"rest"
    assert await port.read() == b""
    with pytest.raises(ConnectionResetError):
        await port.write(b"more")
    other = open_memory(echo.connect)
    other.close()
    other.close()
    assert echo.closed == 2


async def test_memory_closes_a_client_that_never_reads() -> None:
    echo = Echo()
    port = open_memory(echo.connect, limit_bytes=10_000)
    await port.write(b"F")
    assert port.closed_for_overflow == 1
    assert len(await port.read()) <= 10_000
    assert await port.read() == b""


async def test_memory_read_that_is_cancelled_loses_nothing() -> None:
    port = open_memory(Echo().connect)
    waiting = asyncio.create_task(port.read())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await port.write(b"kept")
    assert await port.read() == b"kept"


@given(st.lists(st.binary(max_size=20)), st.data())
def test_lines_do_not_depend_on_how_the_bytes_are_cut(
    pieces: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(pieces)
    buffer, lines = bytearray(), []
    position = 0
    while position < len(whole):
        size = data.draw(st.integers(1, len(whole) - position))
        buffer += whole[position : position + size]
        position += size
        lines += take_lines(buffer, b";\n")
    expected = whole.replace(b"\n", b";").split(b";")
    assert lines == expected[:-1]
    assert bytes(buffer) == expected[-1]


def test_a_line_without_end_does_not_grow() -> None:
    buffer = bytearray()
    for _ in range(1000):
        buffer += bytes(100)
        assert take_lines(buffer, limit=4096) == []
        assert len(buffer) <= 4096
