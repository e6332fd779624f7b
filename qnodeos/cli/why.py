"""`qnodeos why`: what a request waits for, and how those that ended did."""

from __future__ import annotations

import json as json_module
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from qnodeos.journal import RequestRow


def why(
    node: Annotated[Path, typer.Argument(help="The node: its TOML file or data directory.")],
    request: Annotated[
        str, typer.Argument(help="A request's number or purpose; default: all that are open.")
    ] = "",
    last: Annotated[
        int, typer.Option(min=0, help="So many that ended, of that number or purpose.")
    ] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain what open requests wait for and when they may be done; and how the last that ended
    did, also of a node that is down."""
    from qnodeos.cli.asking import ask
    from qnodeos.cli.link import journal_of
    from qnodeos.errors import UserError
    from qnodeos.journal import requests_ended

    ended = requests_ended(journal_of(node), request, last)
    down: UserError | None = None
    standing: list[str] = []
    try:
        found = ask(node, "why", quiet=True, request=request)
        standing = stopped(ask(node, "status", quiet=True)["links"])
    except UserError as problem:
        if not ended:
            raise
        found, down = [], problem
    if json:
        rows = [_row(each) for each in ended]
        typer.echo(json_module.dumps({"open": found, "ended": rows, "stopped": standing}))
        return
    for each in found:
        typer.echo("\n".join(lines(each)))
    for row in ended:
        typer.echo("\n".join(_ended(row)))
    if down is not None:
        typer.echo(f"the node does not answer: {down}".splitlines()[0])
    elif not found:
        typer.echo(f"no request is open{f' of {request}' if request else ''}")
    for text in standing:
        typer.echo(text)


def stopped(links: dict[str, dict[str, Any]]) -> list[str]:
    """Links that take no request because of a guard: nobody can be open there to say so."""
    return [
        f"link {name} is stopped by its guard ({said['guard']}): {said.get('guard_reason', '')}"
        for name, said in links.items()
        if said.get("guard", "closed") != "closed"
    ]


def lines(said: dict[str, Any]) -> list[str]:
    """One open request, for people."""
    told = [
        f"request {said['request']} of {said['origin']} for '{said['purpose']}' on {said['link']}",
        f"  {said['delivered']} of {said['number']} pairs ({said['kind']}, F at least "
        f"{said['minimum_fidelity']:.3g}, priority {said['priority']}), {said['state']}; asked "
        f"{said['age_s']:.3g} s ago, {max(0.0, said['left_s']):.3g} s left",
    ]
    told += [f"  {text}" for text in said["waits"]]
    for each in said["ahead"][:5]:
        begun = ", begun and undivided" if each["begun"] else ""
        told.append(
            f"  after request {each['request']} for '{each['purpose']}': {each['missing']} pairs, "
            f"priority {each['priority']}{begun}"
        )
    if said["requests_ahead"] > 5:
        told.append(f"  and {said['requests_ahead'] - 5} more before it")
    if said["expected_s"] is not None:
        enough = "" if said["expected_s"] <= said["left_s"] else ": more than it has left"
        made = said["raw_per_pair"]
        taken = said["taken_per_s"]
        told.append(
            f"  expected in {said['expected_s']:.3g} s, almost surely in {said['promised_s']:.3g} "
            f"s, at {said['pairs_per_s']:.3g} heralded pairs/s"
            f"{f', {made:.3g} for each of its own' if made > 1 else ''}"
            f"{f', {taken:.3g}/s of them for higher priorities' if taken else ''}{enough}"
        )
    return told


def _ended(row: RequestRow) -> list[str]:
    when = datetime.fromtimestamp(row.changed_s).isoformat(" ", "seconds")
    reason = f": {row.reason}" if row.reason else ""
    return [
        f"request {row.identity} of {row.origin} for '{row.purpose}' on {row.link}",
        f"  {row.state} {when} with {row.delivered} of {row.number} pairs{reason}",
    ]


def _row(row: RequestRow) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(row) | {"identity": str(row.identity)}
