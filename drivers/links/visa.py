"""Instruments on USBTMC, GPIB, VXI-11 and HiSLIP, through pyvisa.

pyvisa blocks, so each session has a thread of its own, and the event loop never waits for it. A
USBTMC instrument complains of a read that nothing answers, and a read that waits holds up the next
write: so it is read only when a question (a message with a "?") is open, and what an earlier
session left is cleared when a session is opened. VISA carries messages with an end mark beside the
bytes; here a message that does not end with a line feed gets one, so that the framing of lines
finds its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from drivers.links.base import Transport
from drivers.links.packets import missing_library

_TURN_MS = 2000
"""How long one call of the library may block; the link's own time limit is what counts."""

_CLOSE_LIMIT_S = 0.5
_Result = TypeVar("_Result")


class VisaTransport(Transport):
    """One VISA session."""

    def __init__(self, name: str, *, resource: str = "", backend: str = "@py"):
        self.resource = resource or f"visa://{name}"
        self.name = name
        self._backend = backend
        self._session: Any = None
        self._thread: ThreadPoolExecutor | None = None
        self._reading: asyncio.Future[bytes] | None = None
        self._timed_out: Any = None
        self._questions = 0
        self._asked = asyncio.Event()

    async def open(self) -> None:
        """Open a session; raises OSError."""
        try:
            import pyvisa
        except ImportError:
            raise missing_library("pyvisa", self.resource) from None
        self._timed_out = pyvisa.constants.StatusCode.error_timeout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"visa {self.name}")
        opening = self._start(lambda: _open(pyvisa, self._backend, self.name))
        try:
            await asyncio.wait((opening,))
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise
        try:
            self._session = opening.result()
        except Exception as error:
            raise _as_os_error(error) from error
        self._questions = 0
        self._asked.clear()

    async def read(self) -> bytes:
        """Wait for the answer to a question; cancellation loses none."""
        while self._session is not None:
            await self._asked.wait()
            if self._session is None:
                break
            if self._reading is None:
                self._reading = self._start(self._session.read_raw)
            reading = self._reading
            await asyncio.wait((reading,))
            if reading is not self._reading:
                break  # closed meanwhile
            self._reading = None
            try:
                message = reading.result()
            except Exception as error:
                if getattr(error, "error_code", None) == self._timed_out:
                    continue
                raise _as_os_error(error) from error
            self._questions -= 1
            if self._questions <= 0:
                self._asked.clear()
            return message if message.endswith(b"\n") else message + b"\n"
        raise ConnectionError("the session is closed")

    async def write(self, data: bytes) -> None:
        """Send all of it as one message; raises OSError."""
        if self._session is None:
            raise ConnectionError("the session is closed")
        session = self._session
        await self._call(lambda: session.write_raw(data))
        if b"?" in data:
            self._questions += 1
            self._asked.set()

    async def close(self) -> None:
        """Close; never raises and may be called twice."""
        session, thread, reading = self._session, self._thread, self._reading
        self._session = self._thread = self._reading = None
        self._asked.set()  # wakes a reader that still waits
        if reading is not None:
            reading.add_done_callback(_forget)
        if thread is None:
            return
        with contextlib.suppress(Exception):
            if session is not None:
                closing = asyncio.get_running_loop().run_in_executor(thread, session.close)
                closing.add_done_callback(_forget)
                await asyncio.wait((closing,), timeout=_CLOSE_LIMIT_S)
        thread.shutdown(wait=False, cancel_futures=False)

    def _start(self, call: Callable[[], _Result]) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _call(self, call: Callable[[], _Result]) -> _Result:
        try:
            return await self._start(call)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise _as_os_error(error) from error


def _open(pyvisa: Any, backend: str, name: str) -> Any:
    session = pyvisa.ResourceManager(backend).open_resource(name)
    session.timeout = _TURN_MS
    with contextlib.suppress(Exception):  # not every interface has it
        session.clear()
    return session


def _as_os_error(error: Exception) -> OSError:
    if isinstance(error, OSError):
        return error
    return OSError(f"VISA says: {' '.join(str(error).split())[:300]}")


def _close_late(opening: asyncio.Future[Any]) -> None:
    """Nobody waits for the session any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _forget(future: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more; its exception is not news."""
    if not future.cancelled():
        future.exception()
