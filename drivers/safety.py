"""No emission outlives its owner: the arming lease, and the guard process that enforces it.

A node that arms instruments holds an `ArmingLease`. Drivers ask it before they switch anything on.
Beside the node runs a guard (`drivers.guard`), which the node has to reassure every half second
over a pipe. When the node dies or hangs, the guard brings the instruments to their safe state.

`keep_armed` ties the two together: the lease is renewed only while a guard is watching.

The race of an old guard and a new node is closed by a lock on a file in the node's data directory.
A guard holds it from before it says that it is ready until it exits, and it acts for
`ACT_LIMIT_S` at most. The guard of a new node waits for the lock, and until then the new node has
no lease and switches nothing on; so an old guard never darkens what a new owner has lit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

_log = logging.getLogger(__name__)

LEASE_S = 2.0
RENEW_S = 0.5
ACT_LIMIT_S = 10.0
"""How long a guard tries to reach an instrument before it gives up."""

LOCK_LIMIT_S = ACT_LIMIT_S + 5.0
"""How long a new guard waits for the one before it."""

_START_LIMIT_S = 15.0
_EXIT_LIMIT_S = 5.0
_RESTART_S = (0.2, 5.0)
_POLL_S = 0.02
_ROOMS = Path(__file__).resolve().parent.parent


class ArmingLease:
    """The right to emit, which ends by itself `duration_s` after the last renewal.

    `clock` gives monotonic seconds, as the event loop's `time`.
    """

    def __init__(self, clock: Callable[[], float], *, duration_s: float = LEASE_S):
        self.duration_s = duration_s
        self._clock = clock
        self._until_s: float | None = None

    @property
    def live(self) -> bool:
        """The owner holds it now."""
        return self.remaining_s > 0

    @property
    def remaining_s(self) -> float:
        """Until it ends by itself; 0 when it is not held."""
        return max(0.0, self._until_s - self._clock()) if self._until_s is not None else 0.0

    def renew(self) -> None:
        """Hold it for `duration_s` from now."""
        self._until_s = self._clock() + self.duration_s

    def release(self) -> None:
        """Give it up now."""
        self._until_s = None


@dataclass(frozen=True, slots=True)
class GuardEntry:
    """One instrument that emits, as the configuration names it, paths resolved."""

    name: str
    driver: str
    resource: str
    options: dict[str, Any] = field(default_factory=dict)
    serial: str | None = None


class GuardLost(Exception):
    """The guard did not start, or has ended; nothing may be armed without one."""


class Guard(Protocol):
    """What watches over the armed instruments of a node; see GuardProcess for what each does."""

    def renew(self) -> None: ...  # noqa: D102

    async def release(self, *, timeout_s: float = 3.0) -> None: ...  # noqa: D102

    def abandon(self) -> None: ...  # noqa: D102

    async def wait(self, *, timeout_s: float) -> int: ...  # noqa: D102


class StartGuard(Protocol):
    """Starts a guard and waits until it watches; raises GuardLost."""

    def __call__(  # noqa: D102
        self, entries: Sequence[GuardEntry], *, data_dir: Path, lease_s: float
    ) -> Awaitable[Guard]: ...


class GuardProcess:
    """The node's side of its guard; made by `start`."""

    # Not a process of asyncio: that one kills its child when it is garbage collected, and the
    # guard has to outlive us.
    def __init__(self, process: subprocess.Popen[bytes], log_file: Path):
        self._process = process
        self._log_file = log_file
        self._pipe: asyncio.BaseTransport | None = None

    @classmethod
    async def start(
        cls,
        entries: Sequence[GuardEntry],
        *,
        data_dir: Path,
        lease_s: float = LEASE_S,
        act_limit_s: float = ACT_LIMIT_S,
        lock_limit_s: float = LOCK_LIMIT_S,
    ) -> GuardProcess:
        """Start a guard and wait until it watches; raises GuardLost with its reason.

        Its words go to `guard.log` in `data_dir`. It runs in a session of its own, so that what
        ends the node (Ctrl-C, a closed terminal) does not end it as well.
        """
        order = {
            "entries": [asdict(entry) for entry in entries],
            "lock_file": str(data_dir / "guard.lock"),
            "lease_s": lease_s,
            "act_limit_s": act_limit_s,
            "lock_limit_s": lock_limit_s,
        }
        guard = cls(*_spawn(data_dir))
        limit_s = lock_limit_s + _START_LIMIT_S
        try:
            async with asyncio.timeout(limit_s):
                guard._write(msgspec.json.encode(order) + b"\n")
                answer = await guard._answer()
            if answer != "ready":
                raise GuardLost(answer or f"the guard ended at once; see {guard._log_file}")
        except BaseException as error:
            guard.abandon()
            with contextlib.suppress(GuardLost):
                await guard.wait(timeout_s=_EXIT_LIMIT_S)
            if isinstance(error, TimeoutError):
                raise GuardLost(f"the guard was not ready within {limit_s:g} s") from None
            raise
        return guard

    @property
    def alive(self) -> bool:
        """It still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def renew(self) -> None:
        """Reassure it; raises GuardLost when it is gone or does not listen."""
        if not self.alive:
            raise GuardLost(f"the guard has ended; see {self._log_file}")
        self._write(b"renew\n")

    async def release(self, *, timeout_s: float = 3.0) -> None:
        """Send it home without touching anything: the node has itself made all safe.

        Raises GuardLost when it has not exited by then.
        """
        with contextlib.suppress(GuardLost):
            self._write(b"release\n")
        await self.wait(timeout_s=timeout_s)

    def abandon(self) -> None:
        """Let go of the pipe: the guard acts now, as if the node had died."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def wait(self, *, timeout_s: float) -> int:
        """Wait until it has exited: 0 all is safe, else not; raises GuardLost when it has not."""
        try:
            async with asyncio.timeout(timeout_s):
                # Polled, as nothing in asyncio waits for a child that it did not start.
                while (code := self._process.poll()) is None:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise GuardLost(
                f"the guard (process {self.pid}) has not exited; see {self._log_file}"
            ) from None
        finally:
            if self._pipe is not None:
                self._pipe.close()
        self.abandon()
        return code

    def _write(self, line: bytes) -> None:
        """A pipe holds hours of renewals; when it is full, nobody reads."""
        stdin = self._process.stdin
        try:
            if stdin is None or stdin.closed:
                raise BrokenPipeError("the pipe is closed")
            if stdin.write(line) != len(line):
                raise BlockingIOError("the pipe is full")
        except OSError as error:
            raise GuardLost(f"the guard does not listen ({error}); see {self._log_file}") from error

    async def _answer(self) -> str:
        answers = asyncio.StreamReader()
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(answers), self._process.stdout
        )
        return (await answers.readline()).decode().strip()


