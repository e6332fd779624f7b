"""`qnodeos reload`: a running node reads its configuration again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def reload(
    node: Annotated[Path, typer.Argument(help="The node: its TOML file or data directory.")],
) -> None:
    """Take changes of the file over, if all of them can change while the node runs."""
    from qnodeos.cli.asking import ask

    changed = ask(node, "reload", quiet=True)
    typer.echo("\n".join(changed) if changed else "nothing has changed")
