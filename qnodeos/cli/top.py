"""`qnodeos top`: the network on a terminal, live."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qnodeos.dashboard.view import NetworkView
    from qnodeos.top.rows import Sheet


def top(
    nodes: Annotated[
        list[Path], typer.Argument(help="The nodes' TOML files, or folders that have them.")
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Print the tables once, as when output is no terminal.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON once.")] = False,
) -> None:
    """Follow nodes, links, instruments, requests, memory and latencies; ? shows the keys.

    Nodes on this computer are asked over their local sockets, the others heard over their broker.
    """
    import time

    from qnodeos.dashboard.feed import keep_fresh
    from qnodeos.dashboard.places import find_places
    from qnodeos.dashboard.view import NetworkView
    from qnodeos.errors import UserError

    network = NetworkView.of(find_places(nodes), time.monotonic, time.time)
    if json or once or not sys.stdout.isatty():
        _print(_once(network, quiet=json), json)
        return
    try:
        from qnodeos.top.app import Top
    except ModuleNotFoundError as error:
        raise UserError(
            "the live screen needs more than the base installation",
            found=f"no package '{error.name}'",
            expected="the extra 'top' of qnodeos",
            do="pip install 'qnodeos[top]', or print once: qnodeos top --once",
        ) from error
    Top(network, keep_fresh).run()


def _once(network: NetworkView, *, quiet: bool) -> dict[str, Sheet]:
    import asyncio

    from qnodeos.cli.progress import bar
    from qnodeos.dashboard.feed import keep_fresh
    from qnodeos.dashboard.sights import Sights
    from qnodeos.dashboard.view import SETTLED_S
    from qnodeos.top.rows import looked, sheets

    async def heard() -> dict[str, Sheet]:
        listening = asyncio.create_task(keep_fresh(network))
        sights = Sights(network)
        steps = 20
        with bar("listening", quiet=quiet) as told:
            # One step longer than it takes to hear of everybody: what is silent then is silent.
            for step in range(steps + 1):
                looked(network, sights)
                told(step / steps, "")
                await asyncio.sleep(SETTLED_S / steps)
        found = sheets(network, looked(network, sights))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        return found

    return asyncio.run(heard())


def _print(found: dict[str, Sheet], json: bool) -> None:
    if json:
        document = {
            name: [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
            for name, sheet in found.items()
        }
        typer.echo(json_module.dumps(document, indent=2, ensure_ascii=False))
        return
    from qnodeos.cli.instrument.finding import print_table

    for sheet in found.values():
        typer.echo(f"{sheet.title}:" if sheet.rows else f"{sheet.title}: {sheet.empty}")
        if sheet.rows:
            print_table(sheet.columns, [*sheet.rows])
            typer.echo("")
