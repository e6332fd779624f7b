"""Links on what the operating system has: sockets and pseudo terminals."""

import asyncio
import os
import socket
import subprocess
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.errors import NotConnected, Timeout
from drivers.framing import LINE_LF, Anything
from drivers.links import Link, make_link

Serve = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Link, asyncio.Queue[Serve]]]:
    clients: asyncio.Queue[Serve] = asyncio.Queue(10)
    server = await asyncio.start_server(lambda r, w: clients.put_nowait((r, w)), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = make_link(f"tcp://127.0.0.1:{port}", owner="lab/box")
    try:
        yield link, clients
    finally:
        await link.close()
        server.close()
        while not clients.empty():
            clients.get_nowait()[1].close()


async def test_tcp_exchange_and_power_cycle() -> None:
    async with served() as (link, clients):
        await link.open()
        reader, writer = await clients.get()
        asking = asyncio.create_task(link.exchange(b"a?\n", LINE_LF))
        assert await reader.readline() == b"a?\n"
        writer.write(b"answer\n")
        assert await asking == b"answer"
        writer.close()
        with pytest.raises(NotConnected, match="closed"):
            await link.receive(LINE_LF)
        await link.open()
        _, writer = await clients.get()
        assert link.usable
        writer.close()


async def test_tcp_refused_says_where() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        link = make_link(f"tcp://127.0.0.1:{port}", owner="lab/box")
        with pytest.raises(NotConnected, match=rf"lab/box at tcp://127.0.0.1:{port}: .*refused"):
            await link.open()


async def test_tcp_half_open_is_a_timeout_and_poisons() -> None:
    async with served() as (link, clients):
        await link.open()
        _, writer = await clients.get()  # accepted, and then never a word
        with pytest.raises(Timeout):
            await link.exchange(b"a?\n", LINE_LF, timeout_s=0.05)
        assert not link.usable
        writer.close()


async def test_tcp_has_no_delay_and_keepalive() -> None:
    async with served() as (link, clients):
        await link.open()
        _, writer = await clients.get()
        sock = link.transport._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        writer.close()


async def test_tcp_bounds_what_it_holds_and_loses_nothing() -> None:
    async with served() as (link, clients):
        await link.open()
        _, writer = await clients.get()
        total = 24_000_000
        writer.write(bytes(total))
        with pytest.raises(TimeoutError):  # the sender has to wait for us
            async with asyncio.timeout(0.2):
                await writer.drain()
        held = link.transport.read_nowait()
        assert len(held) < 2_000_000
        got = len(held)
        while got < total:
            got += len(await link.receive(Anything()))
        assert got == total
        writer.close()


async def test_tcp_close_does_not_wait_for_a_stalled_far_end() -> None:
    async with served() as (link, clients):
        await link.open()
        _, writer = await clients.get()
        writer.transport.pause_reading()
        with pytest.raises(Timeout):
            await link.send(bytes(50_000_000), timeout_s=0.1)
        async with asyncio.timeout(2):
            await link.close()
        writer.close()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    far, near = os.openpty()
    path = tmp_path / "port"
    path.symlink_to(os.ttyname(near))
    os.close(near)
    yield far, path
    os.close(far)


async def test_serial_is_raw_both_ways(terminal: tuple[int, Path]) -> None:
    far, path = terminal
    link = make_link(f"serial://{path}", owner="lab/box")
    await link.open()
    everything = bytes(range(256))
    await link.send(everything)
    assert os.read(far, 1000) == everything
    os.write(far, everything)
    got = b""
    while len(got) < 256:
        got += await link.receive(Anything())
    assert got == everything
    os.set_blocking(far, False)
    with pytest.raises(BlockingIOError):
        os.read(far, 10)  # no echo
    await link.close()


async def test_serial_relative_path(
    terminal: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = terminal
    monkeypatch.chdir(path.parent)
    link = make_link("serial://port?baud=9600", owner="lab/box")
    await link.open()
    assert link.usable
    await link.close()


async def test_serial_drops_what_waited_from_before(terminal: tuple[int, Path]) -> None:
    far, path = terminal
    near = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(near)
    os.write(far, b"late answer\n")
    link = make_link(f"serial://{path}", owner="lab/box")
    await link.open()
    os.write(far, b"new\n")
    assert await link.receive(LINE_LF) == b"new"
    await link.close()
    os.close(near)


async def test_serial_second_claim_gets_a_clear_error(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    first = make_link(f"serial://{path}", owner="lab/box")
    second = make_link(f"serial://{path}", owner="lab/other")
    await first.open()
    with pytest.raises(NotConnected, match="in use by another process"):
        await second.open()
    assert first.usable
    await first.close()
    await second.open()
    await second.close()


def owner_process(path: Path) -> subprocess.Popen[bytes]:
    program = (
        "import asyncio, sys\n"
        "from drivers.links import make_link\n"
        "async def main():\n"
        "    await make_link('serial://' + sys.argv[1], owner='x').open()\n"
        "    print('open', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, bufsize=0
    )


async def test_serial_is_free_after_its_owner_was_killed(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    with owner_process(path) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        link = make_link(f"serial://{path}", owner="lab/box")
        with pytest.raises(NotConnected, match="in use by another process"):
            await link.open()
        owner.kill()
        owner.wait()
        await link.open()
        await link.close()


async def test_serial_far_end_gone(terminal: tuple[int, Path]) -> None:
    far, path = terminal
    link = make_link(f"serial://{path}", owner="lab/box")
    await link.open()
    asking = asyncio.create_task(link.exchange(b"a?\n", LINE_LF, timeout_s=5))
    await asyncio.sleep(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, far)  # closes the terminal
    os.close(nothing)
    with pytest.raises(NotConnected):
        await asking
    with pytest.raises(NotConnected):
        await link.open()  # the symbolic link points nowhere now


async def test_serial_full_terminal_is_a_timeout(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    link = make_link(f"serial://{path}", owner="lab/box")
    await link.open()
    with pytest.raises(Timeout):
        await link.send(bytes(1_000_000), timeout_s=0.1)
    await link.close()


async def test_serial_no_port_and_no_terminal(tmp_path: Path) -> None:
    with pytest.raises(NotConnected, match="No such file"):
        await make_link(f"serial://{tmp_path}/none", owner="lab/box").open()
    (tmp_path / "file").touch()
    with pytest.raises(NotConnected, match="is not a serial port"):
        await make_link(f"serial://{tmp_path}/file", owner="lab/box").open()


async def test_serial_sets_the_line(terminal: tuple[int, Path]) -> None:
    _, path = terminal
    link = make_link(f"serial://{path}?baud=9600&stop_bits=2", owner="lab/box")
    await link.open()
    watcher = os.open(path, os.O_RDWR | os.O_NOCTTY)
    _, _, control, _, in_speed, out_speed, _ = termios.tcgetattr(watcher)
    assert in_speed == out_speed == termios.B9600
    assert control & termios.CSTOPB
    os.close(watcher)
    await link.close()
    odd = make_link(f"serial://{path}?baud=12345", owner="lab/box")
    with pytest.raises(NotConnected, match="no baud rate 12345"):
        await odd.open()
