"""The processes of the demo: started, supervised, measured, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

RESTART_S = 0.2
RESTART_LIMIT_S = 5.0
STOP_LIMIT_S = 12.0


@dataclass(frozen=True, slots=True)
class Exit:
    """One end of a process: when on our clock, and its status (negative: the signal)."""

    at_s: float
    status: int


class Child:
    """One process of the demo. With `restart`, it is started again whenever it dies.

    Its standard input is a pipe from us: the process ends when we do, however we end.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        log_file: Path,
        environment: Mapping[str, str],
        restart: bool,
        clock: Callable[[], float],
    ):
        self.name = name
        self.log_file = log_file
        self.starts = 0
        self.exits: list[Exit] = []
        self.cpu_s = 0.0
        self._arguments = [sys.executable, "-m", "qnodeos", *arguments]
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._restart = restart
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    async def start(self) -> None:
        """Start it; its output goes to the log file."""
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        self.starts += 1

    async def keep(self) -> None:
        """Wait for its end, again and again if it is to be restarted; returns once it is over."""
        pause_s = RESTART_S
        while self._process is not None:
            began_s = self._clock()
            status = await self._process.wait()
            self.exits.append(Exit(self._clock(), status))
            if self._stopping or not self._restart:
                return
            if self._clock() - began_s > RESTART_LIMIT_S:
                pause_s = RESTART_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_LIMIT_S)
            if not self._stopping:
                await self.start()

    def kill(self) -> int | None:
        """SIGKILL, as a crash would; returns the process id it hit."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid

    async def stop(self) -> None:
        """Ask it to end, wait, insist."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def last_words(self, lines: int = 12) -> str:
        """The end of its log, for a person who has to find out what went wrong."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])


class Meter:
    """Memory and processor use of this process and all below it, sampled."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.peak_processes = 0
        self._me = psutil.Process()

    def sample(self) -> None:
        """Take one sample of the resident memory of the whole tree."""
        total = count = 0
        for process in [self._me, *self._me.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += process.memory_info().rss
                count += 1
        if total > self.peak_bytes:
            self.peak_bytes, self.peak_processes = total, count


def cpu_seconds(pid: int) -> float:
    """Processor time of one process so far; 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
