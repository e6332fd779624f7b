"""The quantum memory of one device: which qubit is whose, and until when its pair is of use.

Qubit 0 makes the entanglement; the others store it. A stored half has one owner and one deadline;
after the deadline nobody gets it. Instants are seconds on the node's own clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from link_layer.feu import Goodness
from link_layer.states import NO_DECAY, BellState, Coherence, decayed_fidelity
from qnodeos.memory_map import COMMUNICATION_QUBIT, MemoryMap
from qnodeos.memory_shares import Holding, Shares

FIRST_HOLD_S = 0.01
"""For how long a qubit is expected to be held before one was given back."""


class MemoryFull(Exception):
    """No storage qubit is free."""


class PairExpired(Exception):
    """The pair is past its deadline, or was given up; its owner gets nothing."""


@dataclass(frozen=True, slots=True)
class StoredPair:
    """One half of a pair, as it lies in memory."""

    link: str
    sequence: int
    slot: int
    bell_state: BellState
    fidelity: float
    request: int
    qubit: int
    heralded_s: float
    deadline_s: float
    goodness: Goodness | None = None
    """F at the herald with its interval."""
    coherences: tuple[Coherence, Coherence] = (NO_DECAY, NO_DECAY)
    """How the two halves decay."""

    def good_at(self, now_s: float) -> Goodness:
        """F with its interval at an instant, decayed by the memories' own model since the herald.

        The whole of 1 - F is taken for phase errors, as for the deadline.
        """
        known = self.goodness or Goodness(self.fidelity, 0.0, 1.0, self.heralded_s)
        held_s = max(0.0, now_s - self.heralded_s)
        fidelity, low, high = (
            decayed_fidelity(each, held_s, *self.coherences)
            for each in (known.fidelity, known.low, known.high)
        )
        return Goodness(fidelity, low, high, known.at_s)


class QuantumMemory:
    """Allocation, ownership and deadlines over the storage qubits of one device."""

    def __init__(
        self,
        qubits: MemoryMap,
        clock: Callable[[], float],
        shares: Shares | None = None,
    ):
        self._clock = clock
        self.shares = shares if shares is not None else Shares()
        """Of programs."""
        self.map = qubits
        self._free = list(range(qubits.device.qubits - 1, COMMUNICATION_QUBIT, -1))
        self._since_s: dict[int, float] = {}
        self._holdings: dict[int, Holding] = {}
        self._held_s, self._held_times = 0.0, 0
        self._pairs: dict[tuple[str, int], StoredPair] = {}
        self._owned: set[tuple[str, int]] = set()
        self.capacity = self.shares.capacity = len(self._free)
        self.freed: Callable[[], None] | None = None
        """Called whenever a storage qubit has become free."""

    @property
    def free(self) -> int:
        """Storage qubits that hold nothing."""
        return len(self._free)

    @property
    def pairs(self) -> list[StoredPair]:
        """All halves in memory, owned or not."""
        return list(self._pairs.values())

    def allocate(self, *, keep_free: int = 0, holding: Holding | None = None) -> int:
        """Take a free storage qubit, leaving `keep_free` others; raises MemoryFull.

        With a `holding` it is a program's, which takes no more than others leave it. Where qubits
        differ it is that with the least loss, of what it will hold and of what is held beside it.
        """
        if len(self._free) <= keep_free:
            raise MemoryFull(f"all {self.capacity} storage qubits are in use or kept free")
        if holding is not None:
            if text := self.shares.refusal(holding.share):
                raise MemoryFull(text)
            holding.count += 1
            holding.share.held += 1
        qubit = self._best() if self.map.differs else self._free[-1]
        self._free.remove(qubit)
        self._since_s[qubit] = self._clock()
        if holding is not None:
            self._holdings[qubit] = holding
        return qubit

    def _best(self) -> int:
        """Of equals that with the lowest number. Gates on the communication qubit never end, so it
        counts as held."""
        hold_s = self._held_s / self._held_times if self._held_times else FIRST_HOLD_S
        held = {COMMUNICATION_QUBIT, *self._since_s}
        return min(self._free, key=lambda qubit: (self.map.loss(qubit, held, hold_s), qubit))

    def give_back(self, qubit: int) -> None:
        """Return a qubit that holds nothing any more."""
        if qubit in self._free or not 0 < qubit <= self.capacity:
            raise ValueError(f"qubit {qubit} is not an allocated storage qubit")
        self._free.append(qubit)
        self._held_s += self._clock() - self._since_s.pop(qubit)
        self._held_times += 1
        holding = self._holdings.pop(qubit, None)
        if holding is not None:
            holding.count -= 1
            holding.share.held -= 1
        if self.freed is not None:
            self.freed()

    def pass_on(self, pair: StoredPair, holding: Holding) -> None:
        """A half that a program holds is at another place of its share now; nothing if it is
        gone."""
        if self._pairs.get((pair.link, pair.sequence)) is pair and pair.qubit in self._holdings:
            self._holdings[pair.qubit].count -= 1
            self._holdings[pair.qubit] = holding
            holding.count += 1

    def store(self, pair: StoredPair) -> None:
        """Record the half that now lies in `pair.qubit`."""
        key = (pair.link, pair.sequence)
        if key in self._pairs:
            raise ValueError(f"pair {pair.sequence} of link {pair.link} is in memory already")
        self._pairs[key] = pair

    def get(self, link: str, sequence: int) -> StoredPair | None:
        """The half of a pair, or None if it is not in memory."""
        return self._pairs.get((link, sequence))

    def renew(self, pair: StoredPair) -> None:
        """The half of this pair has become another in its place. Raises ValueError if it is not
        there, or has an owner already."""
        key = (pair.link, pair.sequence)
        if key not in self._pairs or key in self._owned:
            raise ValueError(f"pair {pair.sequence} of link {pair.link} is not to be changed")
        self._pairs[key] = pair

    def take(self, link: str, sequence: int) -> StoredPair:
        """Hand a half to its one owner; raises PairExpired."""
        key = (link, sequence)
        pair = self._pairs.get(key)
        if pair is None or key in self._owned:
            raise PairExpired(f"pair {sequence} of link {link} is not to be had any more")
        self.check(pair)
        self._owned.add(key)
        return pair

    def check(self, pair: StoredPair) -> None:
        """Raise PairExpired unless the half is in memory and before its deadline."""
        if self._pairs.get((pair.link, pair.sequence)) is not pair:
            raise PairExpired(f"pair {pair.sequence} of link {pair.link} was given up")
        late_s = self._clock() - pair.deadline_s
        if late_s >= 0:
            raise PairExpired(
                f"pair {pair.sequence} of link {pair.link} is {late_s * 1e3:.1f} ms past its "
                "deadline"
            )

    def forget(self, link: str, sequence: int) -> StoredPair | None:
        """Take a half out of the books and free its qubit; None if it is not there."""
        key = (link, sequence)
        pair = self._pairs.pop(key, None)
        self._owned.discard(key)
        if pair is not None:
            self.give_back(pair.qubit)
        return pair

    def overdue(self) -> list[StoredPair]:
        """Halves whose deadline has passed."""
        now_s = self._clock()
        return [pair for pair in self._pairs.values() if pair.deadline_s <= now_s]
