"""Node to node: ZeroMQ with CURVE, typed messages, and who is alive.

Each node binds one ROUTER and connects one DEALER to every peer. Delivery is at most once and in
order: what a peer cannot take now is refused at `send`, never kept for later.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from qnodeos.config import WireTable
from qnodeos.envelope import (
    HEARTBEAT,
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    Envelope,
    NotUnderstood,
    opened,
)
from qnodeos.errors import UserError
from qnodeos.keys import KeyPair, load_key_pair, load_public_key
from qnodeos.wire_sockets import Context, Socket, listening, reaching
from qnodeos.zap import KeyGate

log = logging.getLogger("qnodeos.wire")

_DRAIN_AT_ONCE = 256
_OLD_BOOTS = 32

M = TypeVar("M")
PeerState = Literal["up", "lost", "never"]


@dataclass(slots=True)
class PeerCounters:
    """Since the start of this node. `refused`: not sent; `dropped`: our queue was full; `missed`:
    gaps in the peer's numbering; `repeated`: duplicates and replays, thrown away."""

    sent: int = 0
    received: int = 0
    refused: int = 0
    dropped: int = 0
    missed: int = 0
    repeated: int = 0
    malformed: int = 0


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer as seen from here; times are those of the event loop's clock."""

    name: str
    state: PeerState
    boot: int | None
    since_s: float
    reason: str
    counters: PeerCounters


@dataclass(frozen=True, slots=True)
class Received(Generic[M]):
    """A message, its sender as proved by its key, and the loop time at which it was read."""

    peer: str
    boot: int
    sequence: int
    message: M
    received_s: float


@dataclass(slots=True)
class _Peer:
    name: str
    address: str
    public_key: bytes
    since_s: float
    reason: str
    dealer: Socket | None = None
    monitor: Socket | None = None
    retry: asyncio.TimerHandle | None = None
    state: PeerState = "never"
    heard_s: float = 0.0
    boot: int | None = None
    sequence: int = 0
    sent: int = 0
    complaint: str = ""
    old_boots: deque[int] = field(default_factory=lambda: deque(maxlen=_OLD_BOOTS))
    counters: PeerCounters = field(default_factory=PeerCounters)


