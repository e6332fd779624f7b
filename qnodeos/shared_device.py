"""What the links at one quantum device share: the books of its memory, and whose turn it is.

A device makes entanglement at one optical port at a time. A link takes the device for a round and
gives it back when its half is stored or the round is over; who was refused meanwhile comes next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from qnodeos.memory import QuantumMemory

RESERVED_S = 0.02
"""How long the device is kept for the link whose turn it is, before the others may have it."""


class SharedDevice:
    """One device of a node. A link is known by its name."""

    def __init__(self, clock: Callable[[], float]):
        self.memory: QuantumMemory | None = None
        self._clock = clock
        self._holder = ""
        self._waiting: deque[str] = deque()
        self._reserved_until_s = 0.0
        self._wake: dict[str, Callable[[], None]] = {}

    def join(self, link: str, wake: Callable[[], None]) -> None:
        """A link at this device; `wake` is called when it may be its turn, or a qubit is free."""
        self._wake[link] = wake

    @property
    def holder(self) -> str:
        """The link whose round is in progress; "" if none is."""
        return self._holder

    def fit(self, qubits: int) -> None:
        """The device has so many qubits; books of another size are begun anew."""
        if self.memory is None or self.memory.capacity != qubits - 1:
            self.memory = QuantumMemory(qubits, self._clock)
            self.memory.freed = self._freed

    def busy(self, link: str) -> str:
        """Why a link cannot begin a round at the device now; "" if it can. Who asks in vain is
        served before those that had it."""
        if self._holder == link or (not self._holder and self._is_next(link)):
            return ""
        if link not in self._waiting:
            self._waiting.append(link)
        other = self._holder or self._waiting[0]
        return f"its device works for link {other}"

    def take(self, link: str) -> None:
        """A round of this link begins."""
        self._holder = link
        if link in self._waiting:
            self._waiting.remove(link)

    def give(self, link: str) -> None:
        """The device is free of this link's round."""
        if self._holder != link:
            return
        self._holder = ""
        if self._waiting:
            self._reserved_until_s = self._clock() + RESERVED_S
            # Not from inside of whatever has ended the round.
            asyncio.get_running_loop().call_soon(self._wake[self._waiting[0]])

    def _is_next(self, link: str) -> bool:
        while self._waiting and self._waiting[0] != link:
            if self._clock() < self._reserved_until_s:
                return False
            self._waiting.popleft()  # it has not come
        return True

    def _freed(self) -> None:
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
