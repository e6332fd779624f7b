"""The node's configuration file as typed, checked data.

Every table refuses entries it does not know. Quantities may be written with their unit (`units`).
Paths are absolute once loaded: they are given
relative to the folder of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from qnodeos.config.places import (
    absolute_path,
    absolute_resource,
    checked_broker_url,
    checked_listen,
    checked_tcp,
)
from qnodeos.config.units import (
    BytesPerSecond,
    Days,
    Gigabytes,
    Hours,
    Megabytes,
    Milliseconds,
    Picoseconds,
    PicosecondsFloat,
    Seconds,
    in_named_units,
)
from timing.clock_class import ClockName


def _path(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str):
        return absolute_path(value, _folder(info))
    return value


def _folder(info: ValidationInfo) -> Path:
    context = info.context or {}
    folder: Path = context.get("folder", Path())
    return folder


def _resource(value: str, info: ValidationInfo) -> str:
    return absolute_resource(value, _folder(info))


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
"""Names of nodes, instruments and links: they become parts of topics and file names."""

NodeId = Annotated[int, Field(ge=1, le=65535)]
FilePath = Annotated[Path, BeforeValidator(_path, json_schema_input_type=str)]
Resource = Annotated[str, Field(min_length=1), AfterValidator(_resource)]
TcpAddress = Annotated[str, AfterValidator(checked_tcp)]
ListenAddress = Annotated[str, AfterValidator(checked_listen)]
BrokerUrl = Annotated[str, AfterValidator(checked_broker_url)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Fidelity = Annotated[float, Field(ge=0.5, le=1.0)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
OutcomeChannel = Annotated[int, Field(ge=1, le=255)]
DelayPs = Annotated[Picoseconds, Field(ge=-1_000_000, le=1_000_000)]
DarkCps = Annotated[float, Field(gt=0.0, le=1e9)]
ValidS = Annotated[Seconds, Field(ge=10.0, le=1e7)]
PulsePeriodPs = Annotated[PicosecondsFloat, Field(gt=0.0, le=1e9)]
BellName = Literal["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]


class Table(BaseModel):
    """Base of all tables: frozen, no unknown entries, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NodeTable(Table):
    """[node]: who this node is and where it keeps its data."""

    name: Name
    id: NodeId
    data_dir: FilePath
    drain_s: Seconds = Field(default=5.0, ge=0.0, le=3600.0)
    """How long open requests may take to end when the node is told to stop."""


class PeerTable(Table):
    """[wire.peers.NAME]: another node, and the public key that proves it."""

    id: NodeId
    address: TcpAddress
    public_key: FilePath


class WireTable(Table):
    """[wire]: node to node, ZeroMQ with CURVE."""

    listen: ListenAddress
    secret_key: FilePath
    peers: dict[Name, PeerTable] = Field(default_factory=dict)


class BusTable(Table):
    """[bus]: the MQTT broker that carries state and alarms."""

    url: BrokerUrl


class MetricsTable(Table):
    """[metrics]: where Prometheus finds /metrics; without the table nowhere."""

    listen: ListenAddress


