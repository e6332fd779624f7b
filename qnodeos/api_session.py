"""What a client of the local socket can do, and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from drivers.devices import Basis
from link_layer.messages import Measuring, RequestKind
from qnodeos.apps.channel import Channel
from qnodeos.errors import UserError
from qnodeos.measured import MeasuredPairs
from qnodeos.memory import QuantumMemory
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import NodeParts
from qnodeos.pair import Pair
from qnodeos.photonic import PhotonicLink
from qnodeos.requests import Inbox, RequestEnded

MOST_HANDLES = 4096
Progressing = Callable[..., None]

Method = Callable[..., Coroutine[Any, Any, Any]]
"""A method: the client's session, how to tell of progress, and the arguments by name."""

Methods = dict[str, Method]


class Session:
    """What one client holds: requests, pairs, qubits and channels, by its own handles."""

    def __init__(self, parts: NodeParts):
        self.parts = parts
        self._last = 0
        self._inboxes: dict[int, tuple[MemoryLink | PhotonicLink, Inbox[Any], str]] = {}
        self._pairs: dict[int, Pair] = {}
        self._qubits: dict[int, tuple[MemoryLink, QuantumMemory, int]] = {}
        self._channels: dict[str, Channel] = {}

    def close(self) -> None:
        """The client is gone: nothing stays behind."""
        for link, inbox, purpose in self._inboxes.values():
            link.desk.cancel(inbox)
            if purpose:
                link.desk.leave(purpose)
        for pair in self._pairs.values():
            pair.give_up("its owner is gone")
        for link, memory, qubit in self._qubits.values():
            link.device.release(qubit)
            memory.give_back(qubit)
        for name in self._channels:
            self.parts.channels.pop(name, None)
        for held in (self._inboxes, self._pairs, self._qubits, self._channels):
            held.clear()

    # Requests.

    def link(self, peer: str = "", link: str = "") -> MemoryLink | PhotonicLink:
        """The link of this name, or to this peer; memory links first. Raises UserError."""
        links = {
            name: each for name, each in self.parts.links.items() if not isinstance(each, Midpoint)
        }
        if link:
            found = links.get(link)
            if found is not None:
                return found
        else:
            to = [each for each in links.values() if each.config.peer == peer]
            to.sort(key=lambda each: not isinstance(each, MemoryLink))
            if to:
                return to[0]
        known = ", ".join(f"{n} to {each.config.peer}" for n, each in links.items())
        raise UserError(
            f"there is no link {f'named {link}' if link else f'to {peer}'}",
            where=f"node {self.parts.name}",
            expected=known or "a node with links",
        )

    def ask(self, link: MemoryLink | PhotonicLink, wishes: dict[str, Any]) -> int:
        """Ask for pairs; a handle. Raises RequestEnded when it is refused at once."""
        if self.parts.draining:
            raise UserError(
                "this node takes no new request",
                where=f"node {self.parts.name}",
                found=self.parts.draining,
            )
        return self._keep(self._inboxes, (link, link.desk.ask(**wishes), ""))

    def take(self, link: MemoryLink | PhotonicLink, purpose: str) -> int:
        """Take part in the far end's requests of a purpose; a handle. Raises ValueError."""
        return self._keep(self._inboxes, (link, link.desk.accept(purpose), purpose))

    async def next(self, handle: int) -> dict[str, Any] | None:
        """The next delivery, None at the end. Raises RequestEnded, KeyError."""
        link, inbox, _ = self._of(self._inboxes, handle, "request")
        try:
            item = await anext(aiter(inbox))
        except (StopAsyncIteration, RequestEnded) as end:
            self._inboxes.pop(handle, None)
            if isinstance(end, RequestEnded):
                raise
            return None
        return self._told(link.name, item)

    def has(self, handle: int) -> bool:
        """A request of this handle was not given up, nor told to be over."""
        return handle in self._inboxes

    def cancel(self, handle: int) -> None:
        """Give a request up, or take part no longer."""
        link, inbox, purpose = self._of(self._inboxes, handle, "request")
        del self._inboxes[handle]
        link.desk.cancel(inbox)
        if purpose:
            link.desk.leave(purpose)

    # Pairs and qubits.

    def pair(self, handle: int) -> Pair:
        """A pair of this client. Raises KeyError."""
        pair: Pair = self._of(self._pairs, handle, "pair")
        return pair

    def done_with(self, handle: int) -> None:
        """A pair is used up."""
        self._pairs.pop(handle, None)

    def allocate(self, link: MemoryLink) -> int:
        """A storage qubit of the device of a link; a handle. Raises MemoryFull, UserError."""
        if link.memory is None:
            raise UserError("the device of the link is away", where=f"link {link.name}")
        return self._keep(self._qubits, (link, link.memory, link.memory.allocate()))

    def qubit(self, handle: int) -> tuple[MemoryLink, int]:
        """The link and number of a qubit of this client. Raises KeyError."""
        link, _, qubit = self._of(self._qubits, handle, "qubit")
        return link, qubit

    def give_back(self, handle: int) -> None:
        """A qubit holds nothing any more."""
        _, memory, qubit = self._of(self._qubits, handle, "qubit")
        del self._qubits[handle]
        memory.give_back(qubit)

    def channel(self, peer: str, name: str) -> Channel:
        """The words between this client and its other half at a peer."""
        found = self._channels.get(name)
        if found is None:
            if name in self.parts.channels:
                raise ValueError(f"channel '{name}' is another program's")
            if peer not in self.parts.config.wire.peers:
                raise KeyError(f"there is no peer '{peer}'")
            found = Channel(name, lambda message: self.parts.wire.send(peer, message))
            self._channels[name] = self.parts.channels[name] = found
        return found

    def _told(self, link: str, item: Any) -> dict[str, Any]:
        if isinstance(item, MeasuredPairs):
            return {
                "link": link,
                "basis": item.basis,
                "pairs": item.pairs.tolist(),
                "outcomes": item.outcomes.tolist(),
                "fidelity": item.fidelity,
                "bell_state": item.bell_state.name,
            }
        assert isinstance(item, Pair)
        now_s = self.parts.clock()
        good = item.good_at(now_s)
        return {
            "link": link,
            "pair": self._keep(self._pairs, item),
            "sequence": item.sequence,
            "slot": item.slot,
            "fidelity": item.fidelity,
            "fidelity_interval": [good.low, good.high],
            "bell_state": item.bell_state.name,
            "left_s": item.deadline_s - now_s,
            "prepared": item.prepared,
        }

    def _keep(self, held: dict[int, Any], what: Any) -> int:
        if len(held) >= MOST_HANDLES:
            raise UserError(f"a client may hold {MOST_HANDLES} of one kind, it has that many")
        self._last += 1
        held[self._last] = what
        return self._last

    def _of(self, held: dict[int, Any], handle: int, what: str) -> Any:
        if handle not in held:
            raise KeyError(f"this client has no {what} {handle}")
        return held[handle]


