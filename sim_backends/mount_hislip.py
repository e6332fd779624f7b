"""A byte machine on HiSLIP, the VISA protocol of instruments on a network (IVI-6.1).

It stands for USBTMC and GPIB too: like them it carries messages with an end mark, and a VISA
library reaches it. A message to the machine gets a line feed where it has none. One client at a
time a session number; locks, triggers and remote control are acknowledged and do nothing.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import Final

from sim_backends.mount import Connect, listen_on
from sim_backends.mount_messages import serve_streams, stop_streams

__all__ = ["HislipPlace"]

_HEAD: Final = struct.Struct(">2sBBIQ")
_LIMIT: Final = 1 << 20
_VERSION: Final = 0x0100
_VENDOR: Final = int.from_bytes(b"QN", "big")

_INITIALIZE, _INITIALIZED, _FATAL = 0, 1, 2
_DATA, _DATA_END = 6, 7
_CLEAR_COMPLETE, _CLEAR_ACKNOWLEDGED = 8, 9
_ASYNC_INITIALIZE, _ASYNC_INITIALIZED = 17, 18
_ASYNC_CLEAR, _ASYNC_CLEARED = 19, 23
_MAX_SIZE, _MAX_SIZE_ANSWER = 15, 16
_ACKNOWLEDGED: Final = {4: 5, 10: 11, 21: 22, 24: 25}  # lock, remote control, status, lock info


class HislipPlace:
    """A TCP port that speaks HiSLIP. Raises MountError."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = listen_on(host, port)
        self._host, self._port = host, self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._sessions = 0

    @property
    def resource(self) -> str:
        """What a driver is given to reach it."""
        return f"TCPIP::{self._host}::hislip0,{self._port}::INSTR"

    async def start(self, connect: Connect) -> None:
        """Serve clients from now on."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with suppress(OSError, EOFError, ValueError):
                    await self._serve(reader, writer, connect)
            finally:
                writer.close()

        self._server = await serve_streams(serve, self._listener, self._clients)

    async def stop(self) -> None:
        """Drop every client and give the port back."""
        if self._server is not None:
            await stop_streams(self._server, self._clients)
        self._listener.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Connect
    ) -> None:
        kind, _, number, _ = await _receive(reader)
        if kind == _INITIALIZE:
            self._sessions = (self._sessions + 1) & 0xFFFF
            _send(writer, _INITIALIZED, 0, _VERSION << 16 | self._sessions)
            await _synchronous(reader, writer, connect)
        elif kind == _ASYNC_INITIALIZE:
            _send(writer, _ASYNC_INITIALIZED, 0, _VENDOR)
            await _asynchronous(reader, writer)
        else:
            _send(writer, _FATAL, 1, number)


async def _synchronous(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Connect
) -> None:
    channel = _Answers(writer)
    session = connect(channel)
    parts = bytearray()
    try:
        while True:
            kind, _, number, payload = await _receive(reader)
            if kind == _CLEAR_COMPLETE:
                parts.clear()
                _send(writer, _CLEAR_ACKNOWLEDGED, 0, 0)
            elif kind in (_DATA, _DATA_END):
                parts += payload
                if len(parts) > _LIMIT:
                    return
                if kind == _DATA_END:
                    channel.number = number
                    message = bytes(parts)
                    parts.clear()
                    session.feed(message if message.endswith(b"\n") else message + b"\n")
    finally:
        session.closed()


async def _asynchronous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        kind, _, _, _ = await _receive(reader)
        if kind == _MAX_SIZE:
            _send(writer, _MAX_SIZE_ANSWER, 0, 0, struct.pack(">Q", _LIMIT))
        elif kind == _ASYNC_CLEAR:
            _send(writer, _ASYNC_CLEARED, 0, 0)
        elif kind in _ACKNOWLEDGED:
            _send(writer, _ACKNOWLEDGED[kind], 1 if kind == 4 else 0, 0)


class _Answers:
    """Each answer is one message, marked with the number of the question."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.number = 0

    def send(self, data: bytes) -> bool:
        if self._writer.is_closing():
            return False
        _send(self._writer, _DATA_END, 0, self.number, data)
        return True

    def close(self) -> None:
        self._writer.close()


async def _receive(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    mark, kind, control, parameter, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if mark != b"HS" or size > _LIMIT:
        raise ValueError("no HiSLIP")
    return kind, control, parameter, await reader.readexactly(size)


def _send(
    writer: asyncio.StreamWriter, kind: int, control: int, parameter: int, payload: bytes = b""
) -> None:
    writer.write(_HEAD.pack(b"HS", kind, control, parameter, len(payload)) + payload)