class LogTable(Table):
    """[log]: what a running node prints: lines for people, or one JSON object a line for a
    collector of logs, from this level up."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class JournalTable(Table):
    """[journal]: how long the journal keeps figures of each second and pairs (`details_days`; of
    older figures one a minute is left), and everything else (`keep_days`)."""

    details_days: Days = Field(default=7.0, gt=0.0, le=36_500.0)
    keep_days: Days = Field(default=365.0, gt=0.0, le=36_500.0)

    @model_validator(mode="after")
    def _details_go_first(self) -> Self:
        if self.details_days > self.keep_days:
            raise ValueError(
                f"details_days: found {self.details_days:g}, expected no more than keep_days, "
                f"{self.keep_days:g}"
            )
        return self


class RecordTable(Table):
    """[record]: every tag that passes through the node is kept on disk.

    In `directory`, by default `records` in the node's data_dir, in one folder a tagger. The oldest
    segments are removed beyond `keep_days` or `keep_gb`; nothing is recorded while the disk has
    less than `min_free_gb`. `seal`: closed segments become HDF5.
    """

    record: bool = True
    directory: FilePath | None = None
    segment_mb: Megabytes = Field(default=64, ge=1, le=1024)
    segment_s: Seconds = Field(default=600.0, ge=1.0, le=86_400.0)
    keep_days: Annotated[Days, Field(gt=0.0, le=36_500.0)] | None = None
    keep_gb: Annotated[Gigabytes, Field(gt=0.0, le=1e6)] | None = None
    min_free_gb: Gigabytes = Field(default=2.0, ge=0.0, le=1e6)
    seal: bool = False


class ProcessesTable(Table):
    """[processes]: programs of the NetQASM SDK. `listen` beside the node's own socket, for hosts on
    other computers: whoever reaches it may use the node. `flavour` is that of the programs."""

    listen: ListenAddress | None = None
    flavour: Literal["vanilla", "nv", "trapped-ion"] = "vanilla"


class InstrumentTable(Table):
    """[instruments.NAME]: one instrument, its driver and what to set on it.

    `policy` says what an instrument that comes back gets: "reapply" its settings, "keep" what it
    has, or go to its "safe" state. One that is `read_only` belongs to somebody else: it is looked
    at and never set.
    """

    driver: str = Field(min_length=1)
    resource: Resource
    serial: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    arm: bool = False
    policy: Literal["reapply", "keep", "safe"] = "reapply"
    read_only: bool = False

    @field_validator("options", "settings")
    @classmethod
    def _quantities(cls, value: dict[str, Any]) -> dict[str, Any]:
        return in_named_units(value)

    @model_validator(mode="after")
    def _nothing_to_set_where_only_looked_at(self) -> Self:
        if self.read_only and (self.arm or self.settings):
            found = "arm = true" if self.arm else f"settings {', '.join(self.settings)}"
            raise ValueError(
                f"read_only: found true with {found}, expected neither `arm` nor `settings` for an "
                "instrument that is only looked at"
            )
        return self


class InterlockTable(Table):
    """[interlocks.NAME]: readings of one instrument that make others safe until acknowledged."""

    when: str
    of: Name
    makes_safe: list[Name] = Field(min_length=1)

    @field_validator("when")
    @classmethod
    def _is_a_condition(cls, value: str) -> str:
        from drivers.conditions import parse_condition

        try:
            parse_condition(value)
        except ValueError as error:
            raise ValueError(f"when: found {error}, expected a condition") from error
        return value


class QueueTable(Table):
    """[links.NAME.queue]: in which order the leading end serves, and how many requests may wait.

    `priority`: the highest first; with `ageing_s`, waiting for so long counts as one step of
    priority. `fair`: each purpose gets its share of the attempts, by `weights` (1 if not named).
    """

    order: Literal["priority", "fair"] = "priority"
    ageing_s: Annotated[Seconds, Field(gt=0, le=86400)] | None = None
    weights: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(default_factory=dict)
    limit: int = Field(default=1024, ge=1, le=100_000)

    @model_validator(mode="after")
    def _fits_the_order(self) -> Self:
        if self.weights and self.order != "fair":
            raise ValueError("weights: found some, expected none where order is not fair")
        if self.ageing_s is not None and self.order != "priority":
            raise ValueError("ageing_s: found one, expected none where order is not priority")
        return self


class ScheduleTable(Table):
    """[links.NAME.schedule]: when in each period the link may attempt, on network time.

    Both ends have the same table, and clocks of the host that agree (PTP or NTP) to much less than
    a slot. Periods are counted from 1970.
    """

    period_ms: Milliseconds = Field(ge=0.1, le=60_000)
    offset_ms: Milliseconds = Field(default=0.0, ge=0)
    length_ms: Milliseconds = Field(gt=0)

    @model_validator(mode="after")
    def _part_of_the_period(self) -> Self:
        if self.length_ms > self.period_ms:
            raise ValueError(
                f"length_ms: found {self.length_ms:g}, expected at most period_ms "
                f"({self.period_ms:g})"
            )
        if self.offset_ms >= self.period_ms:
            raise ValueError(
                f"offset_ms: found {self.offset_ms:g}, expected less than period_ms "
                f"({self.period_ms:g})"
            )
        return self


class PhotonicLinkTable(Table):
    """Pairs measured directly (type M), heralded by matching the two ends' tags.

    Of the taggers' clocks either `clock_noise_1s` is told, their frequency noise at 1 s, or their
    class: `clock` ours, `peer_clock` the far end's (by default the same), each one of quartz, ocxo,
    rubidium, white_rabbit; `locked_clock` is the class of ours while the instrument `reference`
    says that it is locked. With `estimate_clock_noise` the data correct what was told.
    `pulse_period_ps` is that of a pulsed pair source, or "estimate" to find it in the tags.
    """

    kind: Literal["photonic"]
    peer: Name
    tagger: Name
    analyzer: Name
    outcome_channels: Annotated[tuple[OutcomeChannel, OutcomeChannel], Field(strict=False)]
    bell_state: BellName = "PHI_PLUS"
    window_ps: Picoseconds = Field(ge=1, le=1_000_000)
    clock_noise_1s: float | None = Field(default=None, gt=0.0, le=1e-4)
    clock: ClockName | None = None
    peer_clock: ClockName | None = None
    locked_clock: ClockName | None = None
    reference: Name | None = None
    estimate_clock_noise: bool = False
    pulse_period_ps: PulsePeriodPs | Literal["estimate"] | None = None
    basis_dwell_s: Seconds = Field(ge=0.1, le=3600.0)
    test_fraction: Fraction
    verify: VerifyTable | None = None
    calibration: CalibrationTable | None = None
    guard: GuardTable | None = None
    targets: TargetsTable | None = None
    queue: QueueTable = Field(default_factory=QueueTable)
    outcome_delays_ps: Annotated[tuple[DelayPs, DelayPs], Field(strict=False)] = (0, 0)
    """How much later than light the tags of each outcome channel come: cables, electronics."""
    dead_time_ps: Picoseconds = Field(default=100_000, ge=0, le=10_000_000)
    """The longest dead time of a detector: closer tags would tell that they are of two."""
    tag_bytes_per_s: BytesPerSecond = Field(default=4_000_000, ge=10_000, le=1_000_000_000)
    """Bandwidth for the tags sent to the peer; above it whole time slices are left out."""

    @model_validator(mode="after")
    def _clocks_are_told(self) -> Self:
        if (self.clock_noise_1s is None) == (self.clock is None):
            found = "neither" if self.clock is None else "both"
            raise ValueError(
                f"clock_noise_1s, clock: found {found}, expected one of them: the frequency noise "
                "of the taggers' clocks at 1 s, or their class"
            )
        if self.clock is None and (self.peer_clock or self.locked_clock):
            raise ValueError(
                "clock: found nothing, expected the class of this end's clock beside peer_clock "
                "or locked_clock"
            )
        if (self.reference is None) != (self.locked_clock is None):
            raise ValueError(
                "reference, locked_clock: found one of them, expected both: the instrument that "
                "says whether our clock is locked, and its class while it is"
            )
        return self

    @model_validator(mode="after")
    def _two_channels(self) -> Self:
        if len(set(self.outcome_channels)) != 2:
            raise ValueError(
                f"outcome_channels: found {list(self.outcome_channels)}, "
                "expected two different channels: transmitted (+1), reflected (-1)"
            )
        return self


class VerifyTable(Table):
    """[links.NAME.verify]: this end verifies the link by itself, again and again.

    `tomography_every_h`: how often the whole state is asked for, with `tomography_pairs`. Verified
    is when nobody asks for pairs, or when it is overdue by a tenth.
    """

    every_h: Hours = Field(default=24.0, ge=0.01, le=10_000.0)
    pairs: Count = 900
    tomography_every_h: Annotated[Hours, Field(ge=0.01, le=100_000.0)] | None = 168.0
    tomography_pairs: Count = 9000
    within_s: Seconds = Field(default=600.0, gt=0.0, le=86_400.0)


class CalibrationTable(Table):
    """[links.NAME.calibration]: the leading end keeps a photonic link in spec: how long a good
    result of each task is valid, and what is in spec.

    Due tasks wait for a moment without requests, at the latest until `hard_limit_factor` times
    their validity. `most_uncertainty` of the clocks and `most_delay` of the peak are shares of half
    the window.
    """

    on: bool = True
    hard_limit_factor: float = Field(default=1.5, ge=1.0, le=100.0)
    retry_s: Annotated[Seconds, Field(gt=0, le=86_400)] = 60.0
    synchronisation_valid_s: ValidS = 600.0
    delay_valid_s: ValidS = 3600.0
    window_valid_s: ValidS = 3600.0
    pump_valid_s: ValidS = 3600.0
    polarization_valid_s: ValidS = 3600.0
    most_uncertainty: float = Field(default=0.5, gt=0.0, le=1.0)
    most_delay: float = Field(default=0.2, gt=0.0, le=1.0)
    least_in_window: float = Field(default=0.8, gt=0.0, le=1.0)
    most_accidental: float = Field(default=0.2, gt=0.0, lt=1.0)
    most_qber: float = Field(default=0.11, gt=0.0, lt=0.5)


class GuardTable(Table):
    """[links.NAME.guard]: this end's detectors are watched for signs of blinding.

    `dark_cps`: what the detector of each outcome channel surely counts in the dark; `most_cps`:
    what none may exceed. Both are tested on windows of `window_s`, with fewer false alarms than
    `false_alarms_per_year`.
    """

    dark_cps: Annotated[tuple[DarkCps, DarkCps], Field(strict=False)]
    most_cps: float = Field(default=1e8, gt=0.0, le=1e12)
    window_s: Seconds = Field(default=1.0, ge=0.1, le=600.0)
    false_alarms_per_year: float = Field(default=0.01, gt=0.0, le=1e4)

    @model_validator(mode="after")
    def _can_tell(self) -> Self:
        from link_layer.guard import RateGuard

        for dark_cps in self.dark_cps:
            guard = RateGuard(
                dark_cps,
                self.most_cps,
                window_s=self.window_s,
                false_alarms_per_year=self.false_alarms_per_year,
            )
            if not guard.can_tell:
                raise ValueError(
                    f"window_s: found {self.window_s:g}, expected more: {dark_cps:g} dark counts "
                    "a second may be absent for so long by chance"
                )
        return self


class TargetsTable(Table):
    """[links.NAME.targets]: what is promised of the link; /metrics tells them beside what is
    reached, for a dashboard and its alerts. Nothing else hangs on them.

    `heralding_efficiency`: of a memory link heralds per attempt, of a photonic link coincidences
    over the geometric mean of the singles (Klyshko).
    """

    pairs_per_s: float | None = Field(default=None, gt=0.0, le=1e12)
    fidelity: Fidelity | None = None
    heralding_efficiency: Fraction | None = None
    lifetime_s: Annotated[Seconds, Field(gt=0.0, le=1e6)] | None = None
    correction_p99_ms: Annotated[Milliseconds, Field(gt=0.0, le=1e6)] | None = None


class BrightStateTable(Table):
    """[links.NAME.bright_state]: the emitters' bright-state population is chosen for each request,
    within these bounds; heralds are single clicks. The same at both ends.

    `dark_per_signal`: dark counts in the herald's window over the detection probability of a
    photon.
    """

    lowest: float = Field(default=0.01, gt=0.0, le=0.5)
    highest: float = Field(default=0.5, gt=0.0, le=0.5)
    dark_per_signal: float = Field(default=0.0, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.lowest > self.highest:
            raise ValueError(
                f"lowest, highest: found {self.lowest} above {self.highest}, expected them rising"
            )
        return self


class MemoryLinkTable(Table):
    """Pairs kept in memory (type K), heralded by a midpoint station.

    `port` is the optical port of the device that leads to the station, where it has several.
    """

    kind: Literal["memory"]
    peer: Name
    station: Name
    device: Name
    port: int = Field(default=0, ge=0, le=255)
    minimum_useful_fidelity: Fidelity
    test_fraction: Fraction
    """Most of the rounds that only test the link; fewer where it is known well and rests."""
    fidelity_precision: float = Field(default=0.02, ge=0.001, le=0.25)
    """Half the interval of the fidelity that is aimed at."""
    bright_state: BrightStateTable | None = None
    verify: VerifyTable | None = None
    targets: TargetsTable | None = None
    queue: QueueTable = Field(default_factory=QueueTable)
    schedule: ScheduleTable | None = None


class MidpointTable(Table):
    """The station's side of a memory link."""

    kind: Literal["midpoint"]
    ends: Annotated[tuple[Name, Name], Field(strict=False)]
    device: Name

    @model_validator(mode="after")
    def _two_ends(self) -> Self:
        if self.ends[0] == self.ends[1]:
            raise ValueError(f"ends: found {list(self.ends)}, expected two different nodes")
        return self


