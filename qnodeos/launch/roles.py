"""Roles as processes, forked by one that has imported the SDK once: `fork_server`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from qnodeos.errors import UserError

READY_LIMIT_S = 30.0
STOP_LIMIT_S = 5.0


class Role:
    """A role's process. `ended` gives its exit status, negative for a signal."""

    def __init__(self, roles: Roles, number: int):
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._roles, self._number = roles, number

    def signal(self, signal_number: int) -> None:
        """Send it a signal; nothing if it has ended."""
        if not self.ended.done():
            self._roles.say({"id": self._number, "signal": signal_number})


class Roles:
    """Starts roles. To be had from `role_server`."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self._roles: dict[int, Role] = {}
        self._last = 0

    def start(self, spec: Path, log: Path, folder: Path) -> Role:
        """A role by the file with its spec, in a folder, with what it says in a log."""
        self._last += 1
        role = self._roles[self._last] = Role(self, self._last)
        self.say({"id": self._last, "spec": str(spec), "log": str(log), "folder": str(folder)})
        return role

    def say(self, order: dict[str, Any]) -> None:
        """Give the server an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def ready(self) -> bool:
        """The server has imported the SDK; False if it could not."""
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_LIMIT_S):
            return bool(await self._process.stdout.readline())

    async def hear(self) -> None:
        """Note the ends of roles until the server's own, which is that of all."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            self._roles.pop(told["id"]).ended.set_result(told["status"])
        for role in self._roles.values():
            role.ended.set_result(-signal.SIGKILL)


@asynccontextmanager
async def role_server() -> AsyncIterator[Roles]:
    """The process that forks roles, for any number of runs; all its roles end with it. Raises
    UserError."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "qnodeos.launch.fork_server"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert process.stdin is not None
        roles = Roles(process)
        try:
            if not await roles.ready():
                log.seek(0)
                words = log.read().decode(errors="replace").strip().splitlines()
                raise UserError(
                    "programs of the NetQASM SDK cannot be started",
                    found=words[-1] if words else "a process that ended without a word",
                    expected="the package netqasm in this environment",
                    do="pip install qnodeos[netqasm]",
                )
            hearing = asyncio.create_task(roles.hear())
            try:
                yield roles
            finally:
                await _ended(process)
                await hearing
        finally:
            await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Its input is closed, upon which it kills its roles and ends."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
