"""A timer that is not rounded up to a millisecond.

asyncio waits in `epoll_wait`, whose time is in whole milliseconds: a timer comes up to one late.
The slots of a network schedule and the attempts of a simulated lab may be shorter than that. A
timerfd of Linux (timerfd_create(2)) is a file that becomes readable at its instant, so the loop
wakes when it is due.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import sys
from collections.abc import Callable
from typing import Final

from timing.loop import VirtualLoop

_NS_PER_S: Final = 10**9
_CLOCK_MONOTONIC: Final = 1
"""That of asyncio's own timers."""
_ABSOLUTE: Final = 1
_SPIN_S: Final = 6e-5
_NEXT_TURN_S: Final = 1e-5


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """Calls back once, as soon after its instant as the loop has time. Made by `alarm_at`.

    The file is read some 50 us after it is due, so it is set earlier by that, and the rest is
    waited for by coming back at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, when_s: float, ring: Callable[[], None]):
        self._loop, self._when_s, self._ring = loop, when_s, ring
        self._fd: int | None = None
        self._turn: asyncio.Handle | None = None
        if when_s - loop.time() <= _SPIN_S:
            self._look()
        else:
            self._fd = _timerfd(when_s - _SPIN_S)
            loop.add_reader(self._fd, self._near)

    def cancel(self) -> None:
        """It does not ring any more. Harmless if it has."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._loop.remove_reader(fd)
            os.close(fd)
        if self._turn is not None:
            self._turn.cancel()

    def _near(self) -> None:
        self.cancel()
        self._due()

    def _look(self) -> None:
        self._turn = self._loop.call_soon(self._due)

    def _due(self) -> None:
        if self._loop.time() < self._when_s:
            self._look()
        else:
            self._ring()

    def __del__(self) -> None:
        # A loop that was closed before the alarm rang has forgotten it.
        if self._fd is not None:
            os.close(self._fd)


def alarm_in(delay_s: float, ring: Callable[[], None]) -> Alarm | asyncio.TimerHandle:
    """Call `ring` in this many seconds; see `alarm_at`."""
    return alarm_at(asyncio.get_running_loop().time() + delay_s, ring)


def alarm_at(when_s: float, ring: Callable[[], None]) -> Alarm | asyncio.TimerHandle:
    """Call `ring` at this time of the running loop; the result has `cancel`.

    Where the time is virtual, or there is no timerfd, by the loop's own timer: the former is exact.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop) or not sys.platform.startswith("linux"):
        return loop.call_at(when_s, ring)
    return Alarm(loop, when_s, ring)


def is_over(when_s: float) -> bool:
    """Whether this time of the running loop has come. One that is all but there is waited for on
    the spot, as a turn of the loop takes longer; not on virtual time, which stands still here."""
    loop = asyncio.get_running_loop()
    left_s = when_s - loop.time()
    if left_s > 0 and (left_s > _NEXT_TURN_S or isinstance(loop, VirtualLoop)):
        return False
    while loop.time() < when_s:
        pass
    return True


def _timerfd(when_s: float) -> int:
    # os.timerfd_create is of Python 3.13.
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    # An instant of 0 would switch it off.
    when_ns = max(1, math.ceil(when_s * _NS_PER_S))
    when = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(when_ns, _NS_PER_S)))
    if libc.timerfd_settime(fd, _ABSOLUTE, ctypes.byref(when), None) != 0:
        os.close(fd)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return int(fd)
