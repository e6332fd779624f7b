"""When a simulated instrument answers: after its own time, in the order in which it was asked."""

from __future__ import annotations

import asyncio

from sim_backends.mount import Channel

__all__ = ["Paced"]


class Paced:
    """The way out of an instrument that needs `latency_s` for each answer, one after the other.

    It does not know who is at the far end: an answer that comes late goes to whoever is there then.
    """

    def __init__(self, channel: Channel, latency_s: float) -> None:
        self._channel = channel
        self._latency_s = latency_s
        self._free_s = float("-inf")

    def send(self, data: bytes, *, after_s: float = 0.0) -> None:
        """Answer; `after_s` later than it could, in which others may overtake it."""
        if self._latency_s + after_s <= 0.0:
            self._channel.send(data)
            return
        loop = asyncio.get_running_loop()
        self._free_s = max(loop.time(), self._free_s) + self._latency_s
        loop.call_at(self._free_s + after_s, self._channel.send, data)

    def hold(self, busy_s: float) -> None:
        """It is busy for this long, and answers nothing before."""
        if busy_s > 0.0:
            self._free_s = max(asyncio.get_running_loop().time(), self._free_s) + busy_s
