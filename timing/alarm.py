"""A timer that is not rounded up to a millisecond.

asyncio waits in `epoll_wait`, whose time is in whole milliseconds: a timer comes up to one late.
The slots of a network schedule may be shorter than that. A timerfd of Linux (timerfd_create(2)) is
a file that becomes readable at its instant, so the loop wakes when it is due.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from typing import Final

from timing.loop import VirtualLoop

_NS_PER_S: Final = 10**9
_CLOCK_MONOTONIC: Final = 1
"""That of asyncio's own timers."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Calls back once, as soon after its instant as the loop has time. Made by `alarm_in`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: float, ring: Callable[[], None]):
        self._loop, self._ring = loop, ring
        self._fd: int | None = None
        self._fd = _timerfd(delay_s)
        loop.add_reader(self._fd, self._due)

    def cancel(self) -> None:
        """It does not ring any more. Harmless if it has."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._loop.remove_reader(fd)
            os.close(fd)

    def _due(self) -> None:
        self.cancel()
        self._ring()

    def __del__(self) -> None:
        # A loop that was closed before the alarm rang has forgotten it.
        if self._fd is not None:
            os.close(self._fd)


def alarm_in(delay_s: float, ring: Callable[[], None]) -> Alarm | asyncio.TimerHandle:
    """Call `ring` in this many seconds; the result has `cancel`.

    Where the time is virtual, or there is no timerfd, by the loop's own timer: the former is exact.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop) or not sys.platform.startswith("linux"):
        return loop.call_later(delay_s, ring)
    return Alarm(loop, delay_s, ring)


def _timerfd(delay_s: float) -> int:
    # os.timerfd_create is of Python 3.13.
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    # An instant of 0 would switch it off.
    delay_ns = max(1, round(delay_s * _NS_PER_S))
    when = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(delay_ns, _NS_PER_S)))
    if libc.timerfd_settime(fd, 0, ctypes.byref(when), None) != 0:
        os.close(fd)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return int(fd)
