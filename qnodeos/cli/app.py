"""`qnodeos app run`: programs of the NetQASM SDK, unmodified, on running nodes."""

from __future__ import annotations

import asyncio
import json as json_module
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from qnodeos.launch.running import NodeAt, RunResult

app = typer.Typer(no_args_is_help=True, help="Run programs of the NetQASM SDK.")


@app.command()
def run(
    program: Annotated[Path, typer.Argument(help="A folder with a file app_ROLE.py a role.")],
    node: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=NODE.toml, or NODE.toml for the next role in order; one a role."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            help="Instead of nodes: start a network from this example, and end it with the run."
        ),
    ] = None,
    ideal: Annotated[
        bool,
        typer.Option(help="Instead of nodes: start an ideal network with an end for each role."),
    ] = False,
    noisy: Annotated[
        bool,
        typer.Option(help="As --ideal, with devices that err (docs/netqasm.md has the numbers)."),
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="New folder for that network (default: a temporary one).")
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="Run it so many times.")] = 1,
    together: Annotated[int, typer.Option(min=1, help="So many at a time.")] = 1,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Seconds for one run.")] = 60.0,
    inputs: Annotated[
        str, typer.Option(help='Arguments of the roles\' main as JSON: {"alice": {"n": 3}}.')
    ] = "{}",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a run.")] = False,
) -> None:
    """Run a program once or many times; ends with status 1 if a run failed."""
    from qnodeos.launch.ideal import IDEAL, NOISY, write_ideal
    from qnodeos.launch.roles import Roles, role_server
    from qnodeos.launch.running import roles_of, run_program

    program = program.resolve()
    roles = roles_of(program)
    given = _inputs(inputs, roles)

    async def all_runs(nodes: dict[str, NodeAt]) -> int:
        turn, failures = asyncio.Semaphore(together), 0

        async def one(number: int, started: Roles) -> None:
            nonlocal failures
            async with turn:
                result = await run_program(
                    program, nodes, inputs=given, time_limit_s=time_limit, roles=started
                )
            failures += bool(result.failed)
            _show(number, result, json)

        async with role_server() as started, asyncio.TaskGroup() as tasks:
            for number in range(times):
                tasks.create_task(one(number, started))
        return failures

    async def with_network(example: Path, folder: Path) -> int:
        from qnodeos.launch.network import network as running

        async with running(example, folder) as ends:
            return await all_runs(_on_ends(roles, ends))

    made = ideal or noisy
    if network is None and not made:
        failures = asyncio.run(all_runs(_nodes(roles, node or [])))
    else:
        with tempfile.TemporaryDirectory(prefix="qnodeos-") as temporary:
            example = Path(temporary) / "ideal" if network is None else network.resolve()
            if network is None:
                write_ideal(example, len(roles), NOISY if noisy else IDEAL)
            folder = output or Path(temporary) / "net"
            failures = asyncio.run(with_network(example, folder))
    if failures:
        raise typer.Exit(1)


def _on_ends(roles: list[str], ends: list[NodeAt]) -> dict[str, NodeAt]:
    """A role named as a node runs on it; the others take the nodes that are left, in order."""
    from qnodeos.errors import UserError

    if len(roles) > len(ends):
        raise UserError(
            "the program has more roles than the network has ends",
            found=f"roles {', '.join(roles)}; ends {', '.join(end.name for end in ends)}",
            expected="a node for each role",
        )
    by_name = {end.name: end for end in ends}
    left = [end for end in ends if end.name not in roles]
    return {role: by_name[role] if role in by_name else left.pop(0) for role in roles}


def _nodes(roles: list[str], given: list[str]) -> dict[str, NodeAt]:
    from qnodeos.errors import UserError
    from qnodeos.launch.running import node_at

    named = dict(each.split("=", 1) for each in given if "=" in each)
    others = [each for each in given if "=" not in each]
    unknown = set(named) - set(roles)
    free = [role for role in roles if role not in named]
    if unknown or len(free) != len(others):
        raise UserError(
            "each role of the program needs a node",
            found=f"{len(given)} nodes" + (f", for {', '.join(sorted(unknown))}" * bool(unknown)),
            expected=f"one for each of {', '.join(roles)}",
            do="give --node NODE.toml, or --node ROLE=NODE.toml, once for each",
        )
    files = named | dict(zip(free, others, strict=True))
    return {role: node_at(Path(files[role])) for role in roles}


def _inputs(text: str, roles: list[str]) -> dict[str, dict[str, Any]]:
    from qnodeos.errors import UserError

    try:
        found = json_module.loads(text)
    except ValueError as error:
        found, problem = None, str(error)
    else:
        problem = text
    good = isinstance(found, dict) and all(
        role in roles and isinstance(each, dict) for role, each in found.items()
    )
    if not good:
        raise UserError(
            "the inputs cannot be used",
            found=problem,
            expected=f"a JSON object with one for each of {', '.join(roles)}, or some",
        )
    return found  # type: ignore[no-any-return]


def _show(number: int, result: RunResult, json: bool) -> None:
    if json:
        told = {
            "run": number,
            "seconds": result.seconds,
            "results": result.results,
            "failed": result.failed,
        }
        typer.echo(json_module.dumps(told))
        return
    typer.echo(f"run {number}: {result.seconds:.2f} s")
    for role, value in result.results.items():
        typer.echo(f"  {role}: {json_module.dumps(value)}")
    if result.failed:
        typer.echo(f"  {result.failed} failed or took too long; the end of what it said:")
        typer.echo(result.last_words)
