"""`qnodeos run NODE.toml`: one node, in the foreground, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qnodeos.config import NodeConfig


def run(
    config: Annotated[Path, typer.Argument(help="The node's configuration, a TOML file.")],
    seed: Annotated[
        int | None, typer.Option(help="Fixes every random choice of the node; for rehearsals.")
    ] = None,
    with_parent: Annotated[
        bool,
        typer.Option("--stop-with-parent", help="Stop too when standard input ends.", hidden=True),
    ] = False,
) -> None:
    """Run one node until SIGINT or SIGTERM; then everything is brought to its safe state."""
    import asyncio

    from qnodeos.config import load_node

    asyncio.run(_run(load_node(config), seed, with_parent))


async def _run(config: NodeConfig, seed: int | None, with_parent: bool) -> None:
    import asyncio
    import logging
    import signal

    from qnodeos.cli.parent import stop_with_parent
    from qnodeos.runtime import Node

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level="INFO")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        stop_with_parent(stop)
    await Node(config, seed=seed).run(stop)
