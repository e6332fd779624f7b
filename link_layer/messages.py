"""What two neighbours and their midpoint station say to each other about entanglement.

The service is that of Dahlberg et al. 2019 (SIGCOMM, "A link layer protocol for quantum networks"):
requests of type K (create and keep), M (measure directly) and R (remote state preparation: the
origin measures, the far end keeps). One end of a link, the one with the
lower node id, leads: it orders the requests and opens each round, so both ends always work on the
same request. A `round` counts attempts at one pair; a `sequence` is the station's count of heralds
and, together with link and slot, the identity of a pair.

What no sender may say is refused when a message is decoded, so that the services can trust it.
"""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from link_layer.states import BellState

RequestKind = Literal["K", "M", "R"]
Basis = Literal["Z", "X", "Y"]
MeasuredBasis = Literal["Z", "X", "Y", "Z+45", "Z-45"]
"""Z+45 and Z-45: the axis Z turned about Y by +pi/4 towards X and by -pi/4, as CHSH wants them."""
PurifyMethod = Literal["dejmps", "epl"]
Purify = Literal["no", "auto", "dejmps", "epl"]
Outcome = Annotated[int, Meta(ge=0, le=1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What an array of numpy or a database can hold."""
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[int, Meta(gt=-(2**62), lt=2**62)]
"""Picoseconds on a tagger's timescale, with room for sums."""
Seconds = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
HeldTime = Annotated[float, Meta(ge=0, le=10)]
AnnouncePeriod = Annotated[float, Meta(ge=0, le=0.5)]
Finite = Annotated[float, Meta(gt=-1e18, lt=1e18)]

MOST_REPORT_BYTES = 1_000_000
"""Packed tags of one report; a message of the wire holds 48 576 bytes more."""

MOST_SOCKETS = 64
"""For entanglement, of one program."""

MOST_PARTS = 16
"""Programs of one application."""

SocketName = Annotated[str, Meta(max_length=256)]


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
    CANCELLED = "CANCELLED"
    """Ours alone: the asking application, or the end that takes part, gave the request up."""


class LinkHello(Struct, frozen=True, tag="link-hello"):
    """What one end's device is like; sent whenever the far end (re)appears or the device does."""

    link: str
    t1_s: Seconds
    t2_s: Seconds
    initial_fidelity: Share
    readout_error: Annotated[float, Meta(ge=0, lt=0.5)]
    gate_error: Share = 0.0
    two_qubit_gate_error: Share = 0.0
    announce_period_s: AnnouncePeriod = 0.0
    kept: Share = 1.0
    """What the way into memory leaves of a half's correlators, on average over the memory."""

    def __post_init__(self) -> None:
        if self.t2_s > 2 * self.t1_s * (1 + 1e-9):
            raise ValueError(f"T2 {self.t2_s} s exceeds 2 T1 = {2 * self.t1_s} s")


class Measuring(Struct, frozen=True):
    """In which basis one end measures its half of a pair.

    For each pair one of `bases` is drawn, with the probabilities `shares`, which sum to 1.
    `turned_rad` are angles of rotations about X, then Y, then X before a measurement in Z; only
    where Z is the one basis.
    """

    bases: Annotated[tuple[MeasuredBasis, ...], Meta(min_length=1, max_length=5)] = ("Z",)
    shares: tuple[Share, ...] = (1.0,)
    turned_rad: tuple[Finite, Finite, Finite] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if len(set(self.bases)) < len(self.bases) or len(self.shares) != len(self.bases):
            raise ValueError(f"bases {self.bases} with shares {self.shares}")
        if abs(sum(self.shares) - 1) > 1e-9:
            raise ValueError(f"shares {self.shares} of bases do not sum to 1")
        if any(self.turned_rad) and self.bases != ("Z",):
            raise ValueError(f"bases {self.bases} are turned by {self.turned_rad} rad, not Z alone")


class Create(Struct, frozen=True, tag="create"):
    """Asks the far end to take part in a request; answered by Accept or Refuse.

    `atomic`: no other request is served from its first pair to its last. `consecutive` False: the
    pairs are delivered together, those kept all in memory at once. `window_s`: a packet, whose
    pairs are born within this time; older ones are made anew. `near` and `far` are how the origin
    and the other end measure (M; R: only `near`); None leaves it to the link. `place` is the
    request's number in the queue if the leading end is the origin, else 0. `purify`: "auto" makes
    each pair of two where that is what reaches the fidelity, or reaches it faster (K only).
    """

    link: str
    request: Int64
    kind: RequestKind
    number: int
    minimum_fidelity: float
    max_time_s: float
    purpose: str
    priority: Int64 = 0
    corrected: bool = True
    """True: deliver Phi+ by applying the Pauli correction; False: tell the Bell state instead."""
    atomic: bool = False
    consecutive: bool = True
    window_s: Seconds | None = None
    near: Measuring | None = None
    far: Measuring | None = None
    place: Count = 0
    purify: Purify = "no"


class Accept(Struct, frozen=True, tag="accept"):
    """The far end takes part; the leading end tells the request's place in the queue."""

    link: str
    request: Int64
    place: Count = 0


class Refuse(Struct, frozen=True, tag="refuse"):
    """The far end does not take part, and why."""

    link: str
    request: Int64
    error: ErrorCode
    text: str


class Finish(Struct, frozen=True, tag="finish"):
    """The request is over at the sender: done, or ended early with an error.

    Repeated until FinishSeen.
    """

    link: str
    request: Int64
    error: ErrorCode | None = None
    text: str = ""


class Attempt(Struct, frozen=True, tag="attempt"):
    """The leading end opens a round: to the far end and to the station.

    `test_basis` makes it a test round: both ends measure in that basis and disclose the outcome.
    `bright_population` is that of both ends' emitters; None leaves it as it is. `raw`: the pair is
    one of two that are to be purified. The station tells of the herald at a random instant of the
    next `announce_period_s`. `held_s`: the halves of a test round are stored, and
    measured when they are this old; None measures them at once. `probe`: a test round of a
    calibration, for no request, which is not counted among those that say how good pairs are.
    """

    link: str
    round: Int64
    request: Int64
    test_basis: Basis | None = None
    bright_population: float | None = None
    raw: bool = False
    announce_period_s: AnnouncePeriod = 0.0
    held_s: HeldTime | None = None
    probe: bool = False

    def __post_init__(self) -> None:
        if self.probe and self.test_basis is None:
            raise ValueError("a probe without the basis of a test round")


class Tune(Struct, frozen=True, tag="tune"):
    """The leading end asks the station to detect otherwise; answered by Tuned, repeated until then.

    The window opens `delay_ps` after each trigger for `window_ps`; `phase_deg` is added to one arm
    of the interferometer. None leaves it as it is.
    """

    link: str
    number: Int64
    delay_ps: Finite | None = None
    window_ps: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    phase_deg: Finite | None = None
    dark_s: Annotated[float, Meta(ge=0, le=10)] = 0.0
    """Count for so long what comes with no end attempting."""


class Tuned(Struct, frozen=True, tag="tuned"):
    """How the station's device detects after the Tune of this number; None: it cannot be set.

    `dark_cps`: of all its detectors together within their windows, where the Tune asked for it;
    `hom_visibility` where a tagger sees it. `error`: it was not done, for this reason.
    """

    link: str
    number: Int64
    delay_ps: Finite | None = None
    window_ps: Finite | None = None
    phase_deg: Finite | None = None
    dark_cps: Finite | None = None
    hom_visibility: Finite | None = None
    error: str = ""


class Recalibrated(Struct, frozen=True, tag="recalibrated"):
    """The link was set otherwise by the leading end: what test rounds said of it before is old."""

    link: str


class NotReady(Struct, frozen=True, tag="not-ready"):
    """A round cannot begin at the sender; the leader tries later.

    `full`: all that is wanting is storage for this request's pair. Others may find room, and those
    that are measured need none.
    """

    link: str
    round: Int64
    reason: str
    full: bool = False


class ReadyAgain(Struct, frozen=True, tag="ready-again"):
    """What a NotReady of the sender was for may be over: the leader need not wait any longer."""

    link: str


class EndRound(Struct, frozen=True, tag="end-round"):
    """The round is over without a pair; whoever still attempts stops."""

    link: str
    round: Int64
    reason: str


class Heralded(Struct, frozen=True, tag="heralded"):
    """The station announces a success to both ends. `first_slot`: its own first of the round."""

    link: str
    round: Int64
    sequence: Int64
    slot: Int64
    bell_state: BellState
    first_slot: Int64 = 0


class Place(Struct, frozen=True):
    """Where one half lies, if not as LinkHello has it: T1 and T2 there, and the share of its
    correlators that corrections and moves on the way have left."""

    t1_s: Seconds
    t2_s: Seconds
    kept: Share = 1.0

    def __post_init__(self) -> None:
        if self.t2_s > 2 * self.t1_s * (1 + 1e-9):
            raise ValueError(f"T2 {self.t2_s} s exceeds 2 T1 = {2 * self.t1_s} s")


class PairHeld(Struct, frozen=True, tag="pair-held"):
    """One end has its half of this pair, stored or measured; when both have said so it exists.

    `basis` and `outcome` (0 for the +1 eigenstate) are disclosed in a `test` round, by both ends,
    and in type R by the origin. `asks`: the sender has not heard the other end's word. `place`
    of a half that is stored, or was; None: nothing was lost on the way, and it decays as LinkHello
    says.
    """

    link: str
    round: Int64
    sequence: Int64
    slot: Int64
    bell_state: BellState
    test: bool = False
    basis: MeasuredBasis | None = None
    outcome: Outcome | None = None
    asks: bool = False
    place: Place | None = None

    def __post_init__(self) -> None:
        if (self.basis is None) is not (self.outcome is None) or (self.test and not self.basis):
            raise ValueError(
                f"basis {self.basis} and outcome {self.outcome} of a "
                f"{'test round' if self.test else 'pair'}"
            )


class PairDropped(Struct, frozen=True, tag="pair-dropped"):
    """One end has given its half up: the other end must too."""

    link: str
    sequence: Int64
    reason: str


class PairDroppedSeen(Struct, frozen=True, tag="pair-dropped-seen"):
    """The sender has taken a PairDropped in, which is repeated until then."""

    link: str
    sequence: Int64


class Distil(Struct, frozen=True, tag="distil"):
    """The leading end makes one pair of two that both ends hold (`link_layer.purify`).

    The pair `keep` lives on; `spend` is measured. Repeated until Distilled.
    """

    link: str
    keep: Int64
    spend: Int64
    method: PurifyMethod
    axis: Basis


class Distilled(Struct, frozen=True, tag="distilled"):
    """The sender has measured its half of the spent pair. `asks`: it has not heard the other's."""

    link: str
    keep: Int64
    outcome: Outcome
    asks: bool = False


class TurnBasis(Struct, frozen=True, tag="turn-basis"):
    """The leading end of a photonic link asks for a measurement basis, from now on called epoch."""

    link: str
    epoch: Int64
    basis: Basis


class BasisTurned(Struct, frozen=True, tag="basis-turned"):
    """The analyzer stands in the basis of this epoch; `ok` False: it could not be turned."""

    link: str
    epoch: Int64
    ok: bool = True
    reason: str = ""


class TagReport(Struct, frozen=True, tag="tag-report"):
    """Time stamps of one batch, without outcomes: the basis-blind form that QKD permits.

    `tags` are packed tags (docs/packed-tags.md) of one channel, 0, on the sender's timescale;
    docs/tag-exchange.md says what may be in them. Those in [start, sent_until) are all there, those
    from there to before `stop` were left out to keep to the sender's bandwidth. `epoch` is that of
    the analyzer for the whole batch, or -1 while it was turning. `lost`: tags are missing since the
    batch before; `stream` changes when the sender's timescale starts anew; `sequence` counts on
    within a stream.
    """

    link: str
    stream: Int64
    sequence: Count
    start_ps: Instant
    sent_until_ps: Instant
    stop_ps: Instant
    epoch: Int64
    tags: Annotated[bytes, Meta(max_length=MOST_REPORT_BYTES)]
    lost: bool = False

    def __post_init__(self) -> None:
        if not self.start_ps <= self.sent_until_ps <= self.stop_ps:
            raise ValueError(
                f"a tag report of [{self.start_ps}, {self.stop_ps}) ps sent until "
                f"{self.sent_until_ps} ps"
            )


class KeepTime(Struct, frozen=True, tag="keep-time"):
    """Asks the far end, by either end, to keep the clocks of a link in step for a while.

    The link then tags and tracks even if nobody asks for pairs. `afresh`: the clocks are to be
    found anew, whatever is believed of them.
    """

    link: str
    for_s: Annotated[float, Meta(gt=0, le=86400)]
    afresh: bool = False


class ClockReport(Struct, frozen=True, tag="clock-report"):
    """What the leading end knows of the two clocks.

    Its time = the receiver's + offset_whole + offset + skew (the receiver's - epoch), picoseconds;
    `uncertainty_ps` is one standard deviation of that now, a second at most. None where the clock
    is not known.
    """

    link: str
    stream: Int64
    state: Literal["acquiring", "tracking", "holdover", "lost"]
    epoch_ps: Instant | None = None
    offset_whole_ps: Instant = 0
    offset_ps: Finite = 0.0
    skew: Annotated[float, Meta(gt=-1e-2, lt=1e-2)] = 0.0
    uncertainty_ps: Annotated[float, Meta(ge=0, le=1e12)] | None = None


class GuardState(Struct, frozen=True, tag="guard-state"):
    """The sender's guard has stopped the link, for this reason, or "" it no longer does.

    Pairs with an identity above `after_pair` are not to be trusted, and are withdrawn at both ends.
    `number` counts the changes of one process; repeated until GuardSeen.
    """

    link: str
    number: Count
    reason: str
    after_pair: Int64 = 0


class GuardSeen(Struct, frozen=True, tag="guard-seen"):
    """The sender has taken a GuardState in."""

    link: str
    number: Count


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
    stream: Int64
    sequence: Int64
    first_pair: Int64
    tags: bytes
    use: bytes
    request: int = 0


class TestOutcomes(Struct, frozen=True, tag="test-outcomes"):
    """Outcomes for the test entries of a MatchReport, in their order: u8, 0 or 1."""

    link: str
    epoch: Int64
    first_pair: Int64
    outcomes: bytes


class LinkQuality(Struct, frozen=True, tag="link-quality"):
    """The leading end's estimate of the fidelity of a link, with its 95 % credible interval."""

    link: str
    fidelity: Share
    low: Share
    high: Share
    time_s: float


class FinishSeen(Struct, frozen=True, tag="finish-seen"):
    """The sender has taken a Finish in, whether or not it knew the request."""

    link: str
    request: Int64


class ProgramPart(Struct, frozen=True, array_like=True):
    """A program at one node. `sockets` are those it has opened, each named alike at its two ends;
    `born` tells it from others there; `proposed`: after all that the node had heard of when the
    part knew all others of its application; 0 before."""

    node: int
    born: Count
    sockets: Annotated[tuple[SocketName, ...], Meta(min_length=1, max_length=MOST_SOCKETS)]
    proposed: Count = 0


class ProgramHere(Struct, frozen=True, tag="program-here"):
    """What the sender knows of an application whose part has the socket `program` on this link;
    repeated until all of them have proposed when to begin."""

    link: str
    program: str
    parts: Annotated[tuple[ProgramPart, ...], Meta(max_length=MOST_PARTS)]
    asks: bool = True
    """Whether the sender wants to hear what it does not know."""


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
    | Tune
    | Tuned
    | Recalibrated
    | NotReady
    | ReadyAgain
    | EndRound
    | Heralded
    | PairHeld
    | PairDropped
    | PairDroppedSeen
    | Distil
    | Distilled
    | TurnBasis
    | BasisTurned
    | TagReport
    | KeepTime
    | ClockReport
    | MatchReport
    | TestOutcomes
    | LinkQuality
    | GuardState
    | GuardSeen
    | FinishSeen
    | ProgramHere
    | AppMessage
)
