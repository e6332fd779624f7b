"""Runs of NetQASM programs on nodes, so many at a time, and what they leave behind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.frame import need
from benchmarks.node_usage import Usage, usage
from qnodeos.launch.roles import Roles
from qnodeos.launch.running import NodeAt, RunResult, roles_of, run_program

LIMIT_S = 60.0
"""A program that takes longer hangs."""

OURS = Path(__file__).parents[1] / "tests" / "e2e" / "programs"
LOOK_S = 0.05
SETTLE_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Program:
    """A folder of roles, and what their `main` is given."""

    folder: Path
    inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Served:
    """What came of many runs: times of those that succeeded, failures with their last words."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: int = 0
    """Teleported states that did not arrive as they were sent."""
    resident: list[tuple[int, list[int]]] = field(default_factory=list)
    """Runs so far, and the nodes' resident memory."""

    def add(self, program: Program, result: RunResult) -> None:
        """Note one run."""
        if result.failed:
            self.failures.append(f"{program.folder.name}: {result.failed}: {result.last_words}")
            return
        self.seconds.append(result.seconds)
        if program.folder.name == "six_states":
            self.wrong += result.results["bob"]["wrong"]


def mixture() -> list[Program]:
    """The two-node examples of the SDK, and a teleportation of ours that judges itself."""
    apps = Path(need("netqasm").__file__).parent / "examples" / "apps"
    bits = {role: {"num_bits": 16} for role in ("alice", "bob")}
    row, column = {"player1": {"row": 1}}, {"player2": {"col": 2}}
    return [
        Program(OURS / "six_states"),
        Program(apps / "teleport"),
        Program(apps / "bb84", bits),
        Program(apps / "dist_cnot"),
        Program(apps / "blind_rotation"),
        Program(apps / "blind_grover"),
        Program(apps / "magic_square", row | column),
        Program(apps / "link_layer_ck"),
        Program(apps / "link_layer_md"),
        Program(apps / "multiple_files"),
    ]


async def serve(
    programs: Iterable[Program],
    nodes: Sequence[NodeAt],
    roles: Roles,
    *,
    together: int,
    look_every: int = 25,
) -> Served:
    """Run all, `together` at a time; each has the first of its roles on the first node."""
    served, waiting = Served(), iter(programs)

    async def one_after_the_other() -> None:
        for program in waiting:
            at = dict(zip(roles_of(program.folder), nodes, strict=True))
            served.add(
                program,
                await run_program(
                    program.folder, at, inputs=program.inputs, time_limit_s=LIMIT_S, roles=roles
                ),
            )
            done = len(served.seconds) + len(served.failures)
            if done % look_every == 0:
                now = [await usage(node) for node in nodes]
                served.resident.append((done, [each.resident_bytes for each in now]))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(together):
            tasks.create_task(one_after_the_other())
    return served


def so_many(programs: Sequence[Program], count: int) -> Iterator[Program]:
    """In turn, until there are so many."""
    return itertools.islice(itertools.cycle(programs), count)


async def left_behind(before: Sequence[Usage], nodes: Sequence[NodeAt]) -> dict[str, int]:
    """What the nodes hold beyond what they held before, resident memory aside: nothing, once the
    last words between them are said; looked at again and again for a while."""
    found: dict[str, int] = {}
    for _ in range(round(SETTLE_LIMIT_S / LOOK_S)):
        found = {}
        for node, old in zip(nodes, before, strict=True):
            for name, more in (await usage(node)).more_than(old).items():
                if name != "resident_bytes":
                    found[name] = found.get(name, 0) + more
        if not found:
            break
        await asyncio.sleep(LOOK_S)
    return found
