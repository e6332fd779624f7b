"""The examples of the native API and the commands that ask a node, beside a real network."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qnodeos.client import connect
from qnodeos.errors import UserError
from qnodeos.launch.ideal import write_ideal
from qnodeos.launch.network import network

ROOT = Path(__file__).parents[2]


async def ran(*command: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[dict[str, Path]]:
    """The demo's processes; gives the data directories once the memory link serves."""
    output = tmp_path / "net"
    log = (tmp_path / "demo.log").open("wb")
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "qnodeos", "demo", "--seconds", "90", "--output", str(output)),
        cwd=ROOT,
        stdout=log,
        stderr=log,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    folders = {name: output / "data" / name for name in ("alice", "bob")}
    try:
        async with asyncio.timeout(60):
            for folder in folders.values():
                while True:
                    try:
                        async with connect(folder) as node:
                            if (await node.status())["links"]["memory"]["ready"]:
                                break
                    except UserError:
                        pass
                    await asyncio.sleep(0.2)
        yield folders
    finally:
        if demo.returncode is None:
            # A shell's background job, and all it starts, ignores SIGINT.
            ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            demo.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
        async with asyncio.timeout(30):
            await demo.wait()
        log.close()


@pytest.mark.e2e
async def test_the_examples_do_what_they_say(tmp_path: Path) -> None:
    """On ideal devices, where nothing is left to chance."""
    write_ideal(tmp_path / "ideal", 2)
    async with network(tmp_path / "ideal", tmp_path / "net"):
        alice, bob = (str(tmp_path / "net" / "data" / name) for name in ("alice", "bob"))
        for example, says in (
            ("entangle", "10 of 10 outcomes agree, as Phi+ has it\n"),
            ("teleport", "6 of 6 states arrived\n"),
            ("remote_cnot", "4 of 4 inputs gave what a CNOT gives\n"),
        ):
            status, out, err = await ran(f"examples/native/{example}.py", alice, bob)
            assert (status, out) == (0, says), err


@pytest.mark.e2e
async def test_commands_beside_a_network(nodes: dict[str, Path]) -> None:
    alice = str(nodes["alice"])
    status, out, err = await ran("-m", "qnodeos", "status", alice, "--json")
    assert status == 0, err
    told = json.loads(out)
    assert told["instruments"]["memory"]["state"] == "online"
    assert "attempting" in told["instruments"]["memory"]["readings"]
    assert told["peers"] == {"bob": "up", "station": "up"}

    status, out, err = await ran(
        *("-m", "qnodeos", "link", "verify", alice, "photonic", "--pairs", "2000", "--json")
    )
    assert status == 0, err
    found = json.loads(out)
    low, high = found["interval"]
    assert low - 0.02 < 0.965 < high + 0.02
    assert found["significance"] > 5
    status, out, err = await ran("-m", "qnodeos", "link", "history", alice, "photonic", "--json")
    assert status == 0, err
    assert json.loads(out)[-1]["pairs"] == found["pairs"]

    status, out, err = await ran("-m", "qnodeos", "journal", alice, "--kind", "start")
    assert status == 0, err
    assert "node alice" in out
    status, out, err = await ran("-m", "qnodeos", "reload", alice)
    assert (status, out) == (0, "nothing has changed\n"), err
    status, out, err = await ran("-m", "qnodeos", "link", "verify", alice, "fibre")
    assert status == 2
    assert "there is no link 'fibre' to verify" in err
