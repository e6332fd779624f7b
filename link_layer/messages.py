"""What two neighbours and their midpoint station say to each other about entanglement.

The service is that of Dahlberg et al. 2019 (SIGCOMM, "A link layer protocol for quantum networks"):
requests of type K (create and keep) and M (measure directly). One end of a link, the one with the
lower node id, leads: it orders the requests and opens each round, so both ends always work on the
same request. A `round` counts attempts at one pair; a `sequence` is the station's count of heralds
and, together with link and slot, the identity of a pair.
"""

from __future__ import annotations

import enum
from typing import Literal

from msgspec import Struct

from link_layer.states import BellState

RequestKind = Literal["K", "M"]
Basis = Literal["Z", "X", "Y"]


class ErrorCode(enum.Enum):
    """Why a request ended without all its pairs; the names of the public draft and its tools."""

    UNSUPPORTED = "UNSUPP"
    NO_TIME = "NOTIME"
    NO_RESOURCES = "NORES"
    TIMEOUT = "TIMEOUT"
    REJECTED = "REJECTED"
    OTHER = "OTHER"
    EXPIRED = "EXPIRE"
    CREATE = "CREATE"


class LinkHello(Struct, frozen=True, tag="link-hello"):
    """What one end's device is like; sent whenever the far end (re)appears or the device does."""

    link: str
    t1_s: float
    t2_s: float
    initial_fidelity: float
    readout_error: float


class Create(Struct, frozen=True, tag="create"):
    """Asks the far end to take part in a request; answered by Accept or Refuse."""

    link: str
    request: int
    kind: RequestKind
    number: int
    minimum_fidelity: float
    max_time_s: float
    purpose: str
    priority: int = 0
    corrected: bool = True
    """True: deliver Phi+ by applying the Pauli correction; False: tell the Bell state instead."""


class Accept(Struct, frozen=True, tag="accept"):
    """The far end takes part."""

    link: str
    request: int


class Refuse(Struct, frozen=True, tag="refuse"):
    """The far end does not take part, and why."""

    link: str
    request: int
    error: ErrorCode
    text: str


class Finish(Struct, frozen=True, tag="finish"):
    """The request is over at the sender: done, or ended early with an error."""

    link: str
    request: int
    error: ErrorCode | None = None
    text: str = ""


class Attempt(Struct, frozen=True, tag="attempt"):
    """The leading end opens a round: to the far end and to the station.

    `test_basis` makes it a test round: both ends measure in that basis and disclose the outcome.
    """

    link: str
    round: int
    request: int
    test_basis: Basis | None = None


class NotReady(Struct, frozen=True, tag="not-ready"):
    """A round cannot begin at the sender (no free memory, device away); the leader tries later."""

    link: str
    round: int
    reason: str


class EndRound(Struct, frozen=True, tag="end-round"):
    """The round is over without a pair; whoever still attempts stops."""

    link: str
    round: int
    reason: str


class Heralded(Struct, frozen=True, tag="heralded"):
    """The station announces a success to both ends."""

    link: str
    round: int
    sequence: int
    slot: int
    bell_state: BellState


class PairHeld(Struct, frozen=True, tag="pair-held"):
    """One end holds its half of this pair; the pair exists when both ends have said the same."""

    link: str
    round: int
    sequence: int
    slot: int
    bell_state: BellState


class PairDropped(Struct, frozen=True, tag="pair-dropped"):
    """One end has given its half up: the other end must too."""

    link: str
    sequence: int
    reason: str


class TestOutcome(Struct, frozen=True, tag="test-outcome"):
    """One end's outcome of a test round on a memory pair: 0 for the +1 eigenstate, 1 otherwise."""

    link: str
    round: int
    sequence: int
    slot: int
    bell_state: BellState
    basis: Basis
    outcome: int


class TurnBasis(Struct, frozen=True, tag="turn-basis"):
    """The leading end of a photonic link asks for a measurement basis, from now on called epoch."""

    link: str
    epoch: int
    basis: Basis


class BasisTurned(Struct, frozen=True, tag="basis-turned"):
    """The analyzer stands in the basis of this epoch; `ok` False: it could not be turned."""

    link: str
    epoch: int
    ok: bool = True
    reason: str = ""


class TagReport(Struct, frozen=True, tag="tag-report"):
    """Time stamps of one batch, without outcomes: the basis-blind form that QKD permits.

    `times` are little-endian int64 picoseconds on the sender's timescale; `epoch` is that of the
    analyzer for the whole batch, or -1 while it was turning. `lost`: tags are missing since the
    batch before; `stream` changes when the sender's timescale starts anew.
    """

    link: str
    stream: int
    sequence: int
    start_ps: int
    stop_ps: int
    epoch: int
    times: bytes
    lost: bool = False


class TagUse(enum.IntEnum):
    """What the matching end uses a tag for."""

    DELIVERED = 0
    TEST = 1
    ACCIDENTAL = 2
    """Test of accidentals: the tag stands in a delayed window."""


class MatchReport(Struct, frozen=True, tag="match-report"):
    """Which tags of a report are halves of pairs, told by the end that matched.

    Arrays are little-endian: `tags` u32 indices into the report, `use` a `TagUse` a tag as u8.
    `first_pair` is the identity of the first entry; entries count on from it. Delivered entries
    belong to `request`.
    """

    link: str
    stream: int
    sequence: int
    first_pair: int
    tags: bytes
    use: bytes
    request: int = 0


class TestOutcomes(Struct, frozen=True, tag="test-outcomes"):
    """Outcomes for the test entries of a MatchReport, in their order: u8, 0 or 1."""

    link: str
    epoch: int
    first_pair: int
    outcomes: bytes


class LinkQuality(Struct, frozen=True, tag="link-quality"):
    """The leading end's estimate of the fidelity of a link, with its 95 % credible interval."""

    link: str
    fidelity: float
    low: float
    high: float
    time_s: float


class AppMessage(Struct, frozen=True, tag="app"):
    """A word between the two halves of an application; `body` is the application's own."""

    app: str
    body: dict[str, int | float | str]


Message = (
    LinkHello
    | Create
    | Accept
    | Refuse
    | Finish
    | Attempt
    | NotReady
    | EndRound
    | Heralded
    | PairHeld
    | PairDropped
    | TestOutcome
    | TurnBasis
    | BasisTurned
    | TagReport
    | MatchReport
    | TestOutcomes
    | LinkQuality
    | AppMessage
)
