"""What travels between nodes: one MessagePack array around each message."""

from __future__ import annotations

import msgspec

Versions = tuple[int, int]
"""Oldest and newest version of the wire protocol."""

PROTOCOL_VERSION = 5
SPOKEN: Versions = (5, 5)
"""The oldest and the newest version that this node speaks."""

MAX_MESSAGE_BYTES = 1 << 20
HEARTBEAT = b"\xc0"
"""The body of an envelope without a message: MessagePack nil."""


def common(ours: Versions, theirs: Versions) -> int | None:
    """The newest version that both ends speak; None for none."""
    newest = min(ours[1], theirs[1])
    return newest if newest >= max(ours[0], theirs[0]) else None


def told(versions: Versions) -> str:
    """As it goes over the wire, and to people: "4", or "3 to 4"."""
    oldest, newest = versions
    return f"{oldest}" if oldest == newest else f"{oldest} to {newest}"


def understood(text: str) -> Versions | None:
    """Of what a far end tells; None if that is nothing."""
    oldest, _, newest = text.partition(" to ")
    if not oldest.isdecimal() or not (newest or oldest).isdecimal():
        return None
    return int(oldest), int(newest or oldest)


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


def opened(data: bytes, spoken: Versions = SPOKEN) -> Envelope:
    """The envelope in these bytes, of a version that we speak; raises NotUnderstood."""
    try:
        envelope = _DECODER.decode(data)
    except msgspec.DecodeError as error:
        version = _version(data)
        if version is not None and not spoken[0] <= version <= spoken[1]:
            raise NotUnderstood(mismatch(spoken, (version, version))) from None
        raise NotUnderstood(f"a message cannot be understood: {error}") from None
    if not spoken[0] <= envelope.version <= spoken[1]:
        raise NotUnderstood(mismatch(spoken, (envelope.version, envelope.version)))
    return envelope


def _version(data: bytes) -> int | None:
    try:
        return msgspec.msgpack.decode(data, type=_AnyEnvelope).version
    except msgspec.DecodeError:
        return None


def mismatch(ours: Versions, theirs: Versions) -> str:
    """That two ends have no version in common, for people."""
    return (
        f"it speaks version {told(theirs)} of the wire protocol, this node speaks {told(ours)}; "
        "install the same qnodeos at both ends"
    )
