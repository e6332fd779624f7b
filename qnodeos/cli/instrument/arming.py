"""A call that may switch light or bias on: with a lease, a guard, and darkness at the end."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from drivers.errors import Refused
from drivers.safety import ArmingLease, GuardEntry, keep_armed
from qnodeos.cli.instrument.target import Target, connected

_GUARD_LIMIT_S = 20.0


async def call_armed(
    target: Target,
    method: str,
    values: list[Any],
    seconds: float | None,
    tell: Callable[[Any], None],
) -> None:
    """Call with a live lease, stay until Ctrl-C or for `seconds`, and leave the safe state.

    The guard makes it safe should this program die. Raises InstrumentProblem.
    """
    lease = ArmingLease(asyncio.get_running_loop().time)
    instrument = target.make()
    instrument.armed = lambda: lease.live
    entry = GuardEntry(
        target.name, target.driver, target.resource, target.options, target.serial or None
    )
    safe = False
    watching = asyncio.Event()
    trouble: list[str] = []

    def guard_changed(reason: str) -> None:
        trouble[:] = [reason] if reason else []
        watching.set()

    with tempfile.TemporaryDirectory(prefix="qnodeos-arm-") as folder:
        guard = asyncio.create_task(
            keep_armed(
                lease,
                [entry],
                data_dir=Path(folder),
                all_safe=lambda: safe,
                on_guard=guard_changed,
            )
        )
        try:
            async with asyncio.timeout(_GUARD_LIMIT_S):
                await watching.wait()
            if trouble:
                raise Refused(f"there is no guard: {trouble[0]}", owner=target.name)
            async with connected(target, "call", instrument):
                try:
                    tell(await getattr(instrument, method)(*values))
                    await _stay(seconds)
                finally:
                    await instrument.enter_safe_state()
                    safe = True
        finally:
            guard.cancel()
            await asyncio.gather(guard, return_exceptions=True)


async def _stay(seconds: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if seconds is None:
        typer.echo("armed: it goes dark at Ctrl-C", err=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
