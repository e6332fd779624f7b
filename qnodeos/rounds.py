"""The round in progress at one end of a memory link: who has spoken, and waiting for the rest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from link_layer.heralding import Mismatch, Round
from link_layer.messages import Attempt

Found = TypeVar("Found")


class RoundOver(Exception):
    """The current round ends without a pair."""


class CurrentRound:
    """At most one round; its witnesses speak through `tell`, its task waits with `wait`."""

    def __init__(self, counters: Counter[str]):
        self._counters = counters
        self._round: Round | None = None
        self._news = asyncio.Event()
        self._interruption: str | None = None
        self._overtaken = False

    def begin(self, attempt: Attempt) -> None:
        """A new round; what was known of the last one is forgotten."""
        self._round = Round(attempt.round, attempt.request)
        self._interruption = None
        self._overtaken = False
        self._news.clear()

    def end(self) -> None:
        """There is no round now."""
        self._round = None

    def overtaken(self, number: int) -> None:
        """The leading end has opened this round, so nothing more will come of an older one.

        What has come already still counts: the leader goes on as soon as it has our word.
        """
        if self._round is not None and self._round.number < number:
            self._overtaken = True
            self._news.set()

    def goes_on(self, number: int) -> bool:
        """The round of this number is in progress."""
        return self._round is not None and self._round.number == number

    def tell(self, witness: Callable[[Round], None]) -> None:
        """Let one of the three witnesses speak; a contradiction ends the round."""
        if self._round is None:
            return
        try:
            witness(self._round)
        except Mismatch as mismatch:
            self._counters["mismatches"] += 1
            self.interrupt(str(mismatch))
        self._news.set()

    def interrupt(self, reason: str) -> None:
        """End the round, if there is one."""
        if self._round is not None:
            self._interruption = reason
            self._news.set()

    async def wait(self, until: Callable[[Round], Found | None], limit_s: float) -> Found:
        """Wait for the round to show something; raises RoundOver."""
        if (found := self._shows(until)) is not None:
            return found
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    self._news.clear()
                    await self._news.wait()
                    if (found := self._shows(until)) is not None:
                        return found
        except TimeoutError:
            raise RoundOver(f"no progress within {limit_s:g} s") from None

    def _shows(self, until: Callable[[Round], Found | None]) -> Found | None:
        """What the round shows now, None for not yet; raises RoundOver."""
        if self._interruption is not None or self._round is None:
            raise RoundOver(self._interruption or "interrupted")
        found = until(self._round)
        if found is None and self._overtaken:
            raise RoundOver("the leading end has opened another round")
        return found