LinkTable = Annotated[
    PhotonicLinkTable | MemoryLinkTable | MidpointTable, Field(discriminator="kind")
]


class ApplicationTable(Table):
    """[applications.NAME]: the sender asks for pairs of the link, the receiver takes its halves."""

    link: Name
    role: Literal["sender", "receiver"]
    pairs_per_request: Count | None = None
    fidelity: Fidelity | None = None

    @model_validator(mode="after")
    def _sender_asks(self) -> Self:
        asked = {"pairs_per_request": self.pairs_per_request, "fidelity": self.fidelity}
        if self.role == "sender" and (missing := [k for k, v in asked.items() if v is None]):
            raise ValueError(
                f"{' and '.join(missing)}: found nothing, expected a value, because the sender "
                "is the one that asks for pairs"
            )
        if self.role == "receiver" and (extra := [k for k, v in asked.items() if v is not None]):
            raise ValueError(
                f"{' and '.join(extra)}: found a value, expected none, because the receiver asks "
                "for no pairs"
            )
        return self


class TeleportTable(ApplicationTable):
    """Sends the six cardinal states through pairs of a memory link."""


class CorrelationsTable(ApplicationTable):
    """Takes measured pairs of a photonic link."""

    role: Literal["sender", "receiver"] = "sender"


class ApplicationsTable(Table):
    """[applications]: what runs on this node, by name."""

    teleport: TeleportTable | None = None
    correlations: CorrelationsTable | None = None


class NodeConfig(Table):
    """All of one node's configuration, with absolute paths; made by `load_node`."""

    node: NodeTable
    wire: WireTable
    bus: BusTable
    metrics: MetricsTable | None = None
    journal: JournalTable = Field(default_factory=JournalTable)
    log: LogTable = Field(default_factory=LogTable)
    record: RecordTable = Field(default_factory=lambda: RecordTable(record=False))
    processes: ProcessesTable = Field(default_factory=ProcessesTable)
    instruments: dict[Name, InstrumentTable] = Field(default_factory=dict)
    interlocks: dict[Name, InterlockTable] = Field(default_factory=dict)
    links: dict[Name, LinkTable] = Field(default_factory=dict)
    applications: ApplicationsTable = Field(default_factory=ApplicationsTable)

    _path: Path = PrivateAttr(default=Path())

    @property
    def path(self) -> Path:
        """The file this came from, absolute."""
        return self._path
