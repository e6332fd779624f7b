"""The SDK's teleportation from the start of the application to its end, beside SimulaQron.

Both run the same unmodified program of `netqasm` 2.3.0, each role in a process. SimulaQron wants
other versions of numpy than we do, so it has an environment of its own, whose Python is named by
the variable SIMULAQRON_PYTHON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.frame import CannotRunError, Row, benchmark, need

VARIABLE = "SIMULAQRON_PYTHON"
OURS, THEIRS = 50, 4
LIMIT_S = 100.0
"""For one teleportation by SimulaQron; it is taken to hang then."""


@benchmark("teleport", "an application that teleports, from its start to its end, and SimulaQron's")
def run() -> list[Row]:
    """Ours first, then theirs."""
    python = os.environ.get(VARIABLE, "")
    if not python or not Path(python).is_file():
        raise CannotRunError(
            f"SimulaQron needs an environment of its own: python -m venv peer && "
            f"peer/bin/pip install simulaqron==4.1.2 'qutip<5', then set "
            f"{VARIABLE}=$PWD/peer/bin/python"
        )
    started_s, ours_s = asyncio.run(_ours())
    theirs_s = [asyncio.run(_theirs(python)) for _ in range(THEIRS)]
    done_s = [took_s for took_s in theirs_s if math.isfinite(took_s)]
    if not done_s:
        raise CannotRunError(f"none of {THEIRS} teleportations by SimulaQron was done")
    return [
        Row("ours: start of lab, broker and three nodes", started_s, "s"),
        Row("a teleportation on them, median", float(np.median(ours_s)), "s"),
        Row("the same, longest", max(ours_s), "s"),
        Row(f"of {THEIRS} teleportations by SimulaQron, done", len(done_s), ""),
        Row("the quickest of those, its network included", min(done_s), "s"),
        Row("the slowest of those", max(done_s), "s"),
        Row(
            "its quickest, over our first with its network",
            min(done_s) / (started_s + ours_s[0]),
            "times",
        ),
        Row("its quickest, over our median", min(done_s) / float(np.median(ours_s)), "times"),
    ]


async def _ours() -> tuple[float, list[float]]:
    """Seconds until a network serves, and of applications on it, one after the other."""
    from qnodeos.launch.ideal import write_ideal
    from qnodeos.launch.network import network
    from qnodeos.launch.roles import role_server
    from qnodeos.launch.running import run_program

    program = Path(need("netqasm").__file__).parent / "examples" / "apps" / "teleport"
    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        began_s = time.monotonic()
        write_ideal(Path(folder) / "ideal", 2)
        net = Path(folder) / "net"
        async with network(Path(folder) / "ideal", net) as nodes, role_server() as roles:
            started_s = time.monotonic() - began_s
            at = dict(zip(("receiver", "sender"), nodes, strict=True))
            results = [await run_program(program, at, roles=roles) for _ in range(OURS)]
    failed = [result.last_words for result in results if result.failed]
    if failed:
        raise CannotRunError(f"{len(failed)} of our teleportations failed: {failed[0]}")
    return started_s, [result.seconds for result in results]


async def _theirs(python: str) -> float:
    """Seconds of one; endless if it fails or hangs, of which the reason is printed."""
    with tempfile.TemporaryDirectory(prefix="simulaqron-") as folder:
        # From there, as Python puts a script's folder before all else, and ours has a `queue`.
        script = shutil.copy(Path(__file__).with_name("peer_simulaqron.py"), folder)
        words = Path(folder) / "words"
        with words.open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                python,
                str(script),
                cwd=folder,
                env={**os.environ, "HOME": folder, "PYTHONPATH": ""},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(LIMIT_S):
                line = await process.stdout.readline()
        except TimeoutError:
            print(f"SimulaQron: not done after {LIMIT_S:g} s")
            return math.inf
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if line:
            return float(json.loads(line))
        last = words.read_text(errors="replace").strip().splitlines()[-1:]
        print(f"SimulaQron: {' '.join(last)}")
        return math.inf
