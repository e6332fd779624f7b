"""The pairs of one memory link at one end, from the moment they are delivered until they are gone.

Nothing here waits: a qubit is free in the books when its release is on the way to the device, which
carries its orders out in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from drivers.devices import QuantumDevice
from qnodeos.context import NodeContext
from qnodeos.link_device import LinkDevice
from qnodeos.memory import PairExpired, QuantumMemory, StoredPair
from qnodeos.shared_device import SharedDevice

EXPIRED = "its deadline has passed"


class PairKeeper:
    """Books of the stored halves: handed to their owners once, freed at both ends when lost.

    `shared` has the books of the device's memory, in which other links may have pairs too. `tell`
    is called with the sequence and the reason of each pair that is given up here, `gone` with each
    that is lost.
    """

    def __init__(
        self,
        link: str,
        context: NodeContext,
        device: LinkDevice,
        counters: Counter[str],
        *,
        tell: Callable[[int, str], None],
        gone: Callable[[StoredPair], None],
        shared: SharedDevice,
    ):
        self._shared = shared
        self._link, self._context, self._device = link, context, device
        self._counters, self._tell = counters, tell
        self._gone = gone

    @property
    def memory(self) -> QuantumMemory | None:
        """The books; None before the device has been seen."""
        return self._shared.memory

    def store(self, pair: StoredPair) -> None:
        """Enter a half that now lies in memory."""
        if self.memory is not None:
            self.memory.store(pair)
            self._context.store.pair_held(pair)

    def device(self) -> QuantumDevice:
        """The device; raises NotConnected."""
        return self._device.device

    def use(self, pair: StoredPair) -> None:
        """The application takes its half; raises PairExpired when it is too late."""
        if self.memory is None:
            raise PairExpired(f"the device that held pair {pair.sequence} is gone")
        self.memory.take(self._link, pair.sequence)
        self._counters["delivered"] += 1
        self._context.store.pair_delivered(pair, self._context.name)

    def free(self, qubit: int) -> None:
        """Give up a storage qubit that is in nobody's books yet, with what it may hold."""
        if self.memory is not None:
            self._device.release(qubit)
            self.memory.give_back(qubit)

    def give_up(self, pair: StoredPair, reason: str) -> None:
        """This end's half is lost, so the far end's is useless; harmless if it is gone already."""
        if self._forget(pair, reason):
            self._tell(pair.sequence, reason)

    def let_go(self, pair: StoredPair, reason: str) -> None:
        """The owner of this end's half is done with it; harmless if it is gone already."""
        if self.memory is not None and self.memory.forget(pair.link, pair.sequence) is not None:
            self._device.release(pair.qubit)
            self._context.store.pair_ended(pair, "discarded", reason)

    def lose(self, sequence: int, reason: str, *, tell: bool) -> None:
        """This end's half is lost; `tell`: the far end does not know it yet."""
        pair = self._find(sequence)
        if pair is not None and self._forget(pair, reason) and tell:
            self._tell(sequence, reason)

    def spent(self, sequence: int, into: int) -> None:
        """A half is measured to make another pair better, and its qubit free by that."""
        if self.memory is not None:
            pair = self.memory.forget(self._link, sequence)
            if pair is not None:
                self._context.store.pair_ended(pair, "discarded", f"spent to purify pair {into}")

    def improve(
        self, sequence: int, change: Callable[[StoredPair], StoredPair]
    ) -> StoredPair | None:
        """Enter what a pair has become; None if it is not there any more."""
        pair = self._find(sequence)
        if pair is None or self.memory is None:
            return None
        better = change(pair)
        self.memory.renew(better)
        self._context.store.pair_renewed(better)
        return better

    def dropped_by_peer(self, sequence: int, reason: str) -> bool:
        """The far end has lost its half; False if there is none here."""
        pair = self._find(sequence)
        return pair is not None and self._forget(pair, reason)

    def drop_all(self, reason: str, *, tell_peer: bool) -> None:
        """All halves are useless: the far end, or the device, is gone."""
        for pair in self.memory.pairs if self.memory else []:
            if pair.link == self._link and self._forget(pair, reason) and tell_peer:
                self._tell(pair.sequence, reason)

    def tick(self) -> None:
        """Give up what is past its deadline; an application never gets a late pair anyway."""
        for pair in self.memory.overdue() if self.memory else []:
            if pair.link == self._link:
                self.give_up(pair, EXPIRED)

    def _find(self, sequence: int) -> StoredPair | None:
        return self.memory.get(self._link, sequence) if self.memory is not None else None

    def _forget(self, pair: StoredPair, reason: str) -> bool:
        """Take a half out of the books and free its qubit; False if it is not there any more."""
        if self.memory is None or self.memory.forget(pair.link, pair.sequence) is None:
            return False
        self._device.release(pair.qubit)
        state = "expired" if reason == EXPIRED else "discarded"
        self._counters[state] += 1
        self._context.store.pair_ended(pair, state, reason)
        self._gone(pair)
        return True
