"""The node's local socket, for programs of this computer's user and for the command line.

One connection is one client, with what it holds: when it ends, however it ends, its requests are
cancelled and its pairs and qubits given up. A client gets its own handles, small numbers, so that
it cannot name what is another's. The socket is for the node's user alone (docs/native-api.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from drivers.errors import InstrumentProblem
from qnodeos.api_session import Methods, Session
from qnodeos.errors import QnodeosError
from qnodeos.frames import PROTOCOL_VERSION, BadFrame, Call, Progress, Reply, encoded, read_frame
from qnodeos.memory import MemoryFull, PairExpired
from qnodeos.node_parts import NodeParts
from qnodeos.requests import RequestEnded
from qnodeos.socket_place import socket_place, tell
from qnodeos.status import Status
from qnodeos.supervising import Service

log = logging.getLogger("qnodeos.api")

MOST_CLIENTS = 64
MOST_CALLS = 256
"""On their way at once, of one client."""

UNREAD_LIMIT_BYTES = 1 << 20
"""A client that does not read its replies is put out."""

PLACE = "api"
"""The file of a node's data directory that says where its socket is."""

_TOLD = (
    RequestEnded,
    PairExpired,
    MemoryFull,
    InstrumentProblem,
    QnodeosError,
    KeyError,
    TypeError,
    ValueError,
)


class LocalApi:
    """Serves the methods of `api_session` and those that others have added to it."""

    def __init__(self, parts: NodeParts, methods: Methods):
        self._parts, self._methods = parts, methods
        self._clients: set[asyncio.Task[None]] = set()
        self._served = self._refused = 0

    def status(self) -> Status:
        """Clients now and so far."""
        return {"clients": len(self._clients), "served": self._served, "refused": self._refused}

    async def run(self) -> None:
        """Listen until cancelled."""
        place = self._parts.config.node.data_dir / PLACE
        try:
            with socket_place(place, "node.sock") as socket:
                server = await asyncio.start_unix_server(self._welcome, socket)
                tell(socket, place)
                async with server:
                    await server.serve_forever()
        finally:
            for client in self._clients:
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MOST_CLIENTS:
            self._refused += 1
            writer.close()
            return
        self._clients.add(task)
        self._served += 1
        try:
            await _Client(self._parts, self._methods, reader, writer).serve()
        except asyncio.CancelledError:
            pass  # the node ends, or the service does
        finally:
            self._clients.discard(task)


class _Client:
    """One connection."""

    def __init__(
        self,
        parts: NodeParts,
        methods: Methods,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ):
        self._reader, self._writer, self._methods = reader, writer, methods
        self._session = Session(parts)
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Until the client leaves, says nonsense, or does not read."""
        try:
            if await self._greeted():
                while (frame := await read_frame(self._reader)) is not None:
                    # What has been read already is read without a pause: one call a turn of the
                    # loop, or a client that asks for a thousand things holds everybody up.
                    await asyncio.sleep(0)
                    if not isinstance(frame, Call):
                        raise BadFrame("expected a call")
                    if len(self._calls) >= MOST_CALLS:
                        self._say(_busy(frame))
                        continue
                    call = asyncio.create_task(self._answer(frame))
                    self._calls.add(call)
                    call.add_done_callback(self._calls.discard)
        except BadFrame as bad:
            log.warning("a client of the local socket is put out: %s", bad)
        finally:
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)
            self._session.close()
            self._writer.close()

    async def _greeted(self) -> bool:
        frame = await read_frame(self._reader)
        if not isinstance(frame, Call) or frame.method != "hello":
            raise BadFrame("expected hello first")
        version = frame.arguments.get("version")
        if version == PROTOCOL_VERSION:
            self._say(Reply(frame.id, {"version": version, "node": self._session.parts.name}))
            return True
        text = f"the client speaks version {version!r}, this node {PROTOCOL_VERSION}"
        self._say(Reply(frame.id, error="UserError", text=text))
        return False

    async def _answer(self, call: Call) -> None:
        method = self._methods.get(call.method)
        if method is None:
            known = ", ".join(sorted(self._methods))
            text = f"no method '{call.method}'; there are {known}"
            self._say(Reply(call.id, error="UserError", text=text))
            return

        def progress(done: float, text: str = "") -> None:
            self._say(Progress(call.id, done, text))

        try:
            value = await method(self._session, progress, **call.arguments)
        except _TOLD as problem:
            text = str(problem.args[0]) if isinstance(problem, KeyError) else str(problem)
            self._say(Reply(call.id, error=type(problem).__name__, text=text))
        except Exception as problem:
            log.exception("method %s of the local socket failed", call.method)
            self._say(Reply(call.id, error="InternalError", text=repr(problem)))
        else:
            self._say(Reply(call.id, value))

    def _say(self, frame: Reply | Progress) -> None:
        self._writer.write(encoded(frame))
        if self._writer.transport.get_write_buffer_size() > UNREAD_LIMIT_BYTES:
            log.warning("a client of the local socket does not read; it is put out")
            self._writer.transport.abort()


def _busy(call: Call) -> Reply:
    return Reply(call.id, error="UserError", text=f"{MOST_CALLS} calls are on their way already")


def services(parts: NodeParts, methods: Methods) -> Iterable[Service]:
    """The socket as a service of the node; not in a network of one process, which has no user."""
    if os.name != "posix" or parts.config.wire.listen.startswith("mem://"):
        return
    api = LocalApi(parts, methods)
    yield Service("api", api.run, status=api.status)


def socket_of(data_dir: Path) -> Path | None:
    """Where the socket of the node with this data directory is; None: it does not run."""
    try:
        return Path((data_dir / PLACE).read_text(encoding="utf-8").strip())
    except OSError:
        return None
