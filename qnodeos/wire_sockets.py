"""The ZeroMQ sockets of the wire: one to be reached by all, one to reach each peer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import parse_monitor_message

from qnodeos.config import WireTable
from qnodeos.errors import UserError
from qnodeos.key_ring import KeyRing, PeerKey, fingerprint, peer_keys
from qnodeos.keys import KeyPair, load_key_pair
from qnodeos.wire_carrier import Fate, OnFate
from qnodeos.wire_ends import Context, Socket, end_connection, listening, reaching
from qnodeos.zap import HELD_OFF, KeyGate

_AGAIN_S = 1.0
_ENDED_KEPT = 4096

_FATES: dict[int, Fate] = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: "connected",
    zmq.EVENT_DISCONNECTED: "closed",
    zmq.EVENT_CONNECT_RETRIED: "absent",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "refused",
}


@dataclass(slots=True)
class _Reach:
    """The way to one peer."""

    address: str
    key: bytes
    dealer: Socket
    monitor: Socket
    retry: asyncio.TimerHandle | None = None

    @property
    def speaks(self) -> bool:
        """Something has come by the connection that is for our words."""
        return bool(int(self.dealer.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


class SocketCarrier:
    """ZeroMQ with CURVE: a ROUTER that admits the peers' keys, a DEALER to each. Needs a selector
    loop."""

    def __init__(self, config: WireTable, name: str):
        self._config, self._name = config, name
        self._context: Context | None = None
        self._router: Socket | None = None
        self._gate: KeyGate | None = None
        self._reach: dict[str, _Reach] = {}
        self._strangers = 0
        self._held: set[str] = set()
        self._ended: dict[bytes, str] = {}  # by route, of which libzmq gives none a second time

    @property
    def strangers(self) -> int:
        """See Carrier."""
        return self._strangers + (self._gate.strangers if self._gate else 0)

    def open(self, on_message: Callable[[], None], on_fate: OnFate) -> None:
        """See Carrier."""
        self._loop = asyncio.get_running_loop()
        self._on_fate = on_fate
        self._own, keys = self._keys()
        self._ring = KeyRing(keys)
        self._context = zmq.Context()
        try:
            self._gate = KeyGate(self._context, self._ring)
            self._router = listening(self._context, self._own, self._config.listen, self._name)
            for name in self._config.peers:
                self._connect(name)
        except BaseException:
            self.close()
            raise
        self._loop.add_reader(self._router.fileno(), on_message)

    def send(self, peer: str, data: bytes) -> bool:
        """See Carrier."""
        reach = self._reach.get(peer)
        if reach is None:
            return False
        try:
            reach.dealer.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        # Sending may have swallowed the signal that something came.
        if reach.speaks:
            self._loop.call_soon(self._unasked, peer)
        return True

    def take(self) -> tuple[str, list[memoryview]] | None:
        """See Carrier."""
        if self._router is None:
            return None
        try:
            route = self._router.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
        ended = self._ended.get(route)
        if ended is not None:
            return ended, []
        # A key is proved once, at the handshake: one that holds no longer is met here.
        name = self._ring.owner(str(frames[-1].get("User-Id")).encode())
        if name is not None and name not in self._held:
            return name, [frame.buffer for frame in frames]
        self._strangers += name is None
        end_connection(frames[-1], self._router)
        self._ended[route] = name or ""
        if len(self._ended) > _ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
        return name or "", []

    def close(self) -> None:
        """See Carrier."""
        for name in tuple(self._reach):
            self._disconnect(name)
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

    def renew_keys(self) -> None:
        """See Carrier. Our own key changes only with a restart."""
        _, keys = self._keys()
        self._ring = KeyRing(keys)
        if self._gate is not None:
            self._gate.ring = self._ring
        for name in self._config.peers:
            may = self._ring.of(name)
            reach = self._reach.get(name)
            if reach is not None and reach.key not in may:
                self._disconnect(name)
                self._on_fate(name, "closed", fingerprint(reach.key))
            if name not in self._reach:
                self._connect(name)

    def hold_off(self, peer: str) -> None:
        """See Carrier."""
        self._held.add(peer)
        if self._gate is not None:
            self._gate.held = frozenset(self._held)

    def let_in(self, peer: str) -> None:
        """See Carrier."""
        self._held.discard(peer)
        if self._gate is not None:
            self._gate.held = frozenset(self._held)
        if self._context is not None and peer not in self._reach:
            self._connect(peer)

    def _connect(self, name: str) -> None:
        """Reach a peer by its present key, if it has one that holds."""
        may, address = self._ring.of(name), self._config.peers[name].address
        if not may:
            self._on_fate(name, "revoked", "")
        if not may or self._context is None:
            return
        sockets = reaching(self._context, self._own, address, may[0])
        self._reach[name] = _Reach(address, may[0], *sockets)
        self._loop.add_reader(sockets[1].fileno(), self._watch, name)
        self._loop.add_reader(sockets[0].fileno(), self._unasked, name)
        self._watch(name)

    def _disconnect(self, name: str) -> None:
        reach = self._reach.pop(name)
        if reach.retry:
            reach.retry.cancel()
        self._loop.remove_reader(reach.monitor.fileno())
        self._loop.remove_reader(reach.dealer.fileno())
        reach.dealer.disable_monitor()
        reach.monitor.close(linger=0)
        reach.dealer.close(linger=0)

    def _keys(self) -> tuple[KeyPair, list[PeerKey]]:
        """Our keys and those of all peers; raises UserError."""
        own = load_key_pair(self._config.secret_key)
        names: dict[bytes, str] = {own.public: self._name}
        keys = peer_keys(self._config)
        for key in keys:
            if key.public in names:
                file = self._config.peers[key.peer].public_key
                raise UserError(
                    "two nodes have the same key",
                    where=f"{file} (wire.peers.{key.peer}.public_key)",
                    found=f"the key of {names[key.public]}",
                    expected="a key of its own for every node",
                    do=f"make keys for {key.peer} with `qnodeos keys new {key.peer}`",
                )
            names[key.public] = key.peer
        return own, keys

    def _watch(self, name: str) -> None:
        """Learn from the connection why a peer is not heard."""
        while reach := self._reach.get(name):
            try:
                event = parse_monitor_message(reach.monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            fate = _FATES.get(event["event"], "no handshake")
            if fate == "refused" and event["value"] == HELD_OFF:
                fate = "holds us off"
            about = self._own.public if fate == "refused" else reach.key
            self._on_fate(name, fate, fingerprint(about))
            if fate in ("refused", "no handshake", "holds us off"):
                self._connect_again(name, reach)

    def _unasked(self, name: str) -> None:
        """A node only speaks on the connections that it makes itself. What comes on ours is not
        read, and so would be kept without end."""
        reach = self._reach.get(name)
        if reach is not None and reach.speaks:
            self._disconnect(name)
            self._on_fate(name, "unasked", fingerprint(reach.key))

    def _connect_again(self, name: str, reach: _Reach) -> None:
        # libzmq gives a connection up for good when its handshake is refused; the far end's
        # operator may correct the keys and restart only his node.
        def again() -> None:
            reach.retry = None
            if not reach.dealer.closed:
                with suppress(zmq.ZMQError):  # the old connection may have removed itself
                    reach.dealer.disconnect(reach.address)
                # Between two keys of a peer it is not known which one it has by now: in turn.
                may = self._ring.of(name)
                if may:
                    turn = may.index(reach.key) + 1 if reach.key in may else 0
                    reach.key = reach.dealer.curve_serverkey = may[turn % len(may)]
                reach.dealer.connect(reach.address)

        if reach.retry is None:
            reach.retry = self._loop.call_later(_AGAIN_S, again)
