"""Pairs that were delivered and are found not to be trusted: taken back, and their owners told.

Both ends withdraw the same pairs: the identities of a link's pairs rise, so one of them says from
where on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from link_layer.queue import Request

KEPT = 20_000
"""Deliveries of a link that can still be withdrawn."""

TOLD = 1000
"""Withdrawals of a node that can still be asked for."""

NONE_YET = -(2**63)
"""Below the identity of any pair."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Pairs of one request with identities from `first` to `last`; `pairs`: how many they are."""

    at_s: float
    request: int
    purpose: str
    origin: str
    first: int
    last: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Pairs that their owner is not to use, and why; `number` counts a node's withdrawals."""

    number: int
    link: str
    what: Delivered
    reason: str


class RecentPairs:
    """What one link has delivered of late at one end, so that it can be withdrawn."""

    def __init__(self, clock: Callable[[], float], kept: int = KEPT):
        self._clock = clock
        self._kept: deque[Delivered] = deque(maxlen=kept)
        self._highest = NONE_YET

    def add(self, request: Request, first: int, pairs: int) -> None:
        """Note a delivery of pairs with identities in a row."""
        purpose, last = request.create.purpose, first + pairs - 1
        self._kept.append(
            Delivered(self._clock(), request.id, purpose, request.origin, first, last, pairs)
        )
        self._highest = max(self._highest, last)

    def before(self, since_s: float) -> int:
        """The identity above which are all pairs delivered since then, and those to come."""
        later = [each.first for each in self._kept if each.at_s >= since_s]
        return min(later) - 1 if later else self._highest

    def take(self, above: int) -> list[Delivered]:
        """Take out what is above an identity, that of each request together."""
        found: dict[int, Delivered] = {}
        kept = []
        for each in self._kept:
            if each.last <= above:
                kept.append(each)
                continue
            first = max(each.first, above + 1)
            if first > each.first:
                kept.append(replace(each, last=above, pairs=first - each.first))
            new = replace(each, first=first, pairs=each.last - first + 1)
            old = found.get(each.request)
            found[each.request] = new if old is None else _together(old, new)
        self._kept = deque(kept, maxlen=self._kept.maxlen)
        return list(found.values())

    def forget(self) -> None:
        """The far end is a new process, whose numbers are others."""
        self._kept.clear()
        self._highest = NONE_YET


class Withdrawals:
    """All that a node has withdrawn, for whoever asks."""

    def __init__(self) -> None:
        self._told: deque[Withdrawn] = deque(maxlen=TOLD)
        self._news = asyncio.Event()
        self._last = 0

    def add(self, link: str, what: Delivered, reason: str) -> None:
        """Tell of pairs of one request."""
        self._last += 1
        self._told.append(Withdrawn(self._last, link, what, reason))
        self._news.set()
        self._news = asyncio.Event()

    async def after(self, number: int) -> list[Withdrawn]:
        """Those with a higher number, oldest first; waits until there are some."""
        while not (found := [each for each in self._told if each.number > number]):
            await self._news.wait()
        return found


def _together(one: Delivered, other: Delivered) -> Delivered:
    return replace(
        other,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
        pairs=one.pairs + other.pairs,
    )
