"""Node to node: ZeroMQ with CURVE, typed messages, and who is alive.

Each node is reached at one place, where peers speak to it, and connects to every peer to speak
itself. Delivery is at most once and in order: what a peer cannot take now is refused at `send`,
never kept for later.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from qnodeos.allowance import MALFORMED, RESTART, Allowance, cost_of
from qnodeos.config import WireTable
from qnodeos.envelope import (
    HEARTBEAT,
    MAX_MESSAGE_BYTES,
    SPOKEN,
    Envelope,
    NotUnderstood,
    Versions,
    common,
    mismatch,
    opened,
    told,
    understood,
)
from qnodeos.wire_carrier import Carrier, Fate
from qnodeos.wire_peer import Peer, PeerStatus
from qnodeos.wire_sockets import SocketCarrier

__all__ = ["PeerStatus", "Received", "Wire"]

log = logging.getLogger("qnodeos.wire")

_DRAIN_AT_ONCE = 16
"""Then it is the turn of everything else, so that a flood holds nothing up by more than 0.5 ms."""

_DRAIN_BEFORE_JUDGING = 256

BEHIND_S, BEHIND_MESSAGES = 1.0, 2000
"""So long without having read all, and who has sent most meanwhile, and so many, is held off: on a
busy machine he may be within his allowance, and what we do not read would fill our memory."""

TOLD_AGAIN_S = 60.0
"""What a peer does wrong is told once in so long, and is over when it has stopped for so long."""


M = TypeVar("M")


class Received(msgspec.Struct, Generic[M], frozen=True):
    """A message, its sender as proved by its key, and the loop time at which it was read."""

    peer: str
    boot: int
    sequence: int
    message: M
    received_s: float


class Wire(Generic[M]):
    """This node's connection to its peers.

    `message_type` is a msgspec struct or a tagged union of them. `on_peer` is called, on the loop,
    at every change: up, lost, restarted (same state, new `boot`), and when a peer is in `trouble`:
    it sends what cannot be understood, or so much that it is held off. A peer that is silent for
    `lost_after_s` is lost, and learns it if it lives: what only one end holds to be over would be
    used by the other. At most `waiting` messages wait for `receive`; what comes then is dropped and
    counted. `carrier` is what it stands on; by default sockets, as configured. `spoken` are the
    versions of the wire protocol that it speaks; with each peer it is the newest that both do.
    """

    def __init__(
        self,
        config: WireTable,
        name: str,
        message_type: Any,
        *,
        on_peer: Callable[[PeerStatus], None],
        heartbeat_s: float = 0.4,
        lost_after_s: float = 1.4,
        boot: int | None = None,
        waiting: int = 1000,
        carrier: Carrier | None = None,
        spoken: Versions = SPOKEN,
    ):
        self.name = name
        # 63 bits, so that it also fits the signed integers of databases.
        self.boot = secrets.randbits(63) if boot is None else boot
        self._config, self._spoken = config, spoken
        self._on_peer = on_peer
        self._heartbeat_s = heartbeat_s
        self._lost_after_s = lost_after_s
        self._encoder = msgspec.msgpack.Encoder()
        self._messages: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(message_type)
        self._queue: asyncio.Queue[Received[M]] = asyncio.Queue(waiting)
        self._take: Callable[[Received[M]], None] | None = None
        self._peers: dict[str, Peer] = {}
        self._carrier: Carrier = carrier or SocketCarrier(config, name)
        self._open = False
        self._timer: asyncio.TimerHandle | None = None
        self._next_heartbeat_s = 0.0
        self._reading_on = False
        self._behind_s: float | None = None

    @property
    def peers(self) -> dict[str, PeerStatus]:
        """All configured peers by name, as of now."""
        return {name: peer.status() for name, peer in self._peers.items()}

    @property
    def strangers(self) -> int:
        """Connections refused because their key is no peer's."""
        return self._carrier.strangers

    async def start(self) -> None:
        """Listen and begin to connect, with the keys read now; raises UserError."""
        self._loop = asyncio.get_running_loop()
        now_s = self._loop.time()
        self._peers = {
            name: Peer(name, peer.address, now_s, "not heard yet", Allowance(now_s))
            for name, peer in self._config.peers.items()
        }
        await self._carrier.open(told(self._spoken), self._drain, self._fate_of)
        self._open = True
        self._tick()

    def renew_keys(self) -> None:
        """Read the peers' keys again; a peer that is known by none is lost at once.

        Raises UserError, and then goes on with those that it has.
        """
        self._carrier.renew_keys()

    async def close(self) -> None:
        """Close all connections at once; may be called twice."""
        self._open = False
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._carrier.close()

    def send(self, peer: str, message: M) -> bool:
        """Hand a message to the peer's connection now; False (and counted) if it cannot take it.

        Raises KeyError for an unknown peer and ValueError for a message above 1 MiB.
        """
        to = self._peers[peer]
        if to.state != "up" or not self._post(to, self._encoder.encode(message)):
            to.counters.refused += 1
            return False
        to.counters.sent += 1
        return True

    async def receive(self) -> Received[M]:
        """The next message of any peer, in the order of arrival."""
        return await self._queue.get()

    def listen(self, take: Callable[[Received[M]], None] | None) -> None:
        """Call `take` with every message in the moment it is read, first with those that wait.

        None: they wait for `receive` again. What `take` raises is a mistake of the program and ends
        in the event loop's exception handler.
        """
        self._take = take
        while self._take is not None and not self._queue.empty():
            self._take(self._queue.get_nowait())

    # -- connections

    def _fate_of(self, name: str, fate: Fate, key: str) -> None:
        """Learn from the connection why a peer is not heard."""
        peer = self._peers[name]
        match fate:
            case "connected":
                self._agree(peer)
            case "closed":
                self._hung_up(peer)
            case "absent":
                self._explain(peer, f"no connection to {peer.address}")
            case "refused":
                self._explain(peer, f"{name} refuses our key {key}; has it our public key?")
            case "no handshake":
                self._explain(
                    peer, f"no handshake; is the public_key of {name} here, {key}, the right one?"
                )
            case "holds us off":
                self._explain(
                    peer, f"{name} holds us off for a while: what we sent was too much, or wrong"
                )
            case "unasked":
                self._hold_off(peer, "it sends on the connection that is for our words to it")
            case "revoked":
                text = f"no key of {name} holds here any more"
                self._hung_up(peer, text)
                self._explain(peer, text)

    def _agree(self, peer: Peer) -> None:
        """The newest version that both ends speak. One that says nothing gets our newest."""
        theirs = understood(self._carrier.says(peer.name)) or self._spoken
        peer.version = common(self._spoken, theirs)
        if peer.version is None:
            self._complain(peer, mismatch(self._spoken, theirs))
            return
        self._explain(peer, "connected, not heard yet")
        self._beat(peer)

    def _hung_up(self, peer: Peer, reason: str = "its connection was closed") -> None:
        """A process that dies closes its connections: no need to wait for its silence."""
        self._drain(_DRAIN_BEFORE_JUDGING)  # what it said last comes before its end
        if peer.state == "up":
            self._lose(peer, reason)
            self._tell(peer)

    def _lose(self, peer: Peer, reason: str) -> None:
        peer.state, peer.since_s, peer.reason = "lost", self._loop.time(), reason
        peer.losses_here += 1

    # -- sending

    def _post(self, peer: Peer, body: bytes) -> bool:
        if peer.version is None:
            return False
        envelope = Envelope(
            peer.version,
            self.boot,
            peer.sent + 1,
            msgspec.Raw(body),
            peer.losses_here,
            0 if peer.boot is None else peer.boot + peer.losses_there,
        )
        data = self._encoder.encode(envelope)
        if len(data) > MAX_MESSAGE_BYTES:
            raise ValueError(
                f"a message to {peer.name}: found {len(data)} bytes, "
                f"expected at most {MAX_MESSAGE_BYTES}"
            )
        if not self._carrier.send(peer.name, data):
            return False
        peer.sent += 1
        return True

    def _beat(self, peer: Peer) -> None:
        if peer.held_until_s is None:  # else both ends are to know that they do not speak
            self._post(peer, HEARTBEAT)

    def _tick(self) -> None:
        """Heartbeats out, silence noticed. Reads first: a stall of ours is not theirs."""
        self._drain(_DRAIN_BEFORE_JUDGING)
        now_s = self._loop.time()
        if now_s >= self._next_heartbeat_s:
            self._next_heartbeat_s = now_s + self._heartbeat_s
            for peer in self._peers.values():
                self._beat(peer)
        soonest_s = self._next_heartbeat_s
        changed: list[Peer] = []
        for peer in self._peers.values():
            if peer.state == "up":
                lost_s = peer.heard_s + self._lost_after_s
                if now_s >= lost_s:
                    self._lose(peer, f"silent for {now_s - peer.heard_s:.1f} s")
                    changed.append(peer)
                else:
                    soonest_s = min(soonest_s, lost_s)
            if self._forgiven(peer, now_s) and peer not in changed:
                changed.append(peer)
        self._timer = self._loop.call_at(max(soonest_s, now_s + 0.005), self._tick)
        for peer in changed:
            self._tell(peer)

    # -- receiving

    def _read_on(self) -> None:
        self._reading_on = False
        now_s = self._loop.time()
        if self._behind_s is None:
            self._behind_s = now_s
            for peer in self._peers.values():
                peer.taken = 0
        elif now_s >= self._behind_s + BEHIND_S:
            self._behind_s = None
            most = max(self._peers.values(), key=lambda peer: peer.taken)
            if most.taken >= BEHIND_MESSAGES:
                self._hold_off(most, "it sends faster than this node can read")
        self._drain()

    def _drain(self, most: int = _DRAIN_AT_ONCE) -> None:
        """Read what has arrived. A carrier signals once, so it has to be read to the end."""
        finished = False
        try:
            for _ in range(most):
                arrived = self._carrier.take() if self._open else None
                if arrived is None:
                    finished = True
                    self._behind_s = None
                    return
                self._accept(*arrived)
        finally:
            # One goes on at a time: each signal would add another, and together they would hold
            # everything up.
            if not finished and not self._reading_on:
                self._reading_on = True
                self._loop.call_soon(self._read_on)

    def _accept(self, name: str, parts: list[bytes]) -> None:
        peer = self._peers[name]
        now_s = self._loop.time()
        peer.taken += 1
        if not peer.allowance.covers(cost_of(sum(len(part) for part in parts)), now_s):
            self._hold_off(peer, "it sends more than a node has to say")
            return
        if len(parts) != 1:
            self._complain(peer, f"found {len(parts)} message parts, expected one")
            return
        message: M | None = None
        try:
            envelope = opened(parts[0], self._spoken)
            if bytes(envelope.body) != HEARTBEAT:
                message = self._messages.decode(envelope.body)
        except NotUnderstood as problem:
            self._complain(peer, str(problem))
            return
        except msgspec.DecodeError as error:
            self._complain(peer, f"a message cannot be understood: {error}")
            return
        if not self._numbered(peer, envelope, now_s) or message is None:
            return
        peer.counters.received += 1
        received = Received(peer.name, envelope.boot, envelope.sequence, message, now_s)
        if self._take is not None:
            self._take(received)
            return
        try:
            self._queue.put_nowait(received)
        except asyncio.QueueFull:
            peer.counters.dropped += 1

    def _numbered(self, peer: Peer, envelope: Envelope, now_s: float) -> bool:
        """Take note of a sign of life; False for what is not to be listened to."""
        restarted = peer.boot is not None and envelope.boot != peer.boot
        if envelope.boot != peer.boot:
            if envelope.boot in peer.old_boots:
                peer.counters.repeated += 1
                return False
            if restarted and not peer.allowance.covers(RESTART, now_s):
                self._hold_off(peer, "it says again and again that it is a new process")
                return False
            if peer.boot is not None:
                peer.old_boots.append(peer.boot)
            peer.boot, peer.sequence = envelope.boot, envelope.sequence
            peer.losses_there = envelope.losses
        elif envelope.sequence <= peer.sequence:
            peer.counters.repeated += 1
            return False
        else:
            peer.counters.missed += envelope.sequence - peer.sequence - 1
            peer.sequence = envelope.sequence
        peer.heard_s = now_s
        over = restarted or envelope.losses != peer.losses_there
        reason = "" if not over else "restarted" if restarted else "it had lost this node"
        peer.losses_there = envelope.losses
        outdated = envelope.knows not in (0, self.boot + peer.losses_here)
        if peer.state == "up" and (outdated or (over and not restarted)):
            # As if we had lost it: what we had in common is over, for both.
            peer.state, peer.since_s, peer.reason = "lost", now_s, reason
            self._tell(peer)
        if outdated:
            # It speaks of what was before; it will have to hear that this is over.
            peer.counters.outdated += 1
            self._beat(peer)
            return False
        if restarted or peer.state != "up":
            peer.state, peer.since_s, peer.trouble = "up", now_s, ""
            peer.reason = reason
            self._tell(peer)
        return True

    def _hold_off(self, peer: Peer, why: str) -> None:
        """End its connections and take nothing of it for a while."""
        now_s = self._loop.time()
        span_s = peer.allowance.hold_s(now_s)
        peer.held_until_s = now_s + span_s
        peer.counters.held_off += 1
        self._carrier.hold_off(peer.name)
        if peer.state == "up":
            self._lose(peer, why)
        peer.trouble = peer.reason = f"held off for {span_s:.0f} s: {why}"
        peer.troubled_s = peer.told_s = now_s
        self._tell(peer)

    def _forgiven(self, peer: Peer, now_s: float) -> bool:
        """Let it in again when its time is over; True when what it did is long ago."""
        if peer.held_until_s is not None:
            if now_s < peer.held_until_s:
                return False
            peer.held_until_s, peer.troubled_s = None, now_s
            peer.reason = "let in again, not heard yet"
            self._carrier.let_in(peer.name)
        if not peer.trouble or now_s < peer.troubled_s + TOLD_AGAIN_S:
            return False
        peer.trouble = ""
        return True

    # -- telling

    def _complain(self, peer: Peer, text: str) -> None:
        peer.counters.malformed += 1
        now_s = self._loop.time()
        peer.trouble = peer.reason = text
        peer.troubled_s = now_s
        if now_s >= peer.told_s + TOLD_AGAIN_S:
            peer.told_s = now_s
            self._tell(peer)
        if not peer.allowance.covers(MALFORMED, now_s):
            self._hold_off(peer, f"again and again, {text}")

    def _explain(self, peer: Peer, text: str) -> None:
        if peer.state != "up" and not peer.trouble and text != peer.reason:
            peer.reason = text
            self._tell(peer)

    def _tell(self, peer: Peer) -> None:
        level = logging.WARNING if peer.trouble else logging.INFO
        log.log(level, "%s: peer %s is %s. %s", self.name, peer.name, peer.state, peer.reason)
        self._on_peer(peer.status())
