"""The node's configuration: one TOML file, checked as a whole before anything starts."""

from __future__ import annotations

from qnodeos.config.links import (
    CalibrationTable,
    GuardTable,
    LinkTable,
    MemoryLinkTable,
    MidpointTable,
    PhotonicLinkTable,
    PolarizationTable,
    QueueTable,
    ScheduleTable,
    TargetsTable,
    VerifyTable,
)
from qnodeos.config.load import ConfigError, load_node, schema
from qnodeos.config.models import (
    ApplicationsTable,
    BusTable,
    CorrelationsTable,
    InstrumentTable,
    InterlockTable,
    JournalTable,
    LogTable,
    NodeConfig,
    NodeTable,
    PeerTable,
    RecordTable,
    TeleportTable,
    WireTable,
)

__all__ = [
    "ApplicationsTable",
    "BusTable",
    "CalibrationTable",
    "ConfigError",
    "CorrelationsTable",
    "GuardTable",
    "InstrumentTable",
    "InterlockTable",
    "JournalTable",
    "LinkTable",
    "LogTable",
    "MemoryLinkTable",
    "MidpointTable",
    "NodeConfig",
    "NodeTable",
    "PeerTable",
    "PhotonicLinkTable",
    "PolarizationTable",
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
