"""What travels between nodes: one MessagePack array around each message."""

from __future__ import annotations

import msgspec

PROTOCOL_VERSION = 4
MAX_MESSAGE_BYTES = 1 << 20
HEARTBEAT = b"\xc0"
"""The body of an envelope without a message: MessagePack nil."""


class NotUnderstood(Exception):
    """The sender speaks another version, or nonsense; the text is for the operator."""


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`boot` is drawn anew at every start of the sender; `sequence` counts from 1 to each peer.

    `losses`: how often the sender has lost the receiver since its start. One more, and nothing
    that they had in common counts any longer. `knows`: the receiver's boot plus its losses, as the
    sender has heard them last; 0 if it has heard nothing. The version stays first in every version.
    """

    version: int
    boot: int
    sequence: int
    body: msgspec.Raw
    losses: int = 0
    knows: int = 0


class _AnyEnvelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    version: int


_DECODER = msgspec.msgpack.Decoder(Envelope)


def opened(data: bytes) -> Envelope:
    """The envelope in these bytes, of our version; raises NotUnderstood."""
    try:
        envelope = _DECODER.decode(data)
    except msgspec.DecodeError as error:
        version = _version(data)
        if version not in (None, PROTOCOL_VERSION):
            raise _other(version) from None
        raise NotUnderstood(f"a message cannot be understood: {error}") from None
    if envelope.version != PROTOCOL_VERSION:
        raise _other(envelope.version)
    return envelope


def _version(data: bytes) -> int | None:
    try:
        return msgspec.msgpack.decode(data, type=_AnyEnvelope).version
    except msgspec.DecodeError:
        return None


def _other(version: int | None) -> NotUnderstood:
    return NotUnderstood(
        f"it speaks version {version} of the wire protocol, this node speaks {PROTOCOL_VERSION}; "
        "install the same qnodeos at both ends"
    )
