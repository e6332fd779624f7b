"""`acknowledge`: close an interlock, or a link's guard, that has tripped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnodeos.cli.instrument.target import JsonOption, print_json
from qnodeos.errors import UserError

_LIMIT_S = 5.0


def acknowledge(
    node: Annotated[Path, typer.Argument(metavar="NODE", help="The node's TOML file.")],
    name: Annotated[
        str, typer.Argument(metavar="INTERLOCK", help="The interlock's name, or LINK.guard.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Close a tripped interlock of a running node, or a link's guard; the instruments that it held
    get their settings again."""
    from qnodeos.acknowledging import Desk
    from qnodeos.config import load_node

    config = load_node(node)
    known = [*config.interlocks, *config.guards]
    if name not in known:
        raise UserError(
            "there is no such interlock",
            where=f"{config.path}: interlocks",
            found=f"'{name}'",
            expected=f"one of {', '.join(known) or 'none is there'}",
            do="correct the name",
        )
    try:
        problem = Desk(config.node.data_dir).ask(name, timeout_s=_LIMIT_S)
    except OSError as error:
        raise UserError(
            f"the node '{config.node.name}' does not answer",
            where=str(config.node.data_dir),
            found=str(error),
            do="is it running, and on this machine?",
        ) from error
    if problem:
        raise UserError(
            f"interlock '{name}' stays tripped",
            found=problem,
            do="remove the reason, then acknowledge again",
        )
    if as_json:
        print_json({"interlock": name, "state": "closed"})
    else:
        typer.echo(f"interlock '{name}' is closed")
