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
import contextvars
import heapq
import itertools
import math
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_TURNS_A_LOOK = 64
_MANY_TIMERS = 100


class VirtualDeadlock(RuntimeError):
    """Nothing is ready and nothing is scheduled: on a wall clock the program would hang."""


class VirtualTimeLimit(RuntimeError):
    """Virtual time went past the limit given to `run_virtual`."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` jumps to the next timer whenever nothing is ready.

    Everything happens in an order that is the same at every run; timers of one instant fire in the
    order in which they were set. Real file descriptors are polled but never waited for.
    `run_in_executor` (and so `asyncio.to_thread`) calls the function in place, in no virtual time,
    so that no run depends on threads. Raises VirtualDeadlock out of `run_until_complete` where only
    the outside world could go on.
    """

    # Of asyncio's own loop, whose turn and timers are replaced: a rehearsal takes ten turns a pair.
    _ready: deque[asyncio.Handle]
    _stopping: bool
    _timer_cancelled_count: int

    def __init__(self, start_s: float = 0.0):
        self._now_s = float(start_s)
        self.limit_s = float("inf")
        self._files = _Files()
        super().__init__(self._files)
        self._made = itertools.count()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._set = itertools.count()
        self._turns = 0
        self.set_task_factory(self._make_task)
        self._follow_rounding()

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._set), timer))
        timer._scheduled = True
        return timer

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """See asyncio."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def close(self) -> None:
        """See asyncio."""
        super().close()
        self._timers.clear()

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

    def _run_once(self) -> None:
        """One turn: what is ready or due now is called, or time goes on to what is due next."""
        ready, timers = self._ready, self._timers
        self._turns += 1
        # asyncio has one file of its own, by which signals and threads wake it.
        if self._files.number > 1 or self._turns % _TURNS_A_LOOK == 0:
            self._look_at_files()
        if not ready and not self._stopping:
            self._jump()
        end_s = self._now_s + self._clock_resolution
        while timers and timers[0][0] < end_s:
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False
            ready.append(timer)
        # Not what these add, which is for the next turn.
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _look_at_files(self) -> None:
        self._process_events(self._files.select(0))  # type: ignore[attr-defined]

    def _jump(self) -> None:
        """Let time go on to the next timer."""
        self._drop_cancelled()
        if not self._timers:
            self._look_at_files()
            if not self._ready:
                self._stuck(self._files.number - 1)
            return
        due_s = self._timers[0][0]
        if due_s <= self._now_s:
            return
        if due_s > self.limit_s:
            raise VirtualTimeLimit(
                f"virtual time would pass {self.limit_s} s; still waiting: {self._waiting()}"
            )
        self._now_s = due_s
        self._follow_rounding()

    def _drop_cancelled(self) -> None:
        timers = self._timers
        if len(timers) > _MANY_TIMERS and 2 * self._timer_cancelled_count > len(timers):
            timers[:] = [entry for entry in timers if not entry[2].cancelled()]
            heapq.heapify(timers)
            self._timer_cancelled_count = 0
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)[2]._scheduled = False
            self._timer_cancelled_count -= 1

    def _follow_rounding(self) -> None:
        # Timers due before time() plus this fire; where a float can no longer hold the sum, one
        # due now would never fire.
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


class _Timer(asyncio.TimerHandle):
    __slots__ = ()
    _scheduled: bool


class _Files(selectors.DefaultSelector):
    """Knows the number of its files without being asked."""

    number = 0

    def register(self, *args: Any, **options: Any) -> selectors.SelectorKey:
        key = super().register(*args, **options)
        self.number = len(self.get_map())
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        self.number = len(self.get_map())
        return key


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    if not frames:
        return task.get_name()
    frame = frames[0]
    code = frame.f_code
    return f"{task.get_name()} in {code.co_qualname} ({code.co_filename}:{frame.f_lineno})"
