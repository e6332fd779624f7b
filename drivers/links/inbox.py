"""Bytes that have arrived but have not been read yet, bounded by pausing the sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LIMIT_BYTES = 1 << 18
"""Above it the sender is paused: 60 ms of the fastest stream of tags over USB 2."""


def _nothing() -> None:
    pass


class Inbox:
    """A bounded buffer for one reader.

    `pause` is called when more than `limit_bytes` wait and `resume` when the reader has taken them.
    """

    def __init__(
        self,
        *,
        limit_bytes: int = LIMIT_BYTES,
        pause: Callable[[], None] = _nothing,
        resume: Callable[[], None] = _nothing,
    ):
        self._limit_bytes = limit_bytes
        self._pause = pause
        self._resume = resume
        self._waiting = bytearray()
        self._paused = False
        self._ended = False
        self._error: OSError | None = None
        self._reader: asyncio.Future[None] | None = None
        self.news: Callable[[], None] | None = None
        """Called whenever bytes have come, or the end."""

    @property
    def full(self) -> bool:
        """More than the limit waits."""
        return len(self._waiting) > self._limit_bytes

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self._ended

    def feed(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self._ended:
            return
        self._waiting += data
        if self.full and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def end(self, error: OSError | None = None) -> None:
        """Nothing more will come; the reader gets `error` after the bytes before it."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

    def take(self) -> bytes:
        """All that waits, at once; b"" for nothing."""
        data = bytes(self._waiting)
        self._waiting.clear()
        if self._paused:
            self._paused = False
            if not self._ended:
                self._resume()
        return data

    async def read(self) -> bytes:
        """Wait for bytes; b"" at the end. Raises the OSError that ended the pipe."""
        while not self._waiting:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            if self._reader is not None:
                raise RuntimeError("two tasks read from one link at the same time")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self.take()

    def _wake(self) -> None:
        if self.news is not None:
            self.news()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
