"""A machine of messages on HTTP: the body of each POST is one, and the answer is one.

`websockets` clients are served by `mount_ws`; here is no more of HTTP/1.1 than an instrument has.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

from sim_backends.mount import Connect, Session, listen_on
from sim_backends.mount_messages import serve_streams, stop_streams

__all__ = ["HttpPlace"]

_LIMIT: Final = 1 << 26
_IDLE_S: Final = 60.0


class HttpPlace:
    """A port where the machine answers POSTs to any path. Raises MountError.

    `paths` keeps the last paths asked for. With `chunked` the bodies of the answers come in chunks;
    without `keeps_alive` a connection ends with its answer.
    """

    def __init__(
        self, host: str, port: int, *, chunked: bool = False, keeps_alive: bool = True
    ) -> None:
        self._listener: socket.socket = listen_on(host, port)
        self._host, self._port = host, self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._chunked = chunked
        self._keeps_alive = keeps_alive
        self.paths: list[str] = []

    @property
    def resource(self) -> str:
        """What a driver is given to reach it."""
        return f"http://{self._host}:{self._port}"

    async def start(self, connect: Connect) -> None:
        """Serve clients from now on."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answers = _Answers(writer)
            session = connect(answers)
            try:
                with suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                    while await self._one(reader, writer, session, answers):
                        pass
            finally:
                session.closed()
                writer.close()

        self._server = await serve_streams(serve, self._listener, self._clients)

    async def stop(self) -> None:
        """Drop every client and give the port back."""
        if self._server is not None:
            await stop_streams(self._server, self._clients)
        self._listener.close()

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        session: Session,
        answers: _Answers,
    ) -> bool:
        """One request and its answer; False when the connection is over."""
        async with asyncio.timeout(_IDLE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, path, *_ = first.split(" ")
        headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
        size = int(headers.get("content-length", "0"))
        if not 0 <= size <= _LIMIT:
            writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
            return False
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(size)
        self.paths = [*self.paths[-15:], path]
        if method != "POST":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            return True
        session.feed(body)
        writer.write(self._answer(await answers.next()))
        await writer.drain()
        wants_close = "close" in headers.get("connection", "").lower()
        return self._keeps_alive and not wants_close

    def _answer(self, body: bytes) -> bytes:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        if not self._keeps_alive:
            head += "Connection: close\r\n"
        if not self._chunked:
            return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        half = len(body) // 2
        parts = [part for part in (body[:half], body[half:], b"") if part or not half]
        chunks = b"".join(f"{len(part):X}\r\n".encode() + part + b"\r\n" for part in parts if part)
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"


class _Answers:
    """The answers of the machine, one for each request."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(16)

    def send(self, data: bytes) -> bool:
        try:
            self._waiting.put_nowait(data)
        except asyncio.QueueFull:
            return False
        return True

    def close(self) -> None:
        self._writer.close()

    async def next(self) -> bytes:
        """Wait for the answer; an instrument that hangs gives none."""
        return await self._waiting.get()
