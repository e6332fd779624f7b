"""The station between two ends as a machine: it attempts when told to, and announces a success.

It counts heralds; its count, with the slot, is the identity of a pair. One round is open at a time.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from typing import Protocol

from link_layer.messages import Attempt, EndRound, Heralded, Message
from link_layer.states import BellState

ROUNDS_KNOWN = 256


class StationPort(Protocol):
    """What the station's machine asks of its surroundings; everything returns at once."""

    def start(self) -> None:
        """Take part in attempts; heralds of earlier ones are not told."""
        ...

    def stop(self) -> None:
        """Take part no longer."""
        ...

    def announce(self, message: Message, after_s: float = 0.0) -> None:
        """Send to both ends, after this time; it may get lost."""
        ...


def announced_after_s(now_s: float, period_s: float, rng: random.Random) -> float:
    """How long a herald of now is kept back: until a random instant of the next period.

    The instant says in which period the herald was, and nothing about when in it: whatever that
    was, the phase of the announcement is spread evenly.
    """
    if period_s <= 0:
        return 0.0
    return period_s - now_s % period_s + rng.uniform(0.0, period_s)


class LinkStation:
    """The machine of a midpoint. `rng` sets the numbers of a new process apart from the last's."""

    def __init__(self, link: str, port: StationPort, rng: random.Random, counters: Counter[str]):
        self.link = link
        self._port, self._counters = port, counters
        self._sequence = rng.getrandbits(30) << 32
        self._round: int | None = None
        self._rng = rng
        self._period_s = 0.0
        self._past: OrderedDict[int, None] = OrderedDict()

    @property
    def round(self) -> int | None:
        """The round that is open."""
        return self._round

    def ordered(self, order: Attempt | EndRound) -> None:
        """An end opens a round, or says that one is over."""
        number = order.round
        if isinstance(order, EndRound):
            if number == self._round:
                self._close()
                self._port.stop()
                self._port.announce(order)
            else:
                self._remember(number)  # its beginning may still be on the way
        elif number == self._round or number in self._past:
            self._counters["stale_messages"] += 1
        else:
            if self._round is not None:
                self._close()
                self._port.stop()
            self._round = number
            self._period_s = order.announce_period_s
            self._port.start()

    def heralded(
        self, slot: int, bell_state: BellState, now_s: float, *, first_slot: int = 0
    ) -> None:
        """The device has found two photons of one attempt in a Bell state; it has attempted since
        its first slot."""
        number = self._round
        if number is None:
            self._counters["unasked_heralds"] += 1
            return
        self._close()
        self._sequence += 1
        self._counters["heralds"] += 1
        heralded = Heralded(self.link, number, self._sequence, slot, bell_state, first_slot)
        self._port.announce(heralded, announced_after_s(now_s, self._period_s, self._rng))

    def failed(self, reason: str) -> None:
        """The device cannot attempt."""
        number = self._round
        if number is not None:
            self._close()
            self._port.announce(EndRound(self.link, number, reason))

    def end_lost(self, reason: str) -> None:
        """An end is gone, or a new process that counts its rounds anew."""
        self._past.clear()
        if self._round is not None:
            self.ordered(EndRound(self.link, self._round, reason))

    def _close(self) -> None:
        if self._round is not None:
            self._remember(self._round)
        self._round = None

    def _remember(self, number: int) -> None:
        self._past[number] = None
        if len(self._past) > ROUNDS_KNOWN:
            self._past.popitem(last=False)
