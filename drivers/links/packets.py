"""What the transports have in common that carry messages instead of a stream of bytes."""

from __future__ import annotations

from drivers.framing import Packet

_PACKET = Packet(max_bytes=0xFFFF_FFFF)


def messages_in(data: bytes) -> list[bytes]:
    """The messages that a link hands to its transport; each is written whole."""
    buffer, messages = bytearray(data), []
    while (message := _PACKET.take(buffer)) is not None:
        messages.append(message)
    if buffer:
        raise ValueError(f"{len(buffer)} bytes are no whole message; wrap it with Packet.wrap")
    return messages


def as_packet(message: bytes | memoryview) -> bytes:
    """A message as the link expects it from its transport."""
    return b"".join((len(message).to_bytes(4, "little"), message))


def missing_library(package: str, resource: str) -> OSError:
    """What to say where an optional library is not installed."""
    return OSError(
        f"{resource} needs the Python package {package}, which is not installed; "
        "install it with: pip install 'qnodeos[instruments]'"
    )
