"""What the links at one quantum device share: the books of its memory, and whose turn it is.

A device makes entanglement at one optical port at a time. A link takes the device for a round and
gives it back when its half is stored or the round is over. A turn is a time, not a round: a link
may go on with the next until its turn is over; then those that were refused come, by their claims.
A round that only waits for light is asked to yield at the end of its turn, and at once if
somebody's network slot is on: what is blocked never holds the device.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from qnodeos.memory import QuantumMemory
from qnodeos.memory_map import MemoryMap
from qnodeos.memory_shares import Shares
from qnodeos.program_order import ProgramOrder

RESERVED_S = 0.02
"""How long the device is kept for the link whose turn it is, before the others may have it."""

TURN_S = 0.02
"""So long a link keeps the device while another waits for it."""

LINGER_S = 0.002
"""A link in its turn that does not come back within this has nothing to do."""

NO_TIME_S = 1e-9
"""A turn that lasts no longer is over: in sums of times the last digit may be missing, and on a
clock that stands still while things happen it would never end."""

AGEING_S = 1.0
"""Waiting so long counts as one step of priority: nobody waits for ever."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What speaks for a link: its network slot is on; then the priority of its request; then the
    deadline of what that has in memory already, seconds on the node's own clock."""

    in_slot: bool = False
    priority: int = 0
    deadline_s: float = math.inf


NO_CLAIM = Claim()


@dataclass(frozen=True, slots=True)
class _Waiting:
    claim: Claim
    since_s: float

    @property
    def rank(self) -> tuple[bool, float, float, float]:
        """Sorts those that wait. As all age alike, the order of two never changes."""
        claim = self.claim
        aged = self.since_s / AGEING_S - claim.priority
        return not claim.in_slot, aged, claim.deadline_s, self.since_s


class SharedDevice:
    """One device of a node. A link is known by its name."""

    def __init__(self, clock: Callable[[], float]):
        self.memory: QuantumMemory | None = None
        self._clock = clock
        self._holder = ""
        self._held = _Waiting(NO_CLAIM, 0.0)
        self._granted = NO_CLAIM
        self._waiting: dict[str, _Waiting] = {}
        self._turn, self._turn_since_s = "", 0.0
        self._kept_until_s = self._reserved_until_s = 0.0
        self._wake: dict[str, Callable[[], None]] = {}
        self._yields: dict[str, Callable[[str], None]] = {}
        self._pressing: asyncio.TimerHandle | None = None
        self.shares = Shares()
        """What programs hold of its memory."""
        self.programs = ProgramOrder(self.shares, clock, self.news)

    def join(
        self,
        link: str,
        wake: Callable[[], None],
        yields: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """A link at this device. `wake` is called when it may be its turn, or a qubit is free;
        `yields`, with the reason, when its round is to end unless there was a herald."""
        self._wake[link], self._yields[link] = wake, yields

    @property
    def holder(self) -> str:
        """The link whose round is in progress; "" if none is."""
        return self._holder

    def fit(self, qubits: MemoryMap) -> None:
        """The device has these qubits; books of another size are begun anew."""
        if self.memory is None or self.memory.capacity != qubits.device.qubits - 1:
            self.memory = QuantumMemory(qubits, self._clock, self.shares)
            self.memory.freed = self.news
        else:
            self.memory.map = qubits

    def busy(self, link: str, claim: Claim = NO_CLAIM) -> str:
        """Why a link cannot begin a round at the device now; "" if it can. Who asks in vain is
        served by its claim, before those that had it."""
        self._granted = claim
        if self._holder == link or not (self._holder or self._waiting):
            return ""
        known = self._waiting.get(link)
        self._waiting[link] = _Waiting(claim, self._clock() if known is None else known.since_s)
        if self._holder:
            self._press()
            return f"its device works for link {self._holder}"
        if self._in_turn():
            if link == self._turn:
                return ""
            return f"its device works for link {self._turn}"
        return "" if self._is_next(link) else f"its device works for link {self._first()}"

    def take(self, link: str) -> None:
        """A round of this link begins, that has just asked whether the device is busy."""
        self._holder = link
        self._held = _Waiting(self._granted, self._clock())
        if self._turn != link or not self._waiting:
            self._turn, self._turn_since_s = link, self._held.since_s
        self._waiting.pop(link, None)
        if self._waiting:
            self._press()

    def give(self, link: str) -> None:
        """The device is free of this link's round."""
        if self._holder != link:
            return
        self._holder = ""
        if self._pressing is not None:
            self._pressing.cancel()
            self._pressing = None
        if not self._waiting:
            return
        now_s = self._clock()
        left_s = 0.0 if self._outranked else max(0.0, self._turn_since_s + TURN_S - now_s)
        linger_s = min(left_s, LINGER_S)
        self._kept_until_s = now_s + linger_s
        self._reserved_until_s = self._kept_until_s + RESERVED_S
        # Not from inside of whatever has ended the round, even if it is at once.
        asyncio.get_running_loop().call_later(linger_s, self._offer)

    def _offer(self) -> None:
        """The turn is over: it is that of who comes next."""
        if self._waiting and not self._holder and not self._in_turn():
            self._turn = ""
            self._wake[self._first()]()

    def _in_turn(self) -> bool:
        """The link that had the device last may go on."""
        now_s = self._clock()
        in_time = now_s + NO_TIME_S < min(self._kept_until_s, self._turn_since_s + TURN_S)
        return bool(self._turn) and in_time and not self._outranked

    @property
    def _outranked(self) -> bool:
        """Somebody's network slot is on, and it is not that of the round."""
        return not self._held.claim.in_slot and any(
            each.claim.in_slot for link, each in self._waiting.items() if link != self._turn
        )

    def _first(self) -> str:
        return min(self._waiting, key=lambda link: self._waiting[link].rank)

    def _is_next(self, link: str) -> bool:
        while (first := self._first()) != link:
            if self._clock() < self._reserved_until_s:
                return False
            del self._waiting[first]  # it has not come
        return True

    def _press(self) -> None:
        """Have the round in progress end in time for who comes next."""
        after_s = self._turn_since_s + TURN_S - self._clock()
        if self._outranked:
            after_s = 0.0
        loop = asyncio.get_running_loop()
        if self._pressing is not None:
            self._pressing.cancel()
        self._pressing = loop.call_later(max(0.0, after_s), self._ask_to_yield)

    def _ask_to_yield(self) -> None:
        self._pressing = None
        if self._holder and self._waiting:
            self._yields[self._holder](f"its device is wanted for link {self._first()}")

    def news(self) -> None:
        """A qubit is free, or there is a use for one more pair: links may look again."""
        for wake in self._wake.values():
            asyncio.get_running_loop().call_soon(wake)


class SharedDevices:
    """The devices of a node, by the instrument's name."""

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._devices: dict[str, SharedDevice] = {}

    def of(self, instrument: str) -> SharedDevice:
        """The one of this name."""
        if instrument not in self._devices:
            self._devices[instrument] = SharedDevice(self._clock)
        return self._devices[instrument]

    def items(self) -> Iterable[tuple[str, SharedDevice]]:
        """All that have been asked for, with their names."""
        return self._devices.items()
