"""Runs another party's client, in its own environment and process, and gives back what it saw.

The environment is that of `make test-oracles`; QNODEOS_ORACLES names its Python.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sim_backends.mount import Connect, listen_on
from sim_backends.mount_pty import PtyMount
from sim_backends.mount_tcp import TcpMount

PYTHON = os.environ.get("QNODEOS_ORACLES", "")
CLIENTS = Path(__file__).parent / "clients"
LIMIT_S = 90.0

needs_oracles = pytest.mark.skipif(
    not PYTHON, reason="other people's clients are run by `make test-oracles`"
)


async def judged(client: str, resource: str) -> dict[str, Any]:
    """What the script `client` prints about the instrument at `resource`; fails with its words."""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PYTHON, str(CLIENTS / client), resource],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@asynccontextmanager
async def on_pty(
    connect: Connect, path: Path, poll: Callable[[], None] = lambda: None
) -> AsyncIterator[str]:
    """A twin on a pseudo terminal; gives its path."""
    mount = PtyMount(connect, path)
    mount.start()
    life = asyncio.create_task(_live(poll))
    try:
        yield str(path)
    finally:
        life.cancel()
        mount.stop()


@asynccontextmanager
async def on_tcp(connect: Connect, poll: Callable[[], None] = lambda: None) -> AsyncIterator[int]:
    """A twin on a TCP port; gives its number."""
    mount = TcpMount(connect)
    listener = listen_on("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    await mount.start(listener)
    life = asyncio.create_task(_live(poll))
    try:
        yield port
    finally:
        life.cancel()
        await mount.stop()


async def _live(poll: Callable[[], None]) -> None:
    while True:
        poll()
        await asyncio.sleep(0.02)
