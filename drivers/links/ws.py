"""Instruments on WebSocket: each message is one text or binary message.

The framing is that of the library `websockets`, which does it without touching a socket; the bytes
go through our own TCP transport.
"""

from __future__ import annotations

from drivers.errors import ProtocolError
from drivers.links.base import Transport
from drivers.links.packets import as_packet, messages_in, missing_library
from drivers.links.tcp import TcpTransport

MAX_MESSAGE_BYTES = 1 << 24


class WebSocketTransport(Transport):
    """One WebSocket connection; pings of the far end are answered while somebody reads."""

    def __init__(self, host: str, port: int, path: str, *, resource: str = ""):
        self.resource = resource or f"ws://{host}:{port}{path}"
        self._uri = f"ws://{f'[{host}]' if ':' in host else host}:{port}{path}"
        self._pipe = TcpTransport(host, port, resource=self.resource)
        self._conversation: _Conversation | None = None

    async def open(self) -> None:
        """Connect and shake hands; raises OSError."""
        conversation = _Conversation(self._uri, self.resource)
        await self._pipe.open()
        await self._pipe.write(conversation.greeting())
        while not conversation.greeted:
            data = await self._pipe.read()
            if not data:
                raise ConnectionRefusedError("the far end closed instead of speaking WebSocket")
            conversation.take(data)
        self._conversation = conversation

    async def read(self) -> bytes:
        """Wait for a message, as a packet; b"" when the far end has closed. Loses none."""
        while not (ready := self.read_nowait()):
            if self._conversation is None:
                raise ConnectionError("the connection is closed")
            data = await self._pipe.read()
            if not data:
                return b""
            if answer := self._conversation.take(data):
                await self._pipe.write(answer)
        return ready

    def read_nowait(self) -> bytes:
        """The messages that have already been read."""
        return self._conversation.messages() if self._conversation is not None else b""

    async def write(self, data: bytes) -> None:
        """Send each message: as text where it is text; raises OSError."""
        if self._conversation is None:
            raise ConnectionError("the connection is closed")
        for message in messages_in(data):
            await self._pipe.write(self._conversation.say(message))

    async def close(self) -> None:
        """Close; never raises and may be called twice."""
        self._conversation = None
        await self._pipe.close()


class _Conversation:
    """The protocol of one connection: bytes in, messages out."""

    def __init__(self, uri: str, resource: str):
        try:
            from websockets import frames
            from websockets.client import ClientProtocol
            from websockets.uri import parse_uri
        except ImportError:
            raise missing_library("websockets", resource) from None
        self._frames = frames
        self._protocol = ClientProtocol(parse_uri(uri), max_size=MAX_MESSAGE_BYTES)
        self._parts = bytearray()
        self._ready = bytearray()
        self.greeted = False

    def greeting(self) -> bytes:
        """The request that asks for a WebSocket."""
        self._protocol.send_request(self._protocol.connect())
        return self._to_send()

    def say(self, message: bytes) -> bytes:
        """The bytes of one message to the far end."""
        try:
            message.decode()
            self._protocol.send_text(message)
        except UnicodeDecodeError:
            self._protocol.send_binary(message)
        return self._to_send()

    def take(self, data: bytes) -> bytes:
        """Take bytes; gives what has to be answered (a pong, a close). Raises on nonsense."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if not isinstance(event, self._frames.Frame):
                if self._protocol.handshake_exc is not None:
                    raise ConnectionRefusedError(f"no WebSocket there: {_told(event)}")
                self.greeted = True
            elif event.opcode in self._frames.DATA_OPCODES:
                self._parts += event.data
                if len(self._parts) > MAX_MESSAGE_BYTES:
                    raise ProtocolError("a message too long", bytes(self._parts[:80]))
                if event.fin:
                    self._ready += as_packet(bytes(self._parts))
                    self._parts.clear()
        answer = self._to_send()
        if (failed := self._protocol.parser_exc) is not None:
            if not self.greeted:
                raise ConnectionRefusedError(f"no WebSocket there: {failed}")
            raise ProtocolError(f"expected WebSocket frames ({failed})", data)
        return answer

    def messages(self) -> bytes:
        """The messages read so far, as packets."""
        ready = bytes(self._ready)
        self._ready.clear()
        return ready

    def _to_send(self) -> bytes:
        return b"".join(self._protocol.data_to_send())


def _told(response: object) -> str:
    code = getattr(response, "status_code", "?")
    return f"HTTP {code} {getattr(response, 'reason_phrase', '')}".strip()
