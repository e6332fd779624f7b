"""Words between the two halves of one application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from link_layer.messages import AppMessage

Body = dict[str, int | float | str]

LIMIT = 1024
"""Words that may wait for a slow application; further ones are dropped and counted."""


class Channel:
    """The classical channel of one application to its other half at the peer."""

    def __init__(self, app: str, send: Callable[[AppMessage], bool]):
        self.app = app
        self.dropped = 0
        self._send = send
        self._waiting: asyncio.Queue[Body] = asyncio.Queue(maxsize=LIMIT)

    def send(self, body: Body) -> bool:
        """Send without waiting; False if the peer is not there."""
        return self._send(AppMessage(self.app, body))

    def deliver(self, message: AppMessage) -> None:
        """Take in a word of the other half."""
        if self._waiting.full():
            self.dropped += 1
            return
        self._waiting.put_nowait(message.body)

    async def receive(self) -> Body:
        """The next word of the other half."""
        return await self._waiting.get()
