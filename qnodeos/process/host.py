"""Where hosts connect: one connection may have several programs, and each is contained.

A program is known by its connection and its application id, as each host counts ids from 0. What
a program does wrong ends that program: its qubits are freed, its requests cancelled, and the host
gets the protocol's error, whose reason is in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from functools import partial
from urllib.parse import urlsplit

from drivers.errors import InstrumentProblem
from link_layer.messages import MOST_SOCKETS
from qnodeos.memory import PairExpired
from qnodeos.memory_link import MemoryLink
from qnodeos.node_parts import NodeParts
from qnodeos.process import host_messages as hm
from qnodeos.process.commands import BadSubroutine, Flavour
from qnodeos.process.epr import BEST_EFFORT_PERCENT, EprSocket
from qnodeos.process.memory import ProgramFault
from qnodeos.process.program import Program
from qnodeos.process.qubits import NoQubit
from qnodeos.requests import RequestEnded
from qnodeos.socket_place import socket_place, tell
from qnodeos.status import Status
from qnodeos.supervising import Service

log = logging.getLogger("qnodeos.process")

PLACE = "processes"
"""The file of a node's data directory that says where its socket for hosts is."""

MOST_CONNECTIONS = 64
"""By the node's own socket, and as many by TCP: whoever reaches the port takes no place there."""

MOST_PROGRAMS = 32
"""Of one connection."""

_CONTAINED = (BadSubroutine, ProgramFault, RequestEnded, PairExpired, InstrumentProblem)


