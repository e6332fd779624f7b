"""How much of a memory a program may have, so that programs never wait for each other for ever.

A program holds qubits and waits for more, at two nodes at a time; if all took what they can get,
all could wait. So programs stand in the order in which they have begun, the same at every node
(`qnodeos.program_order`), and nobody takes a qubit that an older one may still need: the claim of a
program, together with what all younger ones hold, fits the memory. So the oldest comes to its end,
and then another is the oldest. It is the banker's algorithm (Dijkstra, EWD 108) with the safe
sequence agreed upon beforehand, without which two nodes could find two different ones.

A claim is kept to by the node, whatever the program says. Pairs of others than programs stand in no
order: they have deadlines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, eq=False)
class Share:
    """What one program holds of a memory; `claim` is the most that it will hold at a time."""

    claim: int
    held: int = 0
    begun: bool = False

    @property
    def most(self) -> int:
        """Its claim, or what it holds if that is more: pairs may come before it asks for them."""
        return max(self.claim, self.held)


@dataclass(slots=True, eq=False)
class Holding:
    """The qubits of a share at one place, such as those on their way to one socket."""

    share: Share
    count: int = 0


class Taker(Protocol):
    """Who takes the pairs of a request, and holds them in a share."""

    @property
    def holding(self) -> Holding:
        """Where a pair belongs from the moment that a qubit is kept for it."""
        ...

    def no_use(self) -> str:
        """Why one more pair is of no use now; "" if it is."""
        ...

    def failed(self, problem: Exception) -> None:
        """A request of the far end has ended without all its pairs."""
        ...


class Shares:
    """The programs at one memory that have begun. `capacity`: its storage qubits."""

    def __init__(self) -> None:
        self.capacity = 0
        self._begun: list[Share] = []

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self, share: Share) -> None:
        """It is the youngest now; harmless if it has begun."""
        if not share.begun:
            share.begun = True
            self._begun.append(share)

    def leave(self, share: Share) -> None:
        """The program is over, or never begins; what it still holds is on its way back."""
        if share in self._begun:
            self._begun.remove(share)
        share.begun = True

    def refusal(self, share: Share, count: int = 1) -> str:
        """Why it may not take so many qubits more; "" if it may."""
        if not share.begun:
            return "its program begins when those at the far ends of its sockets are there"
        share.held += count
        try:
            return self._unsafe(share)
        finally:
            share.held -= count

    def _unsafe(self, share: Share) -> str:
        """Who might not come to its end, if `share` held what it holds now."""
        younger, met = 0, False
        for each in reversed(self._begun):
            met = met or each is share
            claimed = min(each.most, self.capacity)
            if met and claimed + younger > self.capacity:
                return (
                    f"a program that began before may need {claimed} of {self.capacity} storage "
                    f"qubits, which leaves {self.capacity - claimed} to those after it, and they "
                    f"would hold {younger}"
                )
            younger += each.held
        return ""
