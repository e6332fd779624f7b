"""A running lab over HTTP, in JSON, for programs on the same machine.

    GET  /world           what stands in the lab, and the faults that act
    GET  /faults          what can go wrong with what
    POST /set             {"path": "sources.crystal.fidelity", "value": 0.9}
    POST /fault           {"kind": "cut", "of": "channels.alice", "for_s": 5.0}
    POST /end             {"n": 1}

Each request bears the header `Authorization: Bearer TOKEN`, so that no page in a browser can do it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import socket
from contextlib import suppress
from typing import Any, Final

from sim_backends.control import Control, ControlError
from sim_backends.mount import listen_on
from sim_backends.mount_messages import serve_streams, stop_streams

__all__ = ["ControlPort"]

_LIMIT: Final = 1 << 16
_IDLE_S: Final = 10.0
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    413: "Content Too Large",
}


class ControlPort:
    """Serves a `Control` at an address; 0 lets the system choose the port. Raises MountError."""

    def __init__(self, host: str, port: int, *, token: str) -> None:
        self._listener: socket.socket = listen_on(host, port)
        self._token = token
        self._host, self._port = host, self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """Where it is reached."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self, control: Control) -> None:
        """Serve from now on."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                    async with asyncio.timeout(_IDLE_S):
                        writer.write(await self._answer(reader, control))
                        await writer.drain()
            finally:
                writer.close()

        self._server = await serve_streams(serve, self._listener, self._clients)

    async def stop(self) -> None:
        """Drop every client and give the port back."""
        if self._server is not None:
            await stop_streams(self._server, self._clients)
        self._listener.close()

    async def _answer(self, reader: asyncio.StreamReader, control: Control) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, _, path = first.partition(" ")
        path = path.partition(" ")[0]
        headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return _reply(401, {"error": "expected the header Authorization: Bearer TOKEN"})
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _LIMIT:
            return _reply(413, {"error": f"expected a body of at most {_LIMIT} bytes"})
        body = await reader.readexactly(int(length))
        try:
            return _reply(200, _done(control, method, path, body))
        except ControlError as error:
            return _reply(400, {"error": str(error)})
        except LookupError:
            return _reply(404, {"error": f"{method} {path}; there are {', '.join(_KNOWN)}"})


_KNOWN: Final = ("GET /world", "GET /faults", "POST /set", "POST /fault", "POST /end")


def _done(control: Control, method: str, path: str, body: bytes) -> dict[str, Any]:
    """Carry out a request. Raises ControlError, and LookupError for one that does not exist."""
    if (method, path) == ("GET", "/world"):
        return control.show()
    if (method, path) == ("GET", "/faults"):
        return control.breakable()
    if f"{method} {path}" not in _KNOWN:
        raise LookupError
    try:
        table = json.loads(body)
    except ValueError as error:
        raise ControlError(f"the body is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise ControlError("the body is expected to be an object")
    if path == "/fault":
        return control.fault(table)
    fields: tuple[tuple[str, type], ...] = (
        (("path", str), ("value", object)) if path == "/set" else (("n", int),)
    )
    if set(table) != {name for name, _ in fields} or not all(
        isinstance(table[name], kind) for name, kind in fields
    ):
        expected = " and ".join(f'"{name}"' for name, _ in fields)
        raise ControlError(f"found {sorted(table)}; expected {expected}")
    if path == "/set":
        return control.set(table["path"], table["value"], by="http")
    return control.end(table["n"])


def _reply(status: int, content: dict[str, Any]) -> bytes:
    body = json.dumps(content, default=str).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
