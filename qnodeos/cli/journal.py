"""`qnodeos journal`: what a node has written down, and what it writes now."""

from __future__ import annotations

import json as json_module
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

LOOK_S = 0.5


def journal(
    node: Annotated[Path, typer.Argument(help="The node: its TOML file or data directory.")],
    last: Annotated[int, typer.Option(min=0, help="So many events, the newest last.")] = 20,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only events of this kind; may be given again.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show a node's events, also of a node that is down. The figures of each second are left out
    unless asked for with --kind status."""
    from qnodeos.cli.link import journal_of
    from qnodeos.journal import events_after

    place, seen = journal_of(node), 0
    rows = events_after(place, seen, kinds=kind, last=last)
    while True:
        for number, row in rows:
            seen = max(seen, number)
            _show(row.time_s, row.kind, row.data, json)
        if not follow:
            return
        time.sleep(LOOK_S)
        rows = events_after(place, seen, kinds=kind)


def _show(time_s: float, kind: str, data: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(json_module.dumps({"time_s": time_s, "kind": kind, **data}))
        return
    when = datetime.fromtimestamp(time_s).isoformat(" ", "milliseconds")
    said = ", ".join(f"{name} {value}" for name, value in data.items() if value != "")
    typer.echo(f"{when}  {kind:<12} {said}")
