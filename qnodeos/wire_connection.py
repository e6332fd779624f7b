"""One connection of the wire on the event loop: to a peer for our words, or of a peer for its own.

Here and not in libzmq's own thread, as each change of thread costs more than all of the
cryptography (decision 0038).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, cast

from zmq.utils import z85

from qnodeos.curve import COMMAND, MORE, Broken, Client, Denied, Server, Session
from qnodeos.envelope import MAX_MESSAGE_BYTES
from qnodeos.zmtp import Frames, check_greeting, frame, greeting, properties, read_properties

HANDSHAKE_S = 5.0
"""Who has not proved its key by then is hung up on."""

PING_S, PING_TTL_S = 1.0, 3.0
"""A connection whose far end has vanished without a word is closed after the second."""

_SHORT_BYTES = 2048  # of anything in a handshake
_LONG_BYTES = MAX_MESSAGE_BYTES + 64
_MOST_PARTS = 16
_UNREAD_BYTES = 2 * _LONG_BYTES
_UNSENT_BYTES = 4 * MAX_MESSAGE_BYTES
_MOST_COMMANDS = 100
"""In `PING_S`. Each is answered, and none counts as a message."""

_AT_ONCE = 3
"""Words of one turn of the loop that are not held back for others."""

_PING, _PONG = b"\x04PING", b"\x04PONG"

End = Literal["closed", "refused", "held off", "no handshake", "unasked"]


class _Connection(asyncio.Protocol):
    """Greeting, frames and pings, as both ends have them; a subclass knows the handshake."""

    _server: bool

    def __init__(self, says: str) -> None:
        self.far_says = ""
        """What the far end says of itself in the handshake."""
        self.session: Session | None = None
        """Once the far end has proved who it is, and has let us in."""
        self.end: End = "no handshake"
        self._says = says
        self._transport: asyncio.Transport | None = None
        self._frames = Frames(_SHORT_BYTES)
        self._greeted = self._begun = False
        self._commands = 0
        self._heard_s = 0.0
        self._silent_s = HANDSHAKE_S
        self._watch: asyncio.TimerHandle | None = None
        self._paused = False
        self._dropped = False
        self._held = bytearray()
        self._at_once = _AT_ONCE

    @property
    def open(self) -> bool:
        """It has not ended."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        transport = self._transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._look()
        transport.write(greeting(server=self._server))

    def connection_lost(self, _error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        self._lost()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._frames.feed(data)
        if self.session is not None:
            self._heard_s = self._loop.time()
        try:
            self._advance()
        except Denied as denied:
            self._drop("held off" if str(denied) == "500" else "refused")
        except Broken:
            self.drop()
        except Exception as error:  # a mistake of ours is none of the far end's
            context = {"message": "a message was not taken", "exception": error, "protocol": self}
            self._loop.call_exception_handler(context)
        if self._frames.unread_bytes > _UNREAD_BYTES and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def drop(self) -> None:
        """End it now; what had not been read of it is gone."""
        self._dropped = True
        self._flush()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _drop(self, end: End) -> None:
        self.end = end
        self.drop()

    def _advance(self) -> None:
        while self.session is None and self._transport is not None:
            if not self._greeted:
                first = self._frames.greeting()
                if first is None:
                    return
                check_greeting(first)
                self._greeted = True
                self._begin()
            body = self._frames.body()
            if body is None:
                return
            self._shake(body)
        if self._transport is not None:
            self._arrived()

    def _command(self, body: bytes) -> None:
        """Another word of the handshake to the far end."""
        if self._transport is not None:
            self._transport.write(frame(body, command=True))

    def _established(self, session: Session) -> None:
        self.session, self.end = session, "closed"
        self._frames.most_bytes = _LONG_BYTES
        self._heard_s = self._loop.time()

    def _next(self) -> tuple[int, bytes] | None:
        """Flags and content of what came next, without pings; raises Broken."""
        assert self.session is not None
        while (body := self._frames.body()) is not None:
            flags, content = self.session.opened(body)
            if not flags & COMMAND:
                return flags, content
            self._commands += 1
            if self._commands > _MOST_COMMANDS:
                raise Broken(f"found more than {_MOST_COMMANDS} commands in {PING_S:g} s")
            if content.startswith(_PING) and len(content) >= 7:
                self._silent_s = int.from_bytes(content[5:7], "big") / 10 or self._silent_s
                self._say(COMMAND, _PONG + content[7:])
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return None

    def _say(self, flags: int, data: bytes) -> bool:
        transport = self._transport
        if transport is None or self.session is None:
            return False
        if transport.get_write_buffer_size() + len(self._held) > _UNSENT_BYTES:
            return False
        sealed = frame(self.session.sealed(flags, data))
        if self._at_once > 0:
            transport.write(sealed)
        else:
            self._held += sealed
        if self._at_once == _AT_ONCE:
            self._loop.call_soon(self._flush)
        self._at_once -= 1
        return True

    def _flush(self) -> None:
        # The first words of a turn go at once, the others of that turn together: each in a packet
        # of its own would soon wait for acknowledgements, which TCP may delay by 40 ms.
        held, self._held, self._at_once = self._held, bytearray(), _AT_ONCE
        if held and self._transport is not None:
            self._transport.write(held)

    def _look(self) -> None:
        """Hang up on who is silent for too long."""
        self._commands = 0
        now_s = self._loop.time()
        # What waits to be read of it would say that it is there.
        if now_s >= self._heard_s + self._silent_s and not self._paused:
            self.drop()
            return
        self._watch = self._loop.call_later(PING_S, self._look)

    def _once(self) -> None:
        """The costly first word of a handshake has come; raises Broken if it comes again."""
        if self._begun:
            raise Broken("found the begin of a handshake again")
        self._begun = True

    def _begin(self) -> None:
        """The far end has greeted."""

    def _shake(self, body: bytes) -> None:
        """Its next word in the handshake."""
        raise NotImplementedError

    def _arrived(self) -> None:
        """There may be messages to take."""
        raise NotImplementedError

    def _lost(self) -> None:
        """The connection is over, `end` says how."""
        raise NotImplementedError


class Outgoing(_Connection):
    """To a peer, for what we say. `on_change` is called when it stands, and when it has ended."""

    _server = False

    def __init__(self, client: Client, says: str, on_change: Callable[[], None]):
        super().__init__(says)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once it has ended."""
        self._client = client
        self._on_change = on_change

    def say(self, data: bytes) -> bool:
        """A message to the peer, now; False when it does not stand, or takes nothing more."""
        return self._say(0, data)

    def _begin(self) -> None:
        self._command(self._client.hello())

    def _shake(self, body: bytes) -> None:
        if body.startswith(b"\x07WELCOME"):
            self._once()
            metadata = properties(Socket_Type="DEALER", Identity="", X_Qnodeos=self._says)
            self._command(self._client.initiate(body, metadata))
        else:
            session = self._client.session(body)
            self.far_says = read_properties(self._client.metadata).get("X-Qnodeos", "")
            self._established(session)
            self._silent_s = PING_TTL_S
            self._ping()
            self._on_change()

    def _ping(self) -> None:
        self._say(COMMAND, _PING + round(10 * PING_TTL_S).to_bytes(2, "big"))

    def _look(self) -> None:
        self._ping()
        super()._look()

    def _arrived(self) -> None:
        # A node only speaks on the connections that it makes itself.
        if self._next() is not None:
            self._drop("unasked")

    def _lost(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        self._on_change()


class Incoming(_Connection):
    """Of a peer, for what it says; until it has proved its key, of anybody.

    `refusal` is asked with the key (Z85) it proves and its address, and gives the status to refuse
    it with; `on_change` is called when it has ended, when it is let in, and when something came.
    """

    _server = True

    def __init__(
        self,
        server: Server,
        says: str,
        refusal: Callable[[bytes, str], bytes | None],
        on_change: Callable[[Incoming], None],
    ):
        super().__init__(says)
        self.public = b""
        """The far end's long-term key (Z85), as proved."""
        self._server_end = server
        self._refusal = refusal
        self._on_change = on_change
        self._parts: list[bytes] = []

    def take(self) -> list[bytes] | None:
        """The next message in its parts, also what was said last before it ended; None for none."""
        if self._dropped or self.session is None:
            return None
        try:
            while (found := self._next()) is not None:
                flags, part = found
                self._parts.append(part)
                if not flags & MORE:
                    parts, self._parts = self._parts, []
                    return parts
                if len(self._parts) >= _MOST_PARTS:
                    raise Broken(f"found more than {_MOST_PARTS} parts of a message")
        except Broken:
            self.drop()
        return None

    def _shake(self, body: bytes) -> None:
        if body.startswith(b"\x05HELLO"):
            self._once()
            self._command(self._server_end.welcome(body))
            return
        public = z85.encode(self._server_end.proved(body))
        status = self._refusal(public, self._address())
        if status is not None:
            self._command(self._server_end.error(status))
            if self._transport is not None:
                self._transport.close()  # after the word is out
                self._transport = None
            return
        self.public = public
        self.far_says = read_properties(self._server_end.metadata).get("X-Qnodeos", "")
        ready, session = self._server_end.ready(
            properties(Socket_Type="ROUTER", X_Qnodeos=self._says)
        )
        self._command(ready)
        self._established(session)
        self._silent_s = float("inf")  # until its first ping says how often it will ping
        self._on_change(self)

    def _address(self) -> str:
        found = self._transport.get_extra_info("peername") if self._transport else None
        return str(found[0]) if found else ""

    def _arrived(self) -> None:
        self._on_change(self)

    def _lost(self) -> None:
        self._on_change(self)
