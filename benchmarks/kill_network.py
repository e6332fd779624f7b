"""The processes of a network in which nodes are killed: lab, broker, nodes, and their programs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qnodeos.demo.layout import NODES, Layout

if TYPE_CHECKING:  # they need the extra `demo`, and all of this folder is imported for its list
    from qnodeos.demo.processes import Child

LEFT_LOOK_S, LEFT_LOOKS = 0.2, 50
"""All that the nodes have started is gone in this time after them: a guard needs some seconds."""

PROGRAMS_LIMIT_S = 10.0
"""To write down what they noted."""


@dataclass(frozen=True, slots=True)
class Network:
    """The nodes of a network. `host`, its loopback address, is in the environment of all of it."""

    nodes: Mapping[str, Child]
    host: str


@asynccontextmanager
async def network(layout: Layout) -> AsyncIterator[Network]:
    """A network, once its lab is there and all nodes are started; stopped in good order."""
    from qnodeos.broker import embedded_broker
    from qnodeos.demo.processes import Child
    from qnodeos.demo.run import BROKER_PORT, lab_ready, own_loopback

    host = own_loopback()
    environment = {"LAB_HOST": host, "BROKER_URL": f"mqtt://{host}:{BROKER_PORT}"}
    clock = asyncio.get_running_loop().time

    def child(name: str, arguments: Sequence[str]) -> Child:
        return Child(
            name,
            [*arguments, "--stop-with-parent"],
            log_file=layout.log(name),
            environment=environment,
            restart=False,
            clock=clock,
        )

    lab = child("lab", ["sim", str(layout.lab)])
    nodes = {name: child(name, ["run", str(layout.node(name))]) for name in NODES}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(embedded_broker(host, BROKER_PORT))
        stack.push_async_callback(lab.stop)
        await lab.start()
        await lab_ready(lab)
        for node in nodes.values():
            stack.push_async_callback(node.stop)
            await node.start()
        yield Network(nodes, host)


class Programs:
    """The programs of one end in a process of their own; see `benchmarks.kill_process`."""

    def __init__(self, process: asyncio.subprocess.Process, stdin: asyncio.StreamWriter):
        self._process, self._stdin = process, stdin

    def ask_no_more(self) -> None:
        """Begin no request from now on."""
        self._stdin.write(b"over\n")

    async def end(self) -> int:
        """End, and write down what was noted; the exit status."""
        self._stdin.close()
        async with asyncio.timeout(PROGRAMS_LIMIT_S):
            return await self._process.wait()


@asynccontextmanager
async def programs(data: Path, seed: int, log: Path, printed: Path) -> AsyncIterator[Programs]:
    """Those beside the node with this data directory; `log`: where they write what they noted."""
    with printed.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.kill_process", str(data), str(seed), str(log)),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
    assert process.stdin is not None
    started = Programs(process, process.stdin)
    try:
        yield started
    finally:
        await started.end()


async def left_running(host: str) -> list[str]:
    """Command lines of what a network has started and not ended, though there was time for it."""
    found: list[str] = []
    for _ in range(LEFT_LOOKS):
        found = _started_with(host)
        if not found:
            break
        await asyncio.sleep(LEFT_LOOK_S)
    return found


def _started_with(host: str) -> list[str]:
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            lives = process.status() != psutil.STATUS_ZOMBIE
            if lives and process.environ().get("LAB_HOST") == host:
                found.append(" ".join(process.cmdline()))
    return found