class ProcessHost:
    """Listens for hosts. `listen`: tcp://HOST:PORT as well as the node's own socket; None: only
    that."""

    def __init__(self, parts: NodeParts, *, flavour: Flavour, listen: str | None):
        self.parts, self.flavour, self._listen = parts, flavour, listen
        self.counters: dict[str, int] = {
            "programs": 0,
            "programs_ended": 0,
            "programs_failed": 0,
            "subroutines": 0,
            "put_out": 0,
        }
        self._local: set[asyncio.Task[None]] = set()
        self._remote: set[asyncio.Task[None]] = set()

    def status(self) -> Status:
        """Connections now; programs and subroutines so far."""
        return {"connections": len(self._local) + len(self._remote), **self.counters}

    async def run(self) -> None:
        """Listen until cancelled."""
        place = self.parts.config.node.data_dir / PLACE
        local, remote = partial(self._welcome, self._local), partial(self._welcome, self._remote)
        servers = []
        try:
            with socket_place(place, "host.sock") as socket:
                servers.append(await asyncio.start_unix_server(local, socket))
                if self._listen is not None:
                    at = urlsplit(self._listen)
                    servers.append(await asyncio.start_server(remote, at.hostname, at.port))
                tell(socket, place)
                await asyncio.gather(*(server.serve_forever() for server in servers))
        finally:
            for server in servers:
                server.close()
            for connection in (*self._local, *self._remote):
                connection.cancel()
            await asyncio.gather(*self._local, *self._remote, return_exceptions=True)

    async def _welcome(
        self,
        connections: set[asyncio.Task[None]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(connections) >= MOST_CONNECTIONS:
            self.counters["put_out"] += 1
            writer.close()
            return
        connections.add(task)
        connection = _Connection(self, writer)
        try:
            await connection.serve(reader)
        except hm.BadMessage as bad:
            self.counters["put_out"] += 1
            log.warning("a host is put out: %s", bad)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # it has gone, or the node goes
        finally:
            connection.close()
            connections.discard(task)


class _Connection:
    """One host and its programs."""

    def __init__(self, host: ProcessHost, writer: asyncio.StreamWriter):
        self._host, self._writer = host, writer
        self._programs: dict[int, Program] = {}
        self._run = 0

    def close(self) -> None:
        """Whatever its programs held is given up."""
        for program in self._programs.values():
            program.close()
        self._programs.clear()
        self._writer.close()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """One message after the other, as answers have no frame that would tell them apart.

        The next frame is waited for meanwhile: a host that is gone waits for no pairs any more.
        """
        head = asyncio.ensure_future(reader.readexactly(hm.HEADER.size))
        try:
            while True:
                number, length = hm.HEADER.unpack(await head)
                if not hm.HEADER.size < length <= hm.MOST_FRAME_BYTES:
                    raise hm.BadMessage(f"a frame of {length} bytes")
                message = hm.decode(await reader.readexactly(length - hm.HEADER.size))
                head = asyncio.ensure_future(reader.readexactly(hm.HEADER.size))
                answer = asyncio.ensure_future(self._answer(number, message))
                try:
                    await asyncio.wait((answer, head), return_when=asyncio.FIRST_COMPLETED)
                    if head.done() and head.exception() is not None:
                        return  # the host is gone
                    self._writer.write(b"".join(await answer))
                finally:
                    answer.cancel()
                await self._writer.drain()
        finally:
            head.cancel()
            await asyncio.gather(head, return_exceptions=True)

    async def _answer(self, number: int, message: hm.HostMessage) -> list[bytes]:
        app = self._app_of(message)
        try:
            match message:
                case hm.InitNewApp(most_qubits=most):
                    self._begin(message.app, most)
                case hm.OpenEprSocket():
                    self._open(message)
                case hm.RunSubroutine(data=data):
                    self._host.counters["subroutines"] += 1
                    return [*await self._program(app).run(data), hm.done(number)]
                case hm.StopApp():
                    self._end(app)
                case hm.JoinRun(run=run):
                    self._run = run
                case hm.StopBackend():
                    pass
        except _CONTAINED as problem:
            return [hm.error(self._failed(app, problem))]
        return [hm.done(number)]

    def _app_of(self, message: hm.HostMessage) -> int:
        match message:
            case hm.InitNewApp(app=app) | hm.OpenEprSocket(app=app) | hm.StopApp(app=app):
                return app
            case hm.RunSubroutine(data=data) if len(data) >= 4:
                return int.from_bytes(data[2:4], "little")
        return -1

    def _begin(self, app: int, most_qubits: int) -> None:
        if app in self._programs:
            raise ProgramFault(f"application {app} runs already")
        if len(self._programs) >= MOST_PROGRAMS:
            raise ProgramFault(f"more than {MOST_PROGRAMS} programs of one connection")
        self._host.counters["programs"] += 1
        self._programs[app] = Program(self._memory_link(), most_qubits, self._host.flavour)

    def _open(self, message: hm.OpenEprSocket) -> None:
        program = self._program(message.app)
        if len(program.sockets) >= MOST_SOCKETS:
            raise ProgramFault(f"more than {MOST_SOCKETS} EPR sockets of one program")
        percent = message.fidelity_percent
        name = f"netqasm-{self._run:x}"
        socket = EprSocket(
            self._link_to(message.remote_node),
            message.remote_node,
            0.0 if percent >= BEST_EFFORT_PERCENT else percent / 100,
            # Named by the creating end's socket first; the two ends see each other's.
            purpose=f"{name}-{message.remote_socket}-{message.socket}",
            ours=f"{name}-{message.socket}-{message.remote_socket}",
        )
        program.open(message.remote_node, message.socket, socket)

    def _end(self, app: int) -> None:
        program = self._programs.pop(app, None)
        if program is not None:
            program.close()
            self._host.counters["programs_ended"] += 1

    def _failed(self, app: int, problem: Exception) -> int:
        """A program has ended by its own mistake, or by what was out of its hands; the code."""
        program = self._programs.pop(app, None)
        if program is not None:
            program.close()
        self._host.counters["programs_failed"] += 1
        text = f"{type(problem).__name__}: {problem}"
        self._host.parts.store.event("program-failed", {"app": app, "reason": text})
        log.warning("program %d has ended: %s", app, text)
        if isinstance(problem, NoQubit):
            return hm.NO_QUBIT
        return hm.UNSUPPORTED if isinstance(problem, BadSubroutine) else hm.GENERAL

    def _program(self, app: int) -> Program:
        program = self._programs.get(app)
        if program is None:
            raise ProgramFault(f"this connection has no application {app}")
        return program

    def _link_to(self, node: int) -> MemoryLink:
        parts = self._host.parts
        for link in parts.links.values():
            if (
                isinstance(link, MemoryLink)
                and parts.config.wire.peers[link.config.peer].id == node
            ):
                return link
        raise ProgramFault(f"there is no memory link to node {node}")

    def _memory_link(self) -> MemoryLink | None:
        links = self._host.parts.links.values()
        return next((link for link in links if isinstance(link, MemoryLink)), None)


def services(parts: NodeParts) -> Iterable[Service]:
    """Hosts may connect to a node that has a memory link, or is told to listen."""
    table = parts.config.processes
    has_memory = any(isinstance(link, MemoryLink) for link in parts.links.values())
    if os.name != "posix" or parts.config.wire.listen.startswith("mem://"):
        return
    if has_memory or table.listen is not None:
        host = ProcessHost(parts, flavour=table.flavour, listen=table.listen)
        yield Service("processes", host.run, status=host.status)