# The methods. Their arguments come from outside: a wrong name or type is the client's mistake.


async def _status(session: Session, progress: Progressing, /) -> dict[str, Any]:
    parts = session.parts
    return {
        "node": parts.name,
        "draining": parts.draining,
        "links": {name: dict(link.status()) for name, link in parts.links.items()},
        "apps": {name: dict(app.status()) for name, app in parts.apps.items()},
        "instruments": {
            name: {
                "state": each.status.state,
                "reason": each.status.reason,
                "readings": dict(each.status.readings),
            }
            for name, each in parts.rack.supervisors.items()
        },
        "peers": {name: each.state for name, each in parts.wire.peers.items()},
    }


async def _entangle(
    session: Session,
    progress: Progressing,
    /,
    *,
    peer: str = "",
    link: str = "",
    kind: RequestKind = "K",
    number: int = 1,
    fidelity: float = 0.5,
    within_s: float = 10.0,
    purpose: str = "app",
    near: dict[str, float] | None = None,
    far: dict[str, float] | None = None,
    **more: Any,
) -> int:
    wishes = {
        "kind": kind,
        "number": number,
        "minimum_fidelity": fidelity,
        "within_s": within_s,
        "purpose": purpose,
        "near": _measuring(near),
        "far": _measuring(far),
        **more,
    }
    return session.ask(session.link(peer, link), wishes)


