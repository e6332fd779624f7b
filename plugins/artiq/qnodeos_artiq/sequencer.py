"""What the server asks of a sequencer, and an object with these methods as one."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

CALL_LIMIT_S = 0.8
"""How long a call may take: the node waits 1 s for its reply."""

METHODS = (
    "identity",
    "capabilities",
    "now",
    "attempt",
    "initialise",
    "gate",
    "move",
    "measure",
    "release",
)
"""What every sequencer's target has; what it does is in the README, under Methods."""

MODE_METHODS = ("configure", "keep", "release_mode", "modes_held")
"""What a target has beside that if it has a bright-state population or labelled modes."""

Call: TypeAlias = Callable[[], Any]


class Fault(Exception):
    """What the sequencer cannot do, with the error code of the open device protocol."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(f"error {code}: {text}")


class Sequencer(ABC):
    """Runs the methods of a target, one at a time."""

    @abstractmethod
    async def call(self, method: str, *arguments: Any) -> Any:
        """Run a method and return what it returns.

        Raises Fault: code 1 if the target does not have it, 4 if it fails or takes too long. After
        that a call may be under way still, and the next one must not meet its answer.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let the target go; never raises."""


class LocalSequencer(Sequencer):
    """An object in this process, run in one thread because kernels block."""

    def __init__(self, target: object, *, limit_s: float = CALL_LIMIT_S) -> None:
        self._target = target
        self._limit_s = limit_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sequencer")
        self._running: Future[Any] | None = None

    async def call(self, method: str, *arguments: Any) -> Any:
        """See Sequencer."""
        function = getattr(self._target, method, None)
        if function is None:
            raise Fault(1, f"{type(self._target).__name__} has no method {method!r}")
        # A kernel that has begun goes on, whatever became of who asked for it.
        if self._running is not None and not await self._over(self._running):
            raise Fault(4, f"busy with an earlier call for {self._limit_s:g} s, asked {method}")
        self._running = self._thread.submit(function, *arguments)
        if not await self._over(self._running):
            raise Fault(4, f"{method} took longer than {self._limit_s:g} s")
        return result_of(method, self._running.result)

    async def _over(self, running: Future[Any]) -> bool:
        if not running.done():
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            running.add_done_callback(lambda _: _from_thread(loop, ended.set))
            try:
                async with asyncio.timeout(self._limit_s):
                    await ended.wait()
            except TimeoutError:
                return False
        return True

    async def close(self) -> None:
        """See Sequencer."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _from_thread(loop: asyncio.AbstractEventLoop, call: Call) -> None:
    # The loop may be gone before a kernel that was given up is.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def result_of(method: str, result: Call) -> Any:
    """What a call gave; whatever it raises becomes a Fault."""
    try:
        return result()
    except Fault:
        raise
    except Exception as error:  # the lab's own code: anything
        raise Fault(4, f"{method} failed: {type(error).__name__}: {error}") from error
