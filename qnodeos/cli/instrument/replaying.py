"""A transcript as an instrument on a TCP port or a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from drivers.testing.transcript import Replayer, Transcript

_READ_BYTES = 1 << 16


async def serve_tcp(transcript: Transcript, port: int, tell: Callable[[str], None]) -> None:
    """Serve on 127.0.0.1 until a signal. Raises OSError."""
    replayer = Replayer(transcript)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(replayer.greeting())
            while data := await reader.read(_READ_BYTES):
                writer.write(_answer(replayer, data, tell))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", port)
    async with server:
        number = server.sockets[0].getsockname()[1]
        tell(f"{transcript.header.driver} tcp://127.0.0.1:{number}")
        await _until_a_signal()


async def serve_pty(transcript: Transcript, link: Path, tell: Callable[[str], None]) -> None:
    """Serve on a pseudo-terminal that appears at a path, until a signal. Raises OSError."""
    replayer = Replayer(transcript)
    master, slave = os.openpty()
    loop = asyncio.get_running_loop()

    def readable() -> None:
        os.write(master, _answer(replayer, os.read(master, _READ_BYTES), tell))

    try:
        tty.setraw(slave)
        os.symlink(os.ttyname(slave), link)  # noqa: PTH211
        try:
            os.write(master, replayer.greeting())
            loop.add_reader(master, readable)
            tell(f"{transcript.header.driver} serial://{link}")
            await _until_a_signal()
        finally:
            loop.remove_reader(master)
            os.unlink(link)  # noqa: PTH108
    finally:
        os.close(slave)
        os.close(master)


def _answer(replayer: Replayer, data: bytes, tell: Callable[[str], None]) -> bytes:
    before = replayer.unknown
    said = replayer.feed(data)
    if replayer.unknown > before:
        tell(f"not in the transcript: {data!r}")
    return said


async def _until_a_signal() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
