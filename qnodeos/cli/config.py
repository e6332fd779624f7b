"""`qnodeos config`: the JSON schema of a node's file; `check` is `qnodeos check`."""

from __future__ import annotations

import typer

from qnodeos.cli.check import check

app = typer.Typer(no_args_is_help=True, help="The schema of a node's configuration.")
app.command(hidden=True)(check)


@app.command()
def schema() -> None:
    """Print the JSON schema of a node's file, for editors."""
    import json

    from qnodeos.config import schema as node_schema

    typer.echo(json.dumps(node_schema(), indent=2))
