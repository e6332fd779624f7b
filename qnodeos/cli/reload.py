"""`qnodeos reload`: a running node reads its configuration again."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer


def reload(
    node: Annotated[Path, typer.Argument(help="The node: its TOML file or data directory.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take changes of the file over, if all of them can change while the node runs."""
    from qnodeos.cli.asking import ask

    changed = ask(node, "reload", quiet=True)
    if json:
        typer.echo(json_module.dumps({"changed": changed}))
        return
    typer.echo("\n".join(changed) if changed else "nothing has changed")
