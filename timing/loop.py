"""An asyncio event loop on virtual time: a simulated hour takes as long as its computing.

Product code reads `asyncio.get_running_loop().time()` and sleeps with asyncio, and so runs
unchanged on the wall clock or here. In a test, either a plain function:

    def test_an_hour_passes() -> None:
        async def scenario() -> None:
            await asyncio.sleep(3600)
            assert asyncio.get_running_loop().time() == 3600
        run_virtual(scenario())

or, for all `async def test_...` of a folder, this in its conftest.py (pytest-asyncio):

    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": VirtualLoop}
"""

from __future__ import annotations

import asyncio
import itertools
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class VirtualDeadlock(RuntimeError):
    """Nothing is ready and nothing is scheduled: on a wall clock the program would hang."""


class VirtualTimeLimit(RuntimeError):
    """Virtual time went past the limit given to `run_virtual`."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` jumps to the next timer whenever nothing is ready.

    Everything happens in an order that is the same at every run. Real file descriptors are polled
    but never waited for. `run_in_executor` (and so `asyncio.to_thread`) calls the function in
    place, in no virtual time, so that no run depends on threads. Raises VirtualDeadlock out of
    `run_until_complete` where only the outside world could go on.
    """

    def __init__(self, start_s: float = 0.0):
        self._now_s = float(start_s)
        self.limit_s = float("inf")
        super().__init__(_JumpingSelector(self._jump, self._stuck))
        self._made = itertools.count()
        self.set_task_factory(self._make_task)
        self._follow_rounding()

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Result], *args: Any
    ) -> asyncio.Future[Result]:
        """Call the function at once; its result or exception is ready in the returned future."""
        future: asyncio.Future[Result] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def _make_task(
        self, _: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        return _NumberedTask(coroutine, number=next(self._made), loop=self, **options)

    def _jump(self, ahead_s: float) -> None:
        if self._now_s + ahead_s > self.limit_s:
            raise VirtualTimeLimit(
                f"virtual time would pass {self.limit_s} s; still waiting: {self._waiting()}"
            )
        self._now_s += ahead_s
        self._follow_rounding()

    def _follow_rounding(self) -> None:
        # asyncio fires timers due before time() plus this; where a float can no longer hold the
        # sum, a timer due now would never fire.
        self._clock_resolution = max(1e-9, 2 * math.ulp(self._now_s))

    def _stuck(self, silent_files: int) -> None:
        files = f" ({silent_files} open files are silent)" if silent_files else ""
        raise VirtualDeadlock(
            f"at {self._now_s} virtual s nothing is ready and nothing is scheduled{files}; "
            f"waiting for ever: {self._waiting()}"
        )

    def _waiting(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        return "; ".join(_place(task) for task in tasks) or "no task"


def run_virtual(
    main: Coroutine[Any, Any, Result], *, start_s: float = 0.0, limit_s: float | None = None
) -> Result:
    """Run a coroutine on a fresh VirtualLoop, cancel what it leaves behind, close the loop.

    Raises VirtualDeadlock, and VirtualTimeLimit past `limit_s` (for programs with a periodic task,
    which never deadlock).
    """

    def make_loop() -> VirtualLoop:
        loop = VirtualLoop(start_s)
        if limit_s is not None:
            loop.limit_s = limit_s
        return loop

    with asyncio.Runner(loop_factory=make_loop) as runner:
        try:
            return runner.run(main)
        except VirtualTimeLimit:
            # The clean-up of what is left may need time of its own.
            loop = runner.get_loop()
            assert isinstance(loop, VirtualLoop)
            loop.limit_s = float("inf")
            raise


class _NumberedTask(asyncio.Task[Any]):
    """Sets of tasks, as a TaskGroup has one, are gone through in an order that does not depend on
    where the tasks lie in memory."""

    def __init__(self, coroutine: Any, *, number: int, **options: Any):
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class _JumpingSelector(selectors.DefaultSelector):
    """Polls where asyncio would wait, and hands the waiting time to the virtual clock."""

    def __init__(self, jump: Callable[[float], None], stuck: Callable[[int], None]):
        super().__init__()
        self._jump = jump
        self._stuck = stuck

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = []
        # With asyncio's own file alone, whoever writes to it has to wait for a turn to be over.
        if timeout != 0 or len(self.get_map()) > 1:
            ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            # asyncio registers one file of its own, to be woken by.
            self._stuck(len(self.get_map()) - 1)
        elif timeout > 0:
            self._jump(timeout)
        return ready


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return task.get_name()
    frame = frames[0]
    code = frame.f_code
    return f"{task.get_name()} in {code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
