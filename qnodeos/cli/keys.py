"""`qnodeos keys`: the CURVE keys that nodes know each other by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make the keys that nodes know each other by.")


@app.callback()
def _group() -> None:
    """Keeps `new` a subcommand while it is the only one."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The node's name.")],
    folder: Annotated[
        Path, typer.Option("--dir", help="Where to write NAME.key and NAME.key_secret.")
    ] = Path("keys"),
) -> None:
    """Make a pair of keys: NAME.key for the peers, NAME.key_secret for this node alone."""
    from qnodeos.keys import new_keys

    public, secret = new_keys(name, folder)
    typer.echo(f"{public}  public: copy it to every peer")
    typer.echo(f"{secret}  secret: keep it on this node")
