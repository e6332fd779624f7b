"""A run of a program: one process a role, words between them, results; all end when one fails."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnodeos.config import load_node
from qnodeos.errors import UserError
from qnodeos.launch.roles import Role, Roles, role_server
from qnodeos.launch.words import Hub
from qnodeos.process.host import PLACE

LAST_LINES = 15
STOP_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class NodeAt:
    """A node that runs on this computer: its name, id, where its hosts connect, and where it tells
    /metrics ("": nowhere)."""

    name: str
    id: int
    socket: str
    metrics: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Results by role, or which role failed with the end of what it said."""

    seconds: float
    results: dict[str, Any]
    failed: str = ""
    last_words: str = ""


def roles_of(program: Path) -> list[str]:
    """The roles of a program, in order: a file `app_ROLE.py` each. Raises UserError."""
    roles = sorted(path.stem.removeprefix("app_") for path in program.glob("app_*.py"))
    if not roles:
        raise UserError(
            "this is no program of the NetQASM SDK",
            where=str(program),
            expected="a folder with a file app_ROLE.py for each role",
        )
    return roles


def node_at(node_file: Path, environment: Mapping[str, str] | None = None) -> NodeAt:
    """A running node by its TOML file, in which `environment` is put for variables (default: that
    of this process). Raises UserError."""
    config = load_node(node_file, environment=environment)
    try:
        socket = (config.node.data_dir / PLACE).read_text(encoding="utf-8").strip()
    except OSError:
        raise UserError(
            "the node does not run, or has no memory link",
            where=str(node_file),
            expected=f"a socket told in {config.node.data_dir / PLACE}",
            do="start it: qnodeos run NODE.toml",
        ) from None
    metrics = config.metrics.listen if config.metrics is not None else ""
    return NodeAt(config.node.name, config.node.id, socket, metrics)


async def run_program(
    program: Path,
    nodes: dict[str, NodeAt],
    *,
    inputs: dict[str, dict[str, Any]] | None = None,
    time_limit_s: float = 60.0,
    roles: Roles | None = None,
) -> RunResult:
    """Run a program, an absolute path, once; `nodes` says on which node each role runs. Runs that
    share `roles` start quicker. Raises UserError."""
    if roles is None:
        async with role_server() as own:
            return await run_program(
                program, nodes, inputs=inputs, time_limit_s=time_limit_s, roles=own
            )
    began_s, run = time.monotonic(), secrets.randbits(63)
    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        work = Path(folder)
        server = await Hub().serve(work / "words")
        here = {
            "hub_socket": str(work / "words"),
            "run": run,
            "node_of": {role: node.name for role, node in nodes.items()},
            "id_of": {node.name: node.id for node in nodes.values()},
        }
        started: dict[str, Role] = {}
        try:
            for role, node in nodes.items():
                spec = {
                    "program": str(program),
                    "inputs": (inputs or {}).get(role, {}),
                    "result": str(work / f"{role}.json"),
                    "here": {**here, "role": role, "host_socket": node.socket},
                }
                file = work / f"{role}.spec"
                file.write_text(json.dumps(spec), encoding="utf-8")
                started[role] = roles.start(file, work / f"{role}.log", work)
            failed = await _watched(started, time_limit_s)
        finally:
            await _stopped(started.values())
            server.close()
            await server.wait_closed()
        results = {
            role: json.loads((work / f"{role}.json").read_text(encoding="utf-8"))
            for role in nodes
            if (work / f"{role}.json").exists()
        }
        words = ""
        if failed and (work / f"{failed}.log").exists():
            words = (work / f"{failed}.log").read_text(encoding="utf-8", errors="replace")
            words = "\n".join(words.splitlines()[-LAST_LINES:])
    return RunResult(time.monotonic() - began_s, results, failed, words)


async def _watched(roles: dict[str, Role], limit_s: float) -> str:
    """Wait for all; the first role that failed, or one that was too slow; "" if none did."""
    waiting = {each.ended: role for role, each in roles.items()}
    try:
        async with asyncio.timeout(limit_s):
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for ended in done:
                    role = waiting.pop(ended)
                    if ended.result() != 0:
                        return role
    except TimeoutError:
        return next(iter(waiting.values()))
    return ""


async def _stopped(roles: Iterable[Role]) -> None:
    """Ask those that still run to end, wait, insist."""
    running = [role for role in roles if not role.ended.done()]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for role in running:
            role.signal(number)
        if running:
            await asyncio.wait([role.ended for role in running], timeout=STOP_LIMIT_S)
