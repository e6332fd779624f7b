"""Mends `asyncio.timeout` of Python 3.11.0 to 3.11.2; Debian 12's own is 3.11.2.

There a time limit that runs out while a cancelled task cleans up raises CancelledError where
TimeoutError belongs (https://github.com/python/cpython/issues/102780). That cuts the clean-up
short: an instrument that does not answer would be left emitting, and nobody would be told.
"""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType
from weakref import WeakKeyDictionary

_RIGHT_SINCE = (3, 11, 3)


def mend() -> None:
    """Have time limits count only the cancellations that came after they began.

    For all of the process: plug-ins and libraries have limits in their clean-up, too. Does nothing
    where Python is right, or is mended.
    """
    limit = asyncio.Timeout
    if sys.version_info >= _RIGHT_SINCE or limit.__aexit__.__module__ == __name__:
        return
    enter, leave = limit.__aenter__, limit.__aexit__
    before: WeakKeyDictionary[asyncio.Timeout, tuple[asyncio.Task[object], int]] = (
        WeakKeyDictionary()
    )

    async def __aenter__(self: asyncio.Timeout) -> asyncio.Timeout:
        await enter(self)
        task = asyncio.current_task()
        assert task is not None  # or `enter` has raised
        before[self] = task, task.cancelling()
        return self

    async def __aexit__(
        self: asyncio.Timeout,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await leave(self, exc_type, exc_val, exc_tb)
        task, cancels = before.pop(self)
        if self.expired() and exc_type is asyncio.CancelledError and task.cancelling() <= cancels:
            raise TimeoutError from exc_val

    limit.__aenter__ = __aenter__  # type: ignore[method-assign]
    limit.__aexit__ = __aexit__  # type: ignore[method-assign]
