"""The wire's twin in memory: nodes of one process, on whatever clock the event loop has.

Who speaks is known by who joined, so there are no keys. What the network between the nodes does to
a message is decided by a `Road`, by default the same delay for all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from qnodeos.config import WireTable
from qnodeos.envelope import MAX_MESSAGE_BYTES
from qnodeos.errors import UserError
from qnodeos.wire_carrier import Fate, OnFate

SCHEME = "mem://"
DELAY_S = 0.0002
"""From one node's send to the other's loop: what a local network and two kernels take."""

_IN_FLIGHT = 1000
_NEXT_S = 1e-9

Road = Callable[[str, str, bytes], Sequence[tuple[float, bytes, bool]]]
"""Called with who sends, to whom, and what. Gives each copy that arrives: after how many seconds,
what then is in it, and whether it is the sender's; one that is not is refused as a stranger's.

Copies of one direction arrive in the order of their instants."""

Tap = Callable[[str, str, bytes], None]
"""Told of each message that arrives: from whom, to whom, what."""


def straight(sender: str, to: str, data: bytes) -> Sequence[tuple[float, bytes, bool]]:
    """A network without faults."""
    return ((DELAY_S, data, True),)


class Exchange:
    """Where the wires of one process meet, by the addresses of their configurations."""

    def __init__(self, *, road: Road = straight, tap: Tap = lambda *_: None):
        self.road, self.tap = road, tap
        self._there: dict[str, MemoryCarrier] = {}

    def carrier(self, config: WireTable, name: str) -> MemoryCarrier:
        """What the wire of a node stands on; not yet open."""
        return MemoryCarrier(self, config, name)

    def at(self, address: str) -> MemoryCarrier | None:
        """Who listens at an address."""
        return self._there.get(address)

    def join(self, carrier: MemoryCarrier) -> None:
        """Somebody listens from now on; raises UserError when the address is taken."""
        if carrier.listen in self._there:
            raise UserError(
                "two nodes of one process listen at the same address",
                where=f"wire.listen of node {carrier.name}",
                found=f"{carrier.listen}, where {self._there[carrier.listen].name} listens",
                expected="an address of its own for every node",
                do="correct the entry",
            )
        self._there[carrier.listen] = carrier
        for other in tuple(self._there.values()):
            other.met(carrier)
            carrier.met(other)

    def leave(self, carrier: MemoryCarrier) -> None:
        """Somebody is gone, and whoever was connected learns it."""
        if self._there.get(carrier.listen) is not carrier:
            return
        del self._there[carrier.listen]
        for other in tuple(self._there.values()):
            other.parted(carrier)


class MemoryCarrier:
    """One node's place at an exchange."""

    def __init__(self, exchange: Exchange, config: WireTable, name: str):
        self.name, self.listen = name, config.listen
        self.strangers = 0
        self.said = ""
        self._exchange = exchange
        self._addresses = {peer: table.address for peer, table in config.peers.items()}
        self._peers = {address: peer for peer, address in self._addresses.items()}
        self._arrived: deque[tuple[str, list[bytes]]] = deque()
        self._in_flight: dict[str, int] = dict.fromkeys(self._addresses, 0)
        self._last_s: dict[str, float] = {}
        self._open = False
        self._held: set[str] = set()

    async def open(self, says: str, on_message: Callable[[], None], on_fate: OnFate) -> None:
        """See Carrier."""
        self._loop = asyncio.get_running_loop()
        self._on_message, self._on_fate = on_message, on_fate
        self.said = says
        self._open = True
        self._exchange.join(self)

    def send(self, peer: str, data: bytes) -> bool:
        """See Carrier."""
        there = self._exchange.at(self._addresses[peer])
        if not self._open or there is None or self._in_flight[peer] >= _IN_FLIGHT:
            return False
        for delay_s, copy, genuine in self._exchange.road(self.name, peer, data):
            due_s = self._loop.time() + delay_s
            last_s = self._last_s.get(peer, 0.0)
            if due_s <= last_s < due_s + _NEXT_S * _IN_FLIGHT:
                # The loop fires timers of one instant in any order.
                due_s = last_s + _NEXT_S
            self._last_s[peer] = due_s
            self._in_flight[peer] += 1
            self._loop.call_at(due_s, self._deliver, peer, there, copy, genuine)
        return True

    def take(self) -> tuple[str, list[bytes]] | None:
        """See Carrier."""
        return self._arrived.popleft() if self._arrived else None

    def says(self, peer: str) -> str:
        """See Carrier."""
        there = self._exchange.at(self._addresses[peer])
        return there.said if there is not None else ""

    def renew_keys(self) -> None:
        """See Carrier: there are none."""

    def hold_off(self, peer: str) -> None:
        """See Carrier: there are no connections, so what it says is not taken."""
        self._held.add(peer)
        self._arrived = deque(one for one in self._arrived if one[0] != peer)

    def let_in(self, peer: str) -> None:
        """See Carrier."""
        self._held.discard(peer)

    def close(self) -> None:
        """See Carrier."""
        if self._open:
            self._open = False
            self._arrived.clear()
            self._exchange.leave(self)

    def met(self, other: MemoryCarrier) -> None:
        """Somebody listens, maybe one of our peers."""
        peer = self._peers.get(other.listen)
        if peer is not None:
            self._loop.call_later(DELAY_S, self._tell, peer, "connected")

    def parted(self, other: MemoryCarrier) -> None:
        """Somebody is gone, maybe one of our peers."""
        peer = self._peers.get(other.listen)
        if peer is not None:
            self._loop.call_later(DELAY_S, self._tell, peer, "closed")

    def arrive(self, sender: str, data: bytes, genuine: bool) -> None:
        """A message reaches this node."""
        if not genuine or sender not in self._addresses:
            self.strangers += 1
            return
        if len(data) > MAX_MESSAGE_BYTES or sender in self._held:
            return
        self._exchange.tap(sender, self.name, data)
        self._arrived.append((sender, [data]))
        self._on_message()

    def _deliver(self, peer: str, there: MemoryCarrier, data: bytes, genuine: bool) -> None:
        self._in_flight[peer] -= 1
        if self._open and there._open:
            there.arrive(self.name, data, genuine)

    def _tell(self, peer: str, fate: Fate) -> None:
        if self._open:
            self._on_fate(peer, fate, "")
