"""Instruments that only their maker's library can reach: the library takes the place of the link.

`vendor://SERIAL` names the instrument to the library. There are no bytes, so nothing can be asked
by hand; `LibraryThread` runs what blocks in one thread of its own, with a time limit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from drivers.errors import InstrumentError, InstrumentProblem, NotConnected, Timeout
from drivers.links.base import Link, Transport

Result = TypeVar("Result")
_GIVE_BACK_S = 2.0


class VendorTransport(Transport):
    """Holds the place of a byte pipe; only opening and closing mean something."""

    def __init__(self, name: str, *, resource: str):
        self.resource = resource
        self.name = name

    async def open(self) -> None:
        """Nothing to open: the driver's `connect` does."""

    async def read(self) -> bytes:
        """Raises OSError."""
        raise OSError("a vendor's library is asked by its functions, not by bytes")

    async def write(self, data: bytes) -> None:
        """Raises OSError."""
        raise OSError("a vendor's library is asked by its functions, not by bytes")

    async def close(self) -> None:
        """Nothing to close: the driver's `disconnect` does."""


class LibraryThread:
    """Calls of one library for one instrument, one at a time.

    A call that does not return in time poisons the link, and its thread is left behind: nothing
    ends a library that hangs. The driver then makes a new one at its next `connect`.
    """

    def __init__(self, link: Link, library: str):
        self._link = link
        self._library = library
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=library)

    async def call(
        self,
        function: Callable[..., Result],
        *arguments: Any,
        command: str,
        timeout_s: float = 2.0,
    ) -> Result:
        """Run it; raises NotConnected, Timeout, or InstrumentError with the library's own words.

        A call that was cancelled goes on in its thread; the next one waits for it.
        """
        about = {"owner": self._link.owner, "resource": self._link.resource, "command": command}
        if not self._link.usable:
            raise NotConnected("it has to be connected again", **about)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                return await loop.run_in_executor(self._thread, lambda: function(*arguments))
        except TimeoutError:
            self._link.poison()
            self.close()
            raise Timeout(
                f"{self._library} did not return within {timeout_s:g} s", **about
            ) from None
        except asyncio.CancelledError:
            self._link.poison()
            raise
        except InstrumentProblem:
            raise
        except Exception as error:
            # Libraries raise what they like; their words are all that is known.
            raise InstrumentError(type(error).__name__, str(error), **about) from error

    async def give_back(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run what frees the instrument, whatever its link is like; never raises. Then close."""
        loop = asyncio.get_running_loop()
        # A library that is broken in any way has nothing to give back.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_GIVE_BACK_S):
                await loop.run_in_executor(self._thread, lambda: function(*arguments))
        self.close()

    def close(self) -> None:
        """Let the thread go, without waiting for it."""
        self._thread.shutdown(wait=False, cancel_futures=True)
