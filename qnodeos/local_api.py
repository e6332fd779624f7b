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
from functools import partial
from pathlib import Path

from drivers.errors import InstrumentProblem
from qnodeos.api_session import Methods, Session
from qnodeos.errors import QnodeosError
from qnodeos.frames import VERSIONS, BadFrame, Call, Cancel, Frame, Line, Progress, Reply
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

WAIT = frozenset({"pair", "next", "hear", "withdrawn"})
"""Methods that wait for something, and so may be cancelled. What a device was told is done."""

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
                loop = asyncio.get_running_loop()
                server = await loop.create_unix_server(self._welcome, socket)
                tell(socket, place)
                async with server:
                    await server.serve_forever()
        finally:
            for client in self._clients:
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    def _welcome(self) -> Line:
        if len(self._clients) >= MOST_CLIENTS:
            self._refused += 1
            return _Refused()
        self._served += 1
        client = _Client(self._parts, self._methods)
        serving = asyncio.create_task(client.serve())
        self._clients.add(serving)
        serving.add_done_callback(self._clients.discard)
        return client.line


class _Refused(Line):
    """One client too many."""

    def __init__(self) -> None:
        super().__init__(lambda _: None, lambda _: None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Client:
    """One connection."""

    def __init__(self, parts: NodeParts, methods: Methods):
        self._methods = methods
        self._session = Session(parts)
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._waiting: dict[int, asyncio.Task[None]] = {}
        self._greeted = False
        self._over: asyncio.Future[BadFrame | None] = asyncio.get_running_loop().create_future()
        self.line = Line(self._take, self._ended)

    async def serve(self) -> None:
        """Until the client leaves, says nonsense, or does not read."""
        try:
            bad = await self._over
            if bad is not None:
                log.warning("a client of the local socket is put out: %s", bad)
        finally:
            calls = list(self._calls.values())
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            self._session.close()
            self.line.close()

    def _ended(self, bad: BadFrame | None) -> None:
        if not self._over.done():
            self._over.set_result(bad)

    def _take(self, frame: Frame) -> None:
        if not self._greeted:
            self._greet(frame)
        elif isinstance(frame, Cancel):
            call = self._waiting.get(frame.id)
            if call is not None:
                call.cancel()
        elif not isinstance(frame, Call):
            raise BadFrame("expected a call")
        elif len(self._calls) >= MOST_CALLS:
            self._say(_busy(frame))
        elif frame.id in self._calls:
            raise BadFrame(f"call {frame.id} is on its way already")
        else:
            call = self._calls[frame.id] = asyncio.create_task(self._answer(frame))
            if frame.method in WAIT:
                self._waiting[frame.id] = call
            call.add_done_callback(partial(self._answered, frame.id))

    def _answered(self, number: int, _: asyncio.Task[None]) -> None:
        del self._calls[number]
        self._waiting.pop(number, None)

    def _greet(self, frame: Frame) -> None:
        if not isinstance(frame, Call) or frame.method != "hello":
            raise BadFrame("expected hello first")
        version = frame.arguments.get("version")
        if version in VERSIONS:
            self._greeted = True
            self._say(Reply(frame.id, {"version": version, "node": self._session.parts.name}))
            return
        known = " and ".join(map(str, VERSIONS))
        text = f"the client speaks version {version!r}, this node {known}"
        self._say(Reply(frame.id, error="UserError", text=text))
        self.line.close()

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
        except asyncio.CancelledError:
            self._say(Reply(call.id, error="Cancelled"))
            raise
        except _TOLD as problem:
            text = str(problem.args[0]) if isinstance(problem, KeyError) else str(problem)
            self._say(Reply(call.id, error=type(problem).__name__, text=text))
        except Exception as problem:
            log.exception("method %s of the local socket failed", call.method)
            self._say(Reply(call.id, error="InternalError", text=repr(problem)))
        else:
            self._say(Reply(call.id, value))

    def _say(self, frame: Reply | Progress) -> None:
        self.line.say(frame)
        if self.line.unsent_bytes > UNREAD_LIMIT_BYTES:
            log.warning("a client of the local socket does not read; it is put out")
            self.line.close(now=True)


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
