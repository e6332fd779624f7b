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
    faults: Annotated[
        Path | None, typer.Option(help="A file of [[faults]], beside those of the lab file.")
    ] = None,
    fault_seed: Annotated[
        int | None, typer.Option(min=0, help="Draw faults by chance, from this seed.")
    ] = None,
    fault_rate: Annotated[
        float, typer.Option(min=0.0, max=1e4, help="So many faults a minute, with --fault-seed.")
    ] = 2.0,
    console: Annotated[
        bool | None,
        typer.Option(help="Take commands from standard input; default: if it is a terminal."),
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="HOST:PORT to change the lab over HTTP; loopback only.")
    ] = None,
    control_anywhere: Annotated[
        bool, typer.Option("--control-anywhere", help="Let --control be no loopback address.")
    ] = False,
    with_parent: Annotated[
        bool,
        typer.Option("--stop-with-parent", help="Stop too when standard input ends.", hidden=True),
    ] = False,
) -> None:
    """Serve the simulated instruments of a lab file until Ctrl-C or SIGTERM.

    Prints where each instrument is reached, then `ready`. Whoever has the token may use --control:
    that of the environment's QNODEOS_SIM_TOKEN, or the one that is printed; LAB.control tells
    programs of this user, as `qnodeos dashboard`, both. Raises UserError.
    """
    import asyncio
    import os
    import secrets
    import sys

    from qnodeos.cli.long_running import keep_pauses_short
    from qnodeos.cli.parent import stop_with_parent
    from sim_backends.handling import Handling, control_address
    from sim_backends.lab import LabError
    from sim_backends.serve import ServeError, serve

    if console and with_parent:
        raise UserError(
            "standard input cannot be both a console and the parent's sign of life",
            found="--console with --stop-with-parent",
            do="give only one of them",
        )
    if console is None:
        console = sys.stdin.isatty() and not with_parent
    try:
        where = None if control is None else control_address(control)
    except ValueError as error:
        raise UserError("the address of the control cannot be", do=str(error)) from None
    token = os.environ.get("QNODEOS_SIM_TOKEN") or secrets.token_urlsafe(18)
    handling = Handling(
        faults=faults,
        fault_seed=fault_seed,
        fault_rate=fault_rate,
        console=console,
        say=lambda text: print(text, end="", flush=True),
        control=where,
        control_anywhere=control_anywhere,
        token=token,
        control_file=lab.with_suffix(".control"),
    )

    def ready(lines: list[str]) -> None:
        if not quiet:
            _print_table(lines)
        if control is not None and "QNODEOS_SIM_TOKEN" not in os.environ:
            print(f"token {token}")
        print("ready", flush=True)

    async def served() -> None:
        stop = asyncio.Event()
        keep_pauses_short()
        if with_parent:
            stop_with_parent(stop)
        await serve(lab, ready=ready, stop=stop, handling=handling)

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
