"""A pair in memory, as an application holds it."""

from __future__ import annotations

from typing import Protocol

from drivers.devices import Basis, QuantumDevice
from link_layer.feu import Goodness
from link_layer.messages import MeasuredBasis
from link_layer.states import BellState
from qnodeos.memory import PairExpired, QuantumMemory, StoredPair
from qnodeos.memory_shares import Holding


class Keeper(Protocol):
    """Who keeps the books of a pair."""

    @property
    def memory(self) -> QuantumMemory | None:
        """The books of the device that holds it."""
        ...

    def device(self) -> QuantumDevice:
        """The device that holds it; raises NotConnected."""
        ...

    def use(self, stored: StoredPair) -> None:
        """Hand it to its one owner; raises PairExpired."""
        ...

    def give_up(self, stored: StoredPair, reason: str) -> None:
        """Free it at both ends."""
        ...

    def let_go(self, stored: StoredPair, reason: str) -> None:
        """Free it at this end."""
        ...


class Pair:
    """This end's half of one pair. Every operation raises PairExpired once the deadline has passed.

    `measure` and `release` end it; an application that keeps it loses it at the deadline.
    """

    def __init__(
        self,
        stored: StoredPair,
        keeper: Keeper,
        prepared: tuple[MeasuredBasis, int] | None = None,
    ):
        self.prepared = prepared
        """Of a remotely prepared state (type R): the basis the origin measured in, and its outcome,
        0 for the +1 eigenstate."""
        self._stored = stored
        self._keeper = keeper
        self._used = False

    @property
    def sequence(self) -> int:
        """Identity within the link, the same at both ends."""
        return self._stored.sequence

    @property
    def link(self) -> str:
        """Name of the link that made it."""
        return self._stored.link

    @property
    def slot(self) -> int:
        """The attempt slot in which it was heralded, the same at both ends."""
        return self._stored.slot

    @property
    def bell_state(self) -> BellState:
        """The Bell state it is delivered as."""
        return self._stored.bell_state

    @property
    def fidelity(self) -> float:
        """The link's estimate for the moment of the herald."""
        return self._stored.fidelity

    def good_at(self, now_s: float) -> Goodness:
        """F with its 95 % interval at an instant on the node's own clock, decayed since the herald
        by the memories' own model; `at_s` says when F was known so."""
        return self._stored.good_at(now_s)

    @property
    def heralded_s(self) -> float:
        """On the node's own clock, when it came to be."""
        return self._stored.heralded_s

    @property
    def deadline_s(self) -> float:
        """On the node's own clock, when it stops being useful."""
        return self._stored.deadline_s

    def pass_on(self, holding: Holding) -> None:
        """It is at another place of its program's share of the memory now."""
        if self._keeper.memory is not None:
            self._keeper.memory.pass_on(self._stored, holding)

    def taken(self) -> int:
        """The device's qubit that holds this half, which is its owner's from now on."""
        self._check()
        return self._stored.qubit

    async def gate(self, gate: str) -> None:
        """Apply a one-qubit gate to this half."""
        self._check()
        await self._keeper.device().gate(gate, self._stored.qubit)

    async def cnot_from(self, control: int) -> None:
        """Apply CNOT from a local qubit onto this half."""
        self._check()
        await self._keeper.device().gate("CNOT", control, self._stored.qubit)

    async def cnot_onto(self, target: int) -> None:
        """Apply CNOT from this half onto a local qubit."""
        self._check()
        await self._keeper.device().gate("CNOT", self._stored.qubit, target)

    async def measure(self, basis: Basis = "Z") -> int:
        """Measure this half: 0 for the +1 eigenstate, 1 for the other; the qubit is then free."""
        memory = self._check()
        outcome = await self._keeper.device().measure(self._stored.qubit, basis)
        if memory.forget(self.link, self.sequence) is None:
            # Both ends have it for lost, so that an outcome would be half of nothing.
            raise PairExpired(
                f"pair {self.sequence} of link {self.link} was given up while it was measured"
            )
        return outcome

    async def release(self) -> None:
        """Give the pair up at both ends; harmless if it is gone already."""
        self.give_up("given up by its owner")

    def give_up(self, reason: str) -> None:
        """The same, without waiting for anything."""
        self._keeper.give_up(self._stored, reason)

    def let_go(self, reason: str) -> None:
        """Free this half only: the far end's owner goes on with its own, as after a measurement."""
        self._keeper.let_go(self._stored, reason)

    def _check(self) -> QuantumMemory:
        """The memory that still holds this half in time; the first use makes it ours."""
        if not self._used:
            self._keeper.use(self._stored)
            self._used = True
        memory = self._keeper.memory
        if memory is None:
            raise PairExpired(f"the device that held pair {self.sequence} is gone")
        memory.check(self._stored)
        return memory
