"""`qnodeos sim LAB.toml`: serve a simulated lab until interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnodeos.errors import UserError


def sim(
    lab: Annotated[Path, typer.Argument(help="The lab file, as examples/two_nodes/lab.toml.")],
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the word `ready`.")
    ] = False,
    with_parent: Annotated[
        bool,
        typer.Option("--stop-with-parent", help="Stop too when standard input ends.", hidden=True),
    ] = False,
) -> None:
    """Serve the simulated instruments of a lab file until Ctrl-C or SIGTERM.

    Prints where each instrument is reached, then `ready`. Raises UserError.
    """
    import asyncio

    from qnodeos.cli.parent import stop_with_parent
    from sim_backends.lab import LabError
    from sim_backends.serve import ServeError, serve

    def ready(lines: list[str]) -> None:
        if not quiet:
            _print_table(lines)
        print("ready", flush=True)

    async def served() -> None:
        stop = asyncio.Event()
        if with_parent:
            stop_with_parent(stop)
        await serve(lab, ready=ready, stop=stop)

    try:
        asyncio.run(served())
    except LabError as error:
        raise UserError(
            "the lab file cannot be used",
            where=": ".join(part for part in (str(error.path), error.where) if part),
            do=error.problem,
        ) from error
    except ServeError as error:
        raise UserError(error.what, where=error.where, found=error.found, do=error.do) from error


def _print_table(lines: list[str]) -> None:
    """One row an address; a row is one line wherever the output goes."""
    from rich.console import Console
    from rich.table import Table

    rows = [("instrument", "type", "resource"), *(line.split(" ", 2) for line in lines)]
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows[1:]:
        table.add_row(*row)
    # Wide enough for the longest row: a resource that is cut off is no use.
    widest = sum(max(len(row[column]) for row in rows) + 2 for column in range(3))
    Console(width=widest, highlight=False, markup=False).print(table)