def _spawn(data_dir: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the process, with its words in a file as our own error stream may end with us."""
    data_dir.mkdir(parents=True, exist_ok=True)
    log_file = data_dir / "guard.log"
    with log_file.open("ab") as words:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "drivers.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            bufsize=0,
            start_new_session=True,
            env=_environment(),
        )
    if process.stdin is not None:
        os.set_blocking(process.stdin.fileno(), False)
    return process, log_file


async def keep_armed(
    lease: ArmingLease,
    entries: Sequence[GuardEntry],
    *,
    data_dir: Path,
    all_safe: Callable[[], bool],
    on_guard: Callable[[str], None] = lambda _: None,
    start: StartGuard = GuardProcess.start,
) -> None:
    """Hold the lease for as long as a guard watches; runs until cancelled.

    Cancel it after the supervisors have ended. It then sends the guard home if `all_safe` answers
    True, and otherwise lets it act. `on_guard` is told "" when a guard starts to watch and the
    reason when there is none; `start` is how one is started. Returns at once when nothing has to
    be guarded.
    """
    told: str | None = None
    pause_s, longest_s = _RESTART_S
    while entries:
        try:
            guard = await start(entries, data_dir=data_dir, lease_s=lease.duration_s)
            told, pause_s = "", _RESTART_S[0]
            on_guard(told)
            await _renew_both(lease, guard, all_safe)
        except GuardLost as error:
            lease.release()
            if told != str(error):
                told = str(error)
                _log.error("nothing is armed: %s", told)
                on_guard(told)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_s)


async def _renew_both(lease: ArmingLease, guard: Guard, all_safe: Callable[[], bool]) -> None:
    """Renew until the guard is lost (GuardLost) or we are cancelled."""
    clock = asyncio.get_running_loop().time
    renewed_s = clock()
    try:
        while True:
            if clock() - renewed_s >= lease.duration_s:
                # We were held up too long: the guard has acted or is about to, and one that acts
                # cannot be called back.
                raise GuardLost(f"the node stood still for {clock() - renewed_s:.1f} s")
            renewed_s = clock()
            guard.renew()
            lease.renew()
            await asyncio.sleep(min(RENEW_S, lease.duration_s / 4))
    except asyncio.CancelledError:
        lease.release()
        await _dismiss(guard, all_safe())
        raise
    except GuardLost:
        lease.release()
        await _dismiss(guard, False)
        raise


async def _dismiss(guard: Guard, safe: bool) -> None:
    try:
        if safe:
            await guard.release()
        else:
            guard.abandon()
            await guard.wait(timeout_s=_EXIT_LIMIT_S)
    except GuardLost as error:
        _log.warning("%s", error)


def _environment() -> dict[str, str]:
    """The guard finds the same rooms as we, and no numeric library starts threads in it."""
    environment = dict(os.environ)
    paths = [str(_ROOMS), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
    return environment
