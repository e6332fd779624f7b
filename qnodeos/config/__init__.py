"""The node's configuration: one TOML file, checked as a whole before anything starts."""

from __future__ import annotations

from qnodeos.config.load import ConfigError, load_node, schema
from qnodeos.config.models import (
    ApplicationsTable,
    BusTable,
    CorrelationsTable,
    InstrumentTable,
    InterlockTable,
    JournalTable,
    LinkTable,
    MemoryLinkTable,
    MidpointTable,
    NodeConfig,
    NodeTable,
    PeerTable,
    PhotonicLinkTable,
    QueueTable,
    RecordTable,
    ScheduleTable,
    TargetsTable,
    TeleportTable,
    VerifyTable,
    WireTable,
)

__all__ = [
    "ApplicationsTable",
    "BusTable",
    "ConfigError",
    "CorrelationsTable",
    "InstrumentTable",
    "InterlockTable",
    "JournalTable",
    "LinkTable",
    "MemoryLinkTable",
    "MidpointTable",
    "NodeConfig",
    "NodeTable",
    "PeerTable",
    "PhotonicLinkTable",
    "QueueTable",
    "RecordTable",
    "ScheduleTable",
    "TargetsTable",
    "TeleportTable",
    "VerifyTable",
    "WireTable",
    "load_node",
    "schema",
]