class Wire(Generic[M]):
    """This node's connection to its peers.

    `message_type` is a msgspec struct or a tagged union of them. `on_peer` is called, on the loop,
    at every change: up, lost, restarted (same state, new `boot`), and when a peer starts to send
    what cannot be understood. A peer that is silent for `lost_after_s` is lost. At most `waiting`
    messages wait for `receive`; what comes then is dropped and counted.
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
    ):
        self.name = name
        # 63 bits, so that it also fits the signed integers of databases.
        self.boot = secrets.randbits(63) if boot is None else boot
        self._config = config
        self._on_peer = on_peer
        self._heartbeat_s = heartbeat_s
        self._lost_after_s = lost_after_s
        self._encoder = msgspec.msgpack.Encoder()
        self._messages: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(message_type)
        self._queue: asyncio.Queue[Received[M]] = asyncio.Queue(waiting)
        self._peers: dict[str, _Peer] = {}
        self._context: Context | None = None
        self._router: Socket | None = None
        self._gate: KeyGate | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_heartbeat_s = 0.0

    @property
    def peers(self) -> dict[str, PeerStatus]:
        """All configured peers by name, as of now."""
        return {name: self._status(peer) for name, peer in self._peers.items()}

    @property
    def strangers(self) -> int:
        """Connections refused because their key is no peer's."""
        return self._gate.strangers if self._gate else 0

    async def start(self) -> None:
        """Read the keys, listen and begin to connect; raises UserError. Needs a selector loop."""
        self._loop = asyncio.get_running_loop()
        own = load_key_pair(self._config.secret_key)
        names: dict[bytes, str] = {own.public: self.name}
        now_s = self._loop.time()
        for name, peer in self._config.peers.items():
            key = load_public_key(peer.public_key)
            if key in names:
                raise UserError(
                    "two nodes have the same key",
                    where=f"{peer.public_key} (wire.peers.{name}.public_key)",
                    found=f"the key of {names[key]}",
                    expected="a key of its own for every node",
                    do=f"make keys for {name} with `qnodeos keys new {name}`",
                )
            names[key] = name
            self._peers[name] = _Peer(name, peer.address, key, now_s, "not heard yet")
        del names[own.public]
        self._context = zmq.Context()
        try:
            self._gate = KeyGate(self._context, names)
            self._router = listening(self._context, own, self._config.listen, self.name)
            for state in self._peers.values():
                self._connect(state, self._context, own)
        except BaseException:
            await self.close()
            raise
        self._loop.add_reader(self._router.fileno(), self._drain)
        self._tick()

    async def close(self) -> None:
        """Close all sockets at once; may be called twice."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for peer in self._peers.values():
            if peer.retry:
                peer.retry.cancel()
            if peer.monitor and peer.dealer:
                self._loop.remove_reader(peer.monitor.fileno())
                peer.dealer.disable_monitor()
                peer.monitor.close(linger=0)
            if peer.dealer:
                peer.dealer.close(linger=0)
            peer.dealer = peer.monitor = peer.retry = None
        if self._router:
            self._loop.remove_reader(self._router.fileno())
            self._router.close(linger=0)
            self._router = None
        if self._gate:
            self._gate.close()
            self._gate = None
        if self._context:
            self._context.term()
            self._context = None

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

    # -- sockets

    def _connect(self, peer: _Peer, context: Context, own: KeyPair) -> None:
        peer.dealer, peer.monitor = reaching(context, own, peer.address, peer.public_key)
        self._loop.add_reader(peer.monitor.fileno(), self._watch, peer)
        self._watch(peer)

    def _watch(self, peer: _Peer) -> None:
        """Learn from the connection why a peer is not heard."""
        while peer.monitor:
            try:
                event = parse_monitor_message(peer.monitor.recv_multipart(zmq.NOBLOCK))["event"]
            except zmq.Again:
                return
            match event:
                case zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._explain(peer, "connected, not heard yet")
                    self._post(peer, HEARTBEAT)
                case zmq.EVENT_DISCONNECTED:
                    self._hung_up(peer)
                case zmq.EVENT_CONNECT_RETRIED:
                    self._explain(peer, f"no connection to {peer.address}")
                case zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    self._explain(peer, "it refuses our key; has it our public key?")
                    self._connect_again(peer)
                case _:
                    self._explain(peer, "no handshake; is its public_key here the right one?")
                    self._connect_again(peer)

    def _hung_up(self, peer: _Peer) -> None:
        """A process that dies closes its connections: no need to wait for its silence."""
        self._drain()  # what it said last comes before its end
        if peer.state == "up":
            peer.state, peer.since_s = "lost", self._loop.time()
            peer.reason = "its connection was closed"
            self._tell(peer)

    def _connect_again(self, peer: _Peer) -> None:
        # libzmq gives a connection up for good when its handshake is refused; the far end's
        # operator may correct the keys and restart only his node.
        def again() -> None:
            peer.retry = None
            if peer.dealer:
                with suppress(zmq.ZMQError):  # the old connection may have removed itself
                    peer.dealer.disconnect(peer.address)
                peer.dealer.connect(peer.address)

        if peer.retry is None:
            peer.retry = self._loop.call_later(1.0, again)

    # -- sending

    def _post(self, peer: _Peer, body: bytes) -> bool:
        if peer.dealer is None:
            return False
        envelope = Envelope(PROTOCOL_VERSION, self.boot, peer.sent + 1, msgspec.Raw(body))
        data = self._encoder.encode(envelope)
        if len(data) > MAX_MESSAGE_BYTES:
            raise ValueError(
                f"a message to {peer.name}: found {len(data)} bytes, "
                f"expected at most {MAX_MESSAGE_BYTES}"
            )
        try:
            peer.dealer.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        peer.sent += 1
        return True

    def _tick(self) -> None:
        """Heartbeats out, silence noticed. Reads first: a stall of ours is not theirs."""
        self._drain()
        now_s = self._loop.time()
        if now_s >= self._next_heartbeat_s:
            self._next_heartbeat_s = now_s + self._heartbeat_s
            for peer in self._peers.values():
                self._post(peer, HEARTBEAT)
        soonest_s = self._next_heartbeat_s
        changed: list[_Peer] = []
        for peer in self._peers.values():
            if peer.state == "up":
                lost_s = peer.heard_s + self._lost_after_s
                if now_s >= lost_s:
                    peer.state, peer.since_s = "lost", now_s
                    peer.reason = f"silent for {now_s - peer.heard_s:.1f} s"
                    changed.append(peer)
                else:
                    soonest_s = min(soonest_s, lost_s)
        self._timer = self._loop.call_at(max(soonest_s, now_s + 0.005), self._tick)
        for peer in changed:
            self._tell(peer)

    # -- receiving

    def _drain(self) -> None:
        """Read what has arrived. ZeroMQ signals once, so it has to be read to the end."""
        finished = False
        try:
            for _ in range(_DRAIN_AT_ONCE):
                if self._router is None:
                    finished = True
                    return
                try:
                    frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    finished = True
                    return
                self._accept(frames)
        finally:
            if not finished:
                self._loop.call_soon(self._drain)

    def _accept(self, frames: list[zmq.Frame]) -> None:
        peer = self._peers[str(frames[-1].get("User-Id"))]
        if len(frames) != 2:
            self._complain(peer, f"found {len(frames) - 1} message parts, expected one")
            return
        message: M | None = None
        try:
            envelope = opened(frames[1].buffer)
            if bytes(envelope.body) != HEARTBEAT:
                message = self._messages.decode(envelope.body)
        except NotUnderstood as problem:
            self._complain(peer, str(problem))
            return
        except msgspec.DecodeError as error:
            self._complain(peer, f"a message cannot be understood: {error}")
            return
        now_s = self._loop.time()
        if not self._numbered(peer, envelope, now_s) or message is None:
            return
        peer.counters.received += 1
        try:
            self._queue.put_nowait(
                Received(peer.name, envelope.boot, envelope.sequence, message, now_s)
            )
        except asyncio.QueueFull:
            peer.counters.dropped += 1

    def _numbered(self, peer: _Peer, envelope: Envelope, now_s: float) -> bool:
        """Take note of a sign of life; False for a duplicate or a replay."""
        restarted = peer.boot is not None and envelope.boot != peer.boot
        if envelope.boot != peer.boot:
            if envelope.boot in peer.old_boots:
                peer.counters.repeated += 1
                return False
            if peer.boot is not None:
                peer.old_boots.append(peer.boot)
            peer.boot, peer.sequence = envelope.boot, envelope.sequence
        elif envelope.sequence <= peer.sequence:
            peer.counters.repeated += 1
            return False
        else:
            peer.counters.missed += envelope.sequence - peer.sequence - 1
            peer.sequence = envelope.sequence
        peer.heard_s = now_s
        if restarted or peer.state != "up":
            peer.state, peer.since_s, peer.complaint = "up", now_s, ""
            peer.reason = "restarted" if restarted else ""
            self._tell(peer)
        return True

    # -- telling

    def _complain(self, peer: _Peer, text: str) -> None:
        peer.counters.malformed += 1
        if text != peer.complaint:
            peer.complaint = peer.reason = text
            self._tell(peer)

    def _explain(self, peer: _Peer, text: str) -> None:
        if peer.state != "up" and not peer.complaint and text != peer.reason:
            peer.reason = text
            self._tell(peer)

    def _tell(self, peer: _Peer) -> None:
        log.info("%s: peer %s is %s. %s", self.name, peer.name, peer.state, peer.reason)
        self._on_peer(self._status(peer))

    def _status(self, peer: _Peer) -> PeerStatus:
        counters = PeerCounters(*(getattr(peer.counters, name) for name in PeerCounters.__slots__))
        return PeerStatus(peer.name, peer.state, peer.boot, peer.since_s, peer.reason, counters)
