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
    """Run one node until SIGINT or SIGTERM; then everything is brought to its safe state.

    Open requests are given `drain_s` of the configuration to end; a second signal skips that.
    SIGHUP reads the configuration again.
    """
    import asyncio

    from qnodeos.config import load_node

    asyncio.run(run_node(load_node(config), seed, with_parent))


async def run_node(config: NodeConfig, seed: int | None, with_parent: bool) -> None:
    """Run a node until it is told to stop; `with_parent`: also when standard input ends."""
    import asyncio
    import logging
    import signal

    from qnodeos.awake import processors_awake
    from qnodeos.cli.long_running import keep_pauses_short
    from qnodeos.cli.parent import stop_with_parent
    from qnodeos.errors import UserError
    from qnodeos.logs import log_as
    from qnodeos.runtime import Node

    log = logging.getLogger("qnodeos")
    log_as(config.log, config.node.name)
    stop, leave = asyncio.Event(), asyncio.Event()
    node = Node(config, seed=seed)
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        if leave.is_set():
            stop.set()  # told twice: at once
        leave.set()

    def told_to_reload() -> None:
        try:
            changed = node.reload()
        except UserError as problem:
            log.error("%s", problem)
        else:
            log.info("reloaded: %s", "; ".join(changed) or "nothing has changed")

    async def leaving() -> None:
        await leave.wait()
        await node.drain(f"node {node.name} is going down")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop)
    loop.add_signal_handler(signal.SIGHUP, told_to_reload)
    if with_parent:
        stop_with_parent(stop)
    keep_pauses_short()
    going = asyncio.create_task(leaving())
    try:
        with processors_awake(config.node.wake_within_us):
            await node.run(stop)
    finally:
        going.cancel()
