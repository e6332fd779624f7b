"""ZMTP 3.1 (ZeroMQ RFC 37): how a stream of bytes is a greeting and then frames."""

from __future__ import annotations

from qnodeos.curve import Broken

GREETING_BYTES = 64
_LONG, _COMMAND = 2, 4
_MECHANISM = b"CURVE"


def greeting(*, server: bool) -> bytes:
    """The first bytes of each end: it speaks ZMTP 3.1 with CURVE."""
    signature = b"\xff" + bytes(8) + b"\x7f"
    return signature + b"\x03\x01" + _MECHANISM.ljust(20, b"\0") + bytes((server,)) + bytes(31)


def check_greeting(data: bytes) -> None:
    """Raises Broken when the far end's greeting is none, or it wants no CURVE."""
    if data[0] != 0xFF or data[9] != 0x7F or data[10] < 3:
        raise Broken("found something else, expected ZMTP 3")
    if data[12:32].rstrip(b"\0") != _MECHANISM:
        raise Broken("found another mechanism, expected CURVE")


def frame(body: bytes, *, command: bool = False) -> bytes:
    """A frame; commands are those of the handshake."""
    flags = _COMMAND if command else 0
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | _LONG,)) + len(body).to_bytes(8, "big") + body


def properties(**values: str) -> bytes:
    """Metadata of a handshake; `_` in a name stands for `-`."""
    found = b""
    for name, value in values.items():
        key, text = name.replace("_", "-").encode(), value.encode()
        found += bytes((len(key),)) + key + len(text).to_bytes(4, "big") + text
    return found


def read_properties(data: bytes) -> dict[str, str]:
    """Metadata by name; raises Broken."""
    found, at = {}, 0
    while at < len(data):
        name_end = at + 1 + data[at]
        begin = name_end + 4
        end = begin + int.from_bytes(data[name_end:begin], "big")
        if end > len(data) or begin > len(data):
            raise Broken("found metadata that is cut off")
        name = data[at + 1 : name_end].decode("ascii", errors="replace")
        found[name] = data[begin:end].decode("utf-8", errors="replace")
        at = end
    return found


class Frames:
    """Cuts what arrives into a greeting and frames, each as it is asked for."""

    def __init__(self, most_bytes: int):
        self.most_bytes = most_bytes
        """Longest body of a frame; may be changed."""
        self._data = bytearray()

    @property
    def unread_bytes(self) -> int:
        """What waits here."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """More has arrived."""
        self._data += data

    def greeting(self) -> bytes | None:
        """The far end's first bytes, when all of them are here."""
        return self._taken(0, GREETING_BYTES)

    def body(self) -> bytes | None:
        """The next frame's, when all of it is here; raises Broken for what is no frame."""
        data = self._data
        if len(data) < 2:
            return None
        flags = data[0]
        if flags & ~(_LONG | _COMMAND):
            # With CURVE, whether more parts follow is said within the box.
            raise Broken(f"found flags {flags:#x} of a frame")
        if not flags & _LONG:
            head, size = 2, data[1]
        elif len(data) < 9:
            return None
        else:
            head, size = 9, int.from_bytes(data[1:9], "big")
        if size > self.most_bytes:
            raise Broken(f"found a frame of {size} bytes, expected at most {self.most_bytes}")
        return self._taken(head, size)

    def _taken(self, head: int, size: int) -> bytes | None:
        end = head + size
        if len(self._data) < end:
            return None
        with memoryview(self._data) as view:
            found = bytes(view[head:end])
        del self._data[:end]  # moves nothing: a bytearray only notes where it begins
        return found
