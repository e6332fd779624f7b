"""Instruments on HTTP: each message is the body of a POST, its answer the body of the reply.

A small HTTP/1.1 client on any byte transport: one request at a time, a connection that is kept
where the far end keeps it. Redirections, proxies, compression and TLS are left out: no instrument
here asks for them. See docs/decisions/0006 for why this is no library.
"""

from __future__ import annotations

from drivers.errors import ProtocolError
from drivers.links.base import Transport
from drivers.links.packets import as_packet, messages_in
from drivers.links.tcp import TcpTransport

MAX_HEAD_BYTES = 1 << 16
MAX_BODY_BYTES = 1 << 26


class HttpReply:
    """Takes one reply out of the bytes of a connection, wherever they are cut.

    Sources: RFC 9112, sections 2 to 7.
    """

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self._bytes = bytearray()
        self._body = bytearray()
        self._left: int | None = None  # of the body or of a chunk; None until it is known
        self._in_head = True
        self._chunked = False
        self._until_close = False

    @property
    def keeps_alive(self) -> bool:
        """Whether the far end takes another request on this connection."""
        words = self.headers.get("connection", "").lower()
        return not self._until_close and "close" not in words

    def feed(self, data: bytes) -> bytes | None:
        """The body when it is complete; None: not yet. Raises ProtocolError."""
        self._bytes += data
        while self._in_head:
            if not self._take_head():
                return None
        if self._chunked:
            return self._take_chunks()
        if self._until_close:
            self._body += self._bytes
            self._bytes.clear()
            self._check(len(self._body))
            return None
        assert self._left is not None
        if len(self._bytes) < self._left:
            return None
        return bytes(self._bytes[: self._left])

    def end(self) -> bytes | None:
        """The far end has closed: the body of a reply that this completes; None for half of one."""
        return bytes(self._body) if self._until_close else None

    def _take_head(self) -> bool:
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            if len(self._bytes) > MAX_HEAD_BYTES or not b"HTTP/".startswith(self._bytes[:5]):
                raise ProtocolError("expected a reply of HTTP", bytes(self._bytes))
            return False
        raw = bytes(self._bytes[:end])
        del self._bytes[: end + 4]
        first, *lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        code, _, self.reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or len(code) != 3 or not code.isdigit():
            raise ProtocolError("expected a status line of HTTP/1.1", raw)
        self.status = int(code)
        pairs = [line.partition(":") for line in lines]
        if not all(colon for _, colon, _ in pairs):
            raise ProtocolError("expected headers of HTTP/1.1", raw)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if 100 <= self.status < 200:
            return True  # an interim reply: the real one follows
        self._in_head = False
        if version == "HTTP/1.0" and "connection" not in self.headers:
            self.headers["connection"] = "close"
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._left = 0
        elif self._chunked:
            pass
        elif length is None:
            self._until_close = True
        elif length.isascii() and length.isdigit():
            self._left = self._check(int(length))
        else:
            raise ProtocolError("expected a Content-Length in bytes", raw)
        return True

    def _take_chunks(self) -> bytes | None:
        """Chunks of (size in hex, data, CR LF); one of size 0 and trailers end the body."""
        while True:
            if self._left is None:
                end = self._bytes.find(b"\r\n")
                if end < 0:
                    self._check(len(self._bytes))
                    return None
                size = bytes(self._bytes[:end]).split(b";")[0].strip()
                try:
                    self._left = int(size, 16)
                except ValueError:
                    raise ProtocolError("expected a chunk size", bytes(self._bytes)) from None
                self._check(len(self._body) + self._left)
                del self._bytes[: end + 2]
            if self._left == 0:
                return self._take_trailers()
            if len(self._bytes) < self._left + 2:
                return None
            if self._bytes[self._left : self._left + 2] != b"\r\n":
                raise ProtocolError("expected the end of a chunk", bytes(self._bytes))
            self._body += self._bytes[: self._left]
            del self._bytes[: self._left + 2]
            self._left = None

    def _take_trailers(self) -> bytes | None:
        while (end := self._bytes.find(b"\r\n")) >= 0:
            del self._bytes[: end + 2]
            if end == 0:
                return bytes(self._body)
        return None

    def _check(self, size: int) -> int:
        if not 0 <= size <= MAX_BODY_BYTES:
            raise ProtocolError(
                f"a body of {size} bytes, the limit is {MAX_BODY_BYTES}", bytes(self._bytes)
            )
        return size


class HttpTransport(Transport):
    """POSTs each message to one address; a reply other than 2xx is a ProtocolError."""

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        *,
        resource: str = "",
        content_type: str = "application/json",
    ):
        self.resource = resource or f"http://{host}:{port}{path}"
        self.host, self.port, self.path = host, port, path
        self._content_type = content_type
        self._pipe = TcpTransport(host, port, resource=self.resource)
        self._reply = HttpReply()
        self._kept = False

    async def open(self) -> None:
        """Connect; raises OSError."""
        await self._pipe.open()
        self._kept = True

    async def read(self) -> bytes:
        """Wait for the reply; cancellation loses no bytes."""
        while True:
            data = await self._pipe.read()
            body = self._reply.feed(data) if data else self._reply.end()
            if body is not None:
                break
            if not data:
                return b""
        self._kept = self._reply.keeps_alive
        if not 200 <= self._reply.status < 300:
            told = f"{self._reply.status} {self._reply.reason}".strip()
            raise ProtocolError(f"HTTP answers '{told}' to POST {self.path}", body)
        return as_packet(body)

    async def write(self, data: bytes) -> None:
        """Send one request; raises OSError."""
        for message in messages_in(data):
            if not self._kept or self._pipe.ended or self._pipe.read_nowait():
                # Closed, or out of step by bytes that nobody asked for. One that closes after the
                # request has left is not made anew: the far end may have acted on it, and that is
                # for the caller to know.
                await self._pipe.close()
                await self._pipe.open()
            self._reply = HttpReply()
            host = f"[{self.host}]" if ":" in self.host else self.host
            head = (
                f"POST {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\n"
                f"Content-Type: {self._content_type}\r\nAccept: {self._content_type}\r\n"
                f"Content-Length: {len(message)}\r\nConnection: keep-alive\r\n\r\n"
            )
            await self._pipe.write(head.encode() + message)

    async def close(self) -> None:
        """Close; never raises and may be called twice."""
        self._kept = False
        await self._pipe.close()