async def _pair(session: Session, progress: Progressing, /, **wishes: Any) -> Any:
    """One pair, or the outcome of one, in one call."""
    request = await _entangle(session, progress, **wishes, number=1)
    try:
        return await session.next(request)
    finally:
        if session.has(request):  # it is over now, or its caller does not wait any more
            session.cancel(request)


def _measuring(shares: dict[str, float] | None) -> Measuring | None:
    if shares is None:
        return None
    return Measuring(tuple(shares), tuple(shares.values()))  # type: ignore[arg-type]


async def _accept(
    session: Session, progress: Progressing, /, *, purpose: str, peer: str = "", link: str = ""
) -> int:
    return session.take(session.link(peer, link), purpose)


async def _next(session: Session, progress: Progressing, /, *, request: int) -> Any:
    return await session.next(request)


async def _cancel(session: Session, progress: Progressing, /, *, request: int) -> None:
    session.cancel(request)


async def _measure_pair(
    session: Session, progress: Progressing, /, *, pair: int, basis: Basis = "Z"
) -> int:
    outcome = await session.pair(pair).measure(basis)
    session.done_with(pair)
    return outcome


async def _gate_pair(session: Session, progress: Progressing, /, *, pair: int, gate: str) -> None:
    await session.pair(pair).gate(gate)


async def _cnot_pair(
    session: Session, progress: Progressing, /, *, pair: int, qubit: int, reverse: bool = False
) -> None:
    _, number = session.qubit(qubit)
    half = session.pair(pair)
    await (half.cnot_onto(number) if reverse else half.cnot_from(number))


async def _release_pair(session: Session, progress: Progressing, /, *, pair: int) -> None:
    await session.pair(pair).release()
    session.done_with(pair)


async def _new_qubit(
    session: Session,
    progress: Progressing,
    /,
    *,
    peer: str = "",
    link: str = "",
    state: str = "0",
) -> int:
    found = session.link(peer, link)
    if not isinstance(found, MemoryLink):
        raise UserError("a photonic link has no memory", where=f"link {found.name}")
    handle = session.allocate(found)
    await found.device.device.initialise(session.qubit(handle)[1], state)
    return handle


async def _gate(
    session: Session, progress: Progressing, /, *, gate: str, qubits: list[int]
) -> None:
    found = [session.qubit(qubit) for qubit in qubits]
    await found[0][0].device.device.gate(gate, *(number for _, number in found))


async def _measure(
    session: Session, progress: Progressing, /, *, qubit: int, basis: Basis = "Z"
) -> int:
    link, number = session.qubit(qubit)
    outcome = await link.device.device.measure(number, basis)
    session.give_back(qubit)
    return outcome


async def _release(session: Session, progress: Progressing, /, *, qubit: int) -> None:
    link, number = session.qubit(qubit)
    await link.device.device.release(number)
    session.give_back(qubit)


async def _open_channel(
    session: Session, progress: Progressing, /, *, peer: str, channel: str
) -> None:
    session.channel(peer, channel)


async def _say(
    session: Session, progress: Progressing, /, *, peer: str, channel: str, body: dict[str, Any]
) -> bool:
    return session.channel(peer, channel).send(body)


async def _hear(
    session: Session, progress: Progressing, /, *, peer: str, channel: str
) -> dict[str, Any]:
    return dict(await session.channel(peer, channel).receive())


METHODS: Methods = {
    "status": _status,
    "entangle": _entangle,
    "pair": _pair,
    "accept": _accept,
    "next": _next,
    "cancel": _cancel,
    "pair.measure": _measure_pair,
    "pair.gate": _gate_pair,
    "pair.cnot": _cnot_pair,
    "pair.release": _release_pair,
    "qubit.new": _new_qubit,
    "qubit.gate": _gate,
    "qubit.measure": _measure,
    "qubit.release": _release,
    "channel": _open_channel,
    "say": _say,
    "hear": _hear,
}
