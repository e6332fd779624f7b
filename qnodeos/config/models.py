"""The node's configuration file as typed, checked data.

Every table refuses entries it does not know. Quantities may be written with their unit (`units`).
Paths are absolute once loaded. What a link has is in `links`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from qnodeos.config.links import LinkTable, MemoryLinkTable, PhotonicLinkTable
from qnodeos.config.tables import (
    BrokerUrl,
    Count,
    Fidelity,
    FilePath,
    ListenAddress,
    Name,
    NodeId,
    Resource,
    Table,
    TcpAddress,
)
from qnodeos.config.units import Days, Gigabytes, Megabytes, Seconds, in_named_units


class NodeTable(Table):
    """[node]: who this node is and where it keeps its data."""

    name: Name
    id: NodeId
    data_dir: FilePath
    drain_s: Seconds = Field(default=5.0, ge=0.0, le=3600.0)
    """How long open requests may take to end when the node is told to stop."""
    wake_within_us: int | None = Field(default=None, ge=0, le=1_000_000)
    """Keeps the processors from sleeping so that they take longer to wake; None: as they are."""


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

    @property
    def guards(self) -> dict[str, tuple[str, ...]]:
        """Of links that a guard of this node stops: what a person acknowledges it as, and the
        instruments that it holds in their safe state."""
        found = {}
        for name, link in self.links.items():
            if isinstance(link, PhotonicLinkTable) and link.guard is not None:
                found[f"{name}.guard"] = link.guard.stops
            elif isinstance(link, MemoryLinkTable) and (watched := link.coherence) is not None:
                if watched.on_alarm == "tell":
                    continue
                found[f"{name}.guard"] = watched.stops
        return found
