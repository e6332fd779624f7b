"""Runs the two-node example: lab, broker, nodes; shows progress; stops all; returns the report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from qnodeos.broker import embedded_broker
from qnodeos.bus import watch
from qnodeos.demo.layout import NODES, Layout, prepare
from qnodeos.demo.processes import Child, Meter, cpu_seconds
from qnodeos.demo.progress import Progress
from qnodeos.errors import UserError

BROKER_PORT = 7183
CONTROL_PORT = 7190
READY_LIMIT_S = 15.0
STARTED_S = 5.0
"""A process is up by then; what it used to start does not count as its running cost."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose about a run."""

    seconds: float
    example: Path
    output: Path | None = None
    broker_url: str | None = None
    kill: str | None = None
    kill_at_s: float = 10.0


@dataclass(slots=True)
class Kill:
    """A process killed on purpose, and what was seen of it; instants on our clock."""

    node: str
    at_s: float
    noticed_s: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """What happened, as seen from outside the nodes."""

    layout: Layout
    options: Options
    children: dict[str, Child]
    started_s: float = 0.0
    stopped_s: float = 0.0
    peak_memory_bytes: int = 0
    peak_processes: int = 0
    cpu_share: dict[str, float] = field(default_factory=dict)
    kill: Kill | None = None
    troubles: list[str] = field(default_factory=list)


async def run_demo(options: Options, console: Console) -> Run:
    """The whole run; raises UserError when it cannot begin."""
    layout = prepare(options.example, options.output)
    host = own_loopback()
    async with AsyncExitStack() as stack:
        broker_url = options.broker_url
        if broker_url is None:
            await stack.enter_async_context(embedded_broker(host, BROKER_PORT))
            broker_url = f"mqtt://{host}:{BROKER_PORT}"
        environment = {"LAB_HOST": host, "BROKER_URL": broker_url}
        clock = asyncio.get_running_loop().time
        control = ("--control", f"{host}:{CONTROL_PORT}")
        children = {
            name: Child(
                name,
                arguments,
                log_file=layout.log(name),
                environment=environment,
                restart=name in NODES,
                clock=clock,
            )
            for name, arguments in (
                ("lab", ["sim", str(layout.lab), *control, "--stop-with-parent"]),
                *((n, ["run", str(layout.node(n)), "--stop-with-parent"]) for n in NODES),
            )
        }
        run = Run(layout, options, children, started_s=clock())
        progress = Progress(console, options.seconds, clock)
        keepers = await stack.enter_async_context(_all_stopped(run))
        await _start(children["lab"], keepers)
        await lab_ready(children["lab"])
        for name in NODES:
            await _start(children[name], keepers)
        await _go_on(run, progress, broker_url)
        run.stopped_s = clock()
    return run


async def _start(child: Child, keepers: asyncio.TaskGroup) -> None:
    await child.start()
    keepers.create_task(child.keep(), name=f"keeper of {child.name}")


@asynccontextmanager
async def _all_stopped(run: Run) -> AsyncIterator[asyncio.TaskGroup]:
    """Stop the nodes, then the lab, whatever happened in between."""
    async with asyncio.TaskGroup() as keepers:
        try:
            yield keepers
        finally:
            nodes = [run.children[name] for name in NODES]
            await asyncio.gather(*(node.stop() for node in nodes))
            await run.children["lab"].stop()


async def lab_ready(lab: Child) -> None:
    """The lab prints `ready` once every instrument can be reached."""
    clock = asyncio.get_running_loop().time
    limit_s = clock() + READY_LIMIT_S
    while clock() < limit_s:
        if any(line.strip() == "ready" for line in lab.last_words(5).splitlines()):
            return
        if lab.pid is None:
            break
        await asyncio.sleep(0.05)
    raise UserError(
        "the simulated lab did not come up",
        where=str(lab.log_file),
        found=lab.last_words() or "no output",
        expected=f"the line 'ready' within {READY_LIMIT_S:g} s",
    )


async def _go_on(run: Run, progress: Progress, broker_url: str) -> None:
    """The measuring part: watch, sample, and kill if asked to, until the time is over."""
    clock = asyncio.get_running_loop().time
    meter = Meter()
    end_s = run.started_s + run.options.seconds
    cpu_from: dict[str, tuple[float, float]] = {}
    watcher = asyncio.create_task(_watch(run, progress, broker_url))
    try:
        with progress:
            while clock() < end_s:
                await asyncio.sleep(0.25)
                meter.sample()
                if watcher.done():
                    watcher.result()
                if run.children["lab"].pid is None:
                    run.troubles.append("the simulated lab died")
                    return
                _kill_if_time(run, clock())
                for name in NODES:
                    pid = run.children[name].pid
                    up = clock() > run.started_s + STARTED_S
                    if up and pid is not None and name not in cpu_from:
                        cpu_from[name] = (clock(), cpu_seconds(pid))
                progress.show()
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        run.peak_memory_bytes, run.peak_processes = meter.peak_bytes, meter.peak_processes
        for name, (since_s, cpu_s) in cpu_from.items():
            pid = run.children[name].pid
            if pid is not None and run.children[name].starts == 1 and clock() > since_s:
                run.cpu_share[name] = (cpu_seconds(pid) - cpu_s) / (clock() - since_s)


def _kill_if_time(run: Run, now_s: float) -> None:
    name = run.options.kill
    if name is None or run.kill is not None or now_s < run.started_s + run.options.kill_at_s:
        return
    if run.children[name].kill() is not None:
        run.kill = Kill(name, now_s)


async def _watch(run: Run, progress: Progress, broker_url: str) -> None:
    clock = asyncio.get_running_loop().time
    async for topic, value in watch(broker_url, "homie/5/#"):
        parts = topic.split("/")[2:]
        progress.heard(parts, value)
        killed = run.kill
        if (
            killed is not None
            and parts[1:] == ["peers", killed.node]
            and value == "lost"
            and parts[0] not in killed.noticed_s
        ):
            killed.noticed_s[parts[0]] = clock()


def own_loopback() -> str:
    """A loopback address of this run's own, so that several runs do not meet (Linux)."""
    if sys.platform != "linux":
        return "127.0.0.1"
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{(pid >> 8) & 255}.{max(pid & 255, 1)}"
