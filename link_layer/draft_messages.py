"""The messages of draft-dahlberg-ll-quantum-03 as exact bytes, section numbers are the draft's.

For programs that speak the draft; between our own nodes go `link_layer.messages`. Numbers are as on
the wire here; `link_layer.draft_service` makes requests and results of them.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import ClassVar

from link_layer.draft_bits import Layout, MalformedMessage
from link_layer.messages import ErrorCode
from link_layer.numberings import DRAFT_ERRORS

_FRACTION = 2**16 - 1


class TimeUnit(enum.IntEnum):
    """Unit of the maximum time of a CREATE."""

    MICROSECOND = 0
    MILLISECOND = 1
    SECOND = 2

    @property
    def seconds(self) -> float:
        """Its length."""
        return (1e-6, 1e-3, 1.0)[self]


class RandomBases(enum.IntEnum):
    """From which bases an end draws: none, X or Z, any of the three, Z turned by +-45 degrees."""

    NONE = 0
    XZ = 1
    XYZ = 2
    CHSH = 3


class DraftBasis(enum.IntEnum):
    """In which basis an end has measured."""

    Z = 0
    X = 1
    Y = 2
    Z_PLUS_45 = 3
    Z_MINUS_45 = 4


@dataclass(frozen=True, slots=True)
class DraftCreate:
    """CREATE, 24 bytes. Fidelity in 1/65535, probabilities in 1/255, angles in 2 pi/256.

    `measure`: type M, else K. `consecutive`: an OK for each pair, else one at the end.
    """

    remote_node_id: int
    minimum_fidelity: int
    time_unit: int
    max_time: int
    purpose_id: int
    number: int
    priority: int = 0
    measure: int = 0
    atomic: int = 0
    consecutive: int = 0
    bases_local: int = 0
    bases_remote: int = 0
    probability_1_local: int = 0
    probability_2_local: int = 0
    probability_1_remote: int = 0
    probability_2_remote: int = 0
    turn_x1_local: int = 0
    turn_y_local: int = 0
    turn_x2_local: int = 0
    turn_x1_remote: int = 0
    turn_y_remote: int = 0
    turn_x2_remote: int = 0

    LAYOUT: ClassVar[Layout] = Layout(
        "CREATE",
        (
            ("remote_node_id", 32),
            ("minimum_fidelity", 16),
            ("time_unit", 2),
            ("max_time", 14),
            ("purpose_id", 16),
            ("number", 16),
            ("priority", 3),
            ("measure", 1),
            ("atomic", 1),
            ("consecutive", 1),
            ("bases_local", 2),
            ("bases_remote", 2),
            ("", 6),
            ("probability_1_local", 8),
            ("probability_2_local", 8),
            ("probability_1_remote", 8),
            ("probability_2_remote", 8),
            ("turn_x1_local", 8),
            ("turn_y_local", 8),
            ("turn_x2_local", 8),
            ("turn_x1_remote", 8),
            ("turn_y_remote", 8),
            ("turn_x2_remote", 8),
        ),
    )

    def encode(self) -> bytes:
        """As on the wire; raises ValueError for what does not fit."""
        return self.LAYOUT.pack(asdict(self))

    @classmethod
    def decode(cls, data: bytes) -> DraftCreate:
        """Raises MalformedMessage."""
        create = cls(**cls.LAYOUT.unpack(data))
        if create.time_unit not in list(TimeUnit):
            raise MalformedMessage("CREATE: time unit 3 is unused in the draft")
        if create.number == 0:
            raise MalformedMessage("CREATE: number 0, expected 1 or more")
        return create

    @property
    def fidelity(self) -> float:
        """The minimum fidelity, 0 to 1."""
        return self.minimum_fidelity / _FRACTION

    @property
    def max_time_s(self) -> float:
        """The maximum time in seconds."""
        return self.max_time * TimeUnit(self.time_unit).seconds


@dataclass(frozen=True, slots=True)
class DraftAck:
    """ACK, 4 bytes: the identity that a CREATE has got."""

    create_id: int

    TYPE: ClassVar[int] = 1
    LAYOUT: ClassVar[Layout] = Layout("ACK", (("type", 4), ("create_id", 16), ("", 12)))


@dataclass(frozen=True, slots=True)
class DraftOkKeep:
    """OK of type K, 16 bytes. `theirs`: the far end has asked. Goodness in 1/65535."""

    create_id: int
    logical_qubit_id: int
    theirs: int
    sequence: int
    purpose_id: int
    remote_node_id: int
    goodness: int
    time_of_goodness: int

    TYPE: ClassVar[int] = 2
    LAYOUT: ClassVar[Layout] = Layout(
        "OK-K",
        (
            ("type", 4),
            ("create_id", 16),
            ("logical_qubit_id", 4),
            ("theirs", 1),
            ("", 7),
            ("sequence", 16),
            ("purpose_id", 16),
            ("remote_node_id", 32),
            ("goodness", 16),
            ("time_of_goodness", 16),
        ),
    )


@dataclass(frozen=True, slots=True)
class DraftOkMeasure:
    """OK of type M, 16 bytes."""

    create_id: int
    outcome: int
    theirs: int
    basis: int
    sequence: int
    purpose_id: int
    remote_node_id: int
    goodness: int

    TYPE: ClassVar[int] = 3
    # The draft's text names the basis before the D flag; this is the order of its figure.
    LAYOUT: ClassVar[Layout] = Layout(
        "OK-M",
        (
            ("type", 4),
            ("create_id", 16),
            ("outcome", 1),
            ("theirs", 1),
            ("basis", 3),
            ("", 7),
            ("sequence", 16),
            ("purpose_id", 16),
            ("remote_node_id", 32),
            ("goodness", 16),
            ("", 16),
        ),
    )


@dataclass(frozen=True, slots=True)
class DraftError:
    """ERR, 12 bytes. `ranged`: the OKs from `sequence_low` to before `sequence_high` are meant,
    else the whole request."""

    create_id: int
    error: int
    ranged: int
    sequence_low: int
    sequence_high: int
    origin_node_id: int

    TYPE: ClassVar[int] = 4
    LAYOUT: ClassVar[Layout] = Layout(
        "ERR",
        (
            ("type", 4),
            ("create_id", 16),
            ("error", 4),
            ("ranged", 1),
            ("", 7),
            ("sequence_low", 16),
            ("sequence_high", 16),
            ("origin_node_id", 32),
        ),
    )

    @property
    def code(self) -> ErrorCode:
        """What the number means; raises ValueError."""
        return DRAFT_ERRORS.member(self.error)


DraftReply = DraftAck | DraftOkKeep | DraftOkMeasure | DraftError
_REPLIES: dict[int, type[DraftReply]] = {
    reply.TYPE: reply for reply in (DraftAck, DraftOkKeep, DraftOkMeasure, DraftError)
}


def encode_reply(reply: DraftReply) -> bytes:
    """As on the wire; raises ValueError for what does not fit."""
    return reply.LAYOUT.pack({"type": reply.TYPE, **asdict(reply)})


def decode_reply(data: bytes) -> DraftReply:
    """The reply in these bytes; raises MalformedMessage."""
    kind = data[0] >> 4 if data else None
    reply = _REPLIES.get(kind) if kind is not None else None
    if reply is None:
        known = ", ".join(f"{number} {each.LAYOUT.name}" for number, each in _REPLIES.items())
        raise MalformedMessage(f"a reply of type {kind}; there are {known}")
    values = reply.LAYOUT.unpack(data)
    del values["type"]
    if reply is DraftOkMeasure and values["basis"] not in list(DraftBasis):
        raise MalformedMessage(f"OK-M: basis {values['basis']}, expected 0 to 4")
    if reply is DraftError:
        try:
            DRAFT_ERRORS.member(values["error"])
        except ValueError as error:
            raise MalformedMessage(f"ERR: {error}") from error
    return reply(**values)
