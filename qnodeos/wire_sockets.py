"""The sockets of the wire: one place to be reached by all, one connection to each peer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from zmq.utils import z85

from qnodeos.config import WireTable
from qnodeos.curve import Client, Server
from qnodeos.errors import UserError
from qnodeos.key_gate import KeyGate
from qnodeos.key_ring import KeyRing, PeerKey, fingerprint, peer_keys
from qnodeos.keys import KeyPair, load_key_pair
from qnodeos.wire_carrier import Fate, OnFate
from qnodeos.wire_connection import End, Incoming, Outgoing
from qnodeos.wire_place import ACCEPTED_AT_ONCE, host_and_port, listening

_CONNECT_S = 1.0
_FIRST_AGAIN_S, _LONGEST_AGAIN_S = 0.05, 0.5
_REFUSED_AGAIN_S = 1.0
_UNPROVED = 64
"""Connections whose handshake goes on; one more, and the oldest is hung up on."""

_EACH = 4
"""Connections that a peer may have to us; one more, and its oldest is hung up on."""

_FATES: dict[End, Fate] = {
    "closed": "closed",
    "refused": "refused",
    "held off": "holds us off",
    "no handshake": "no handshake",
    "unasked": "unasked",
}


@dataclass(slots=True)
class _Reach:
    """The way to one peer: by which of its keys (Z85), and what keeps it."""

    key: bytes
    connection: Outgoing | None = None
    task: asyncio.Task[None] | None = None


def _same(connection: Outgoing) -> Outgoing:
    return connection


class SocketCarrier:
    """ZeroMQ's wire protocol with CURVE on the event loop: peers reach us at `wire.listen`, and we
    reach each of them. Any DEALER and ROUTER of libzmq may be at the far end."""

    def __init__(self, config: WireTable, name: str):
        self._config, self._name = config, name
        self._server: asyncio.Server | None = None
        self._gate: KeyGate | None = None
        self._reaching: dict[str, _Reach] = {}
        self._in: dict[Incoming, str] = {}
        """Whose it is; of nobody until that is proved."""
        self._unread: dict[Incoming, None] = {}  # a set that keeps its order
        self._revoked = 0

    @property
    def strangers(self) -> int:
        """See Carrier."""
        return self._revoked + (self._gate.strangers if self._gate else 0)

    async def open(self, says: str, on_message: Callable[[], None], on_fate: OnFate) -> None:
        """See Carrier."""
        self._says = says
        self._loop = asyncio.get_running_loop()
        self._on_message, self._on_fate = on_message, on_fate
        self._own, keys = self._keys()
        self._own_keys = z85.decode(self._own.public), z85.decode(self._own.secret)
        self._gate = KeyGate(KeyRing(keys), self._loop.time)
        self._server = await self._loop.create_server(
            self._incoming,
            sock=listening(self._config.listen, self._name),
            backlog=ACCEPTED_AT_ONCE,
        )
        for name in self._config.peers:
            self._reach(name)

    def send(self, peer: str, data: bytes) -> bool:
        """See Carrier."""
        reach = self._reaching.get(peer)
        return reach is not None and reach.connection is not None and reach.connection.say(data)

    def take(self) -> tuple[str, list[bytes]] | None:
        """See Carrier. Of each connection in turn, so that none waits for another's flood."""
        while self._unread:
            there = next(iter(self._unread))
            del self._unread[there]
            parts = there.take()
            if parts is None:
                continue
            # A key is proved once, at the handshake: one that holds no longer is met here.
            name = self._owner(there)
            if name is None:
                self._revoked += 1
                there.drop()
                continue
            self._unread[there] = None
            return name, parts
        return None

    def close(self) -> None:
        """See Carrier."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for name in tuple(self._reaching):
            self._leave(name)
        for there in tuple(self._in):
            there.drop()
        self._in.clear()
        self._unread.clear()

    def says(self, peer: str) -> str:
        """See Carrier."""
        reach = self._reaching.get(peer)
        return reach.connection.far_says if reach is not None and reach.connection else ""

    def renew_keys(self) -> None:
        """See Carrier. Our own key changes only with a restart."""
        _, keys = self._keys()
        if self._gate is None:
            return
        ring = self._gate.ring = KeyRing(keys)
        for there, name in self._in.items():
            if name and self._owner(there) != name:
                there.drop()
        for name in self._config.peers:
            reach = self._reaching.get(name)
            if reach is not None and reach.key not in ring.of(name):
                self._leave(name)
                self._on_fate(name, "closed", fingerprint(reach.key))
            self._reach(name)

    def hold_off(self, peer: str) -> None:
        """See Carrier."""
        if self._gate is not None:
            self._gate.held.add(peer)
        for there, name in self._in.items():
            if name == peer:
                there.drop()

    def let_in(self, peer: str) -> None:
        """See Carrier."""
        if self._gate is not None:
            self._gate.held.discard(peer)
            self._reach(peer)

    # -- who reaches us

    def _incoming(self) -> Incoming:
        # What strangers can hold open has a bound, and who has proved nothing for longest goes.
        unproved = [there for there, name in self._in.items() if not name]
        if len(unproved) >= _UNPROVED:
            self._end(unproved[0])
        assert self._gate is not None
        there = Incoming(Server(*self._own_keys), self._says, self._gate.refusal, self._news)
        self._in[there] = ""
        return there

    def _news(self, there: Incoming) -> None:
        """It is proved whose it is, or it has said something, or it has ended."""
        if there not in self._in:
            return
        if not there.open:
            del self._in[there]
            return
        if not self._in[there]:
            name = self._in[there] = self._owner(there) or ""
            of_peer = [each for each, whose in self._in.items() if whose == name]
            if len(of_peer) > _EACH:
                self._end(of_peer[0])
            return
        self._unread[there] = None
        self._on_message()

    def _end(self, there: Incoming) -> None:
        del self._in[there]
        there.drop()

    def _owner(self, there: Incoming) -> str | None:
        return self._gate.ring.owner(there.public) if self._gate is not None else None

    # -- whom we reach

    def _reach(self, name: str) -> None:
        """Reach a peer by its present key, if it has one that holds, and if we do not yet."""
        if name in self._reaching or self._server is None or self._gate is None:
            return
        may = self._gate.ring.of(name)
        if not may:
            self._on_fate(name, "revoked", "")
            return
        reach = self._reaching[name] = _Reach(may[0])
        reach.task = self._loop.create_task(self._keep(name, reach))

    async def _keep(self, name: str, reach: _Reach) -> None:
        """Connect, and connect again when that has ended."""
        host, port = host_and_port(self._config.peers[name].address)
        again_s = _FIRST_AGAIN_S
        while True:
            client = Client(*self._own_keys, z85.decode(reach.key))
            there = reach.connection = Outgoing(
                client, self._says, lambda: self._changed(name, reach)
            )
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await self._loop.create_connection(partial(_same, there), host, port)
            except OSError:  # a TimeoutError is one
                there.drop()
                self._loop.call_soon(self._absent, name, reach)
                await asyncio.sleep(again_s)
                again_s = min(2 * again_s, _LONGEST_AGAIN_S)
                continue
            again_s = _FIRST_AGAIN_S
            await there.over
            await asyncio.sleep(again_s if there.end == "closed" else _REFUSED_AGAIN_S)
            if there.end != "closed":
                self._turn(name, reach)

    def _absent(self, name: str, reach: _Reach) -> None:
        if self._reaching.get(name) is reach:
            self._on_fate(name, "absent", fingerprint(reach.key))

    def _turn(self, name: str, reach: _Reach) -> None:
        """Between two keys of a peer it is not known which one it has by now: in turn."""
        may = self._gate.ring.of(name) if self._gate is not None else []
        if may:
            turn = may.index(reach.key) + 1 if reach.key in may else 0
            reach.key = may[turn % len(may)]

    def _changed(self, name: str, reach: _Reach) -> None:
        there = reach.connection
        if self._reaching.get(name) is not reach or there is None:
            return
        fate: Fate = "connected" if there.open else _FATES[there.end]
        if fate == "unasked":
            self._leave(name)
        about = self._own.public if fate == "refused" else reach.key
        self._on_fate(name, fate, fingerprint(about))

    def _leave(self, name: str) -> None:
        reach = self._reaching.pop(name)
        if reach.task is not None:
            reach.task.cancel()
        if reach.connection is not None:
            reach.connection.drop()

    # -- keys

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
