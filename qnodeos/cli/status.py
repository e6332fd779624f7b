"""`qnodeos status`: how a running node is."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

GOOD = {"online", "up", "True"}
BAD = {"fault", "absent", "lost", "never", "False"}


def status(
    node: Annotated[Path, typer.Argument(help="The node: its TOML file or data directory.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a running node's peers, instruments, links and applications."""
    from rich.console import Console
    from rich.table import Table

    from qnodeos.cli.asking import ask

    found = ask(node, "status", quiet=True)
    if json:
        typer.echo(json_module.dumps(found))
        return
    console = Console()
    draining = f", draining: {found['draining']}" if found["draining"] else ""
    title = f"node {found['node']}{draining}"
    table = Table(title=title, show_lines=False)
    table.add_column("what")
    table.add_column("name")
    table.add_column("state")
    table.add_column("figures", overflow="fold")
    for name, state in found["peers"].items():
        table.add_row("peer", name, _coloured(state), "")
    for name, each in found["instruments"].items():
        # A zero is worth as much as any reading; of counters it is only noise.
        readings = ", ".join(_figure(*one) for one in each["readings"].items())
        table.add_row("instrument", name, _coloured(each["state"]), each["reason"] or readings)
    for name, each in found["links"].items():
        ready = each.pop("ready", None)
        state = "" if ready is None else _coloured(ready, "ready" if ready else "not ready")
        table.add_row("link", name, state, _figures(each))
    for name, each in found["apps"].items():
        table.add_row("application", name, "", _figures(each))
    console.print(table)


def _coloured(state: Any, text: str = "") -> Text:
    from rich.text import Text

    word = str(state)
    style = "green" if word in GOOD else "red" if word in BAD else "yellow"
    return Text(text or word, style=style)


def _figures(each: dict[str, Any]) -> str:
    return ", ".join(_figure(*one) for one in each.items() if one[1] not in (0, "", None))


def _figure(name: str, value: Any) -> str:
    return f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
