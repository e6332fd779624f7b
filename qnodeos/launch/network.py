"""A network of its own for a run: lab, broker and nodes as processes, gone when the run is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from qnodeos.broker import embedded_broker
from qnodeos.client import connect
from qnodeos.demo.layout import NODES, Layout, prepare
from qnodeos.demo.processes import Child
from qnodeos.demo.run import BROKER_PORT, lab_ready, own_loopback
from qnodeos.errors import UserError
from qnodeos.launch.running import NodeAt, node_at

READY_LIMIT_S = 30.0
LOOK_S = 0.05


@asynccontextmanager
async def network(example: Path, output: Path) -> AsyncIterator[list[NodeAt]]:
    """Copy an example to a new folder, start all of it, and give its ends once their links serve.

    Raises UserError.
    """
    layout = prepare(example, output)
    host = own_loopback()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(embedded_broker(host, BROKER_PORT))
        environment = {"LAB_HOST": host, "BROKER_URL": f"mqtt://{host}:{BROKER_PORT}"}
        lab = _child("lab", ["sim", str(layout.lab)], layout, environment)
        nodes = [_child(n, ["run", str(layout.node(n))], layout, environment) for n in NODES]
        await stack.enter_async_context(_running(lab))
        await lab_ready(lab)
        for node in nodes:
            await stack.enter_async_context(_running(node))
        ends = NODES[:2]
        for name in ends:
            await _serves(layout, name)
        yield [node_at(layout.node(name), environment) for name in ends]


def _child(name: str, arguments: list[str], layout: Layout, environment: dict[str, str]) -> Child:
    return Child(
        name,
        [*arguments, "--stop-with-parent"],
        log_file=layout.log(name),
        environment=environment,
        restart=False,
        clock=asyncio.get_running_loop().time,
    )


@asynccontextmanager
async def _running(child: Child) -> AsyncIterator[None]:
    await child.start()
    try:
        yield
    finally:
        await child.stop()


async def _serves(layout: Layout, name: str) -> None:
    """Wait until every link of a node serves. Raises UserError."""
    clock = asyncio.get_running_loop().time
    until_s, found = clock() + READY_LIMIT_S, "it does not answer"
    while clock() < until_s:
        try:
            async with connect(layout.folder / "data" / name) as node:
                links = (await node.status())["links"]
        except UserError:
            pass
        else:
            waiting = [link for link, each in links.items() if not each["ready"]]
            if not waiting:
                return
            found = f"link {', '.join(waiting)} is not ready"
        await asyncio.sleep(LOOK_S)
    raise UserError(
        f"node {name} does not serve",
        where=str(layout.log(name)),
        found=found,
        expected=f"links that serve within {READY_LIMIT_S:g} s",
    )
