"""The lab file: what stands in the simulated lab, with units and ranges.

The tables are in `lab_light`, `lab_memories` and `lab_instruments`, and what they share in
`lab_parts`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sim_backends.faults.kinds import PLACES as FAULT_PLACES
from sim_backends.faults.script import FaultConfig, check_faults
from sim_backends.lab_file import LabError, build, read_toml
from sim_backends.lab_instruments import InstrumentConfig, NetworkConfig
from sim_backends.lab_light import (
    AnalyzerConfig,
    ChannelConfig,
    DetectorConfig,
    EmitterConfig,
    LaserConfig,
    SourceConfig,
    TaggerConfig,
)
from sim_backends.lab_memories import MemoryConfig, MidpointConfig
from sim_backends.lab_parts import PaddlesConfig, SqueezersConfig, Table
from sim_backends.lab_references import check_references
from sim_backends.scpi_yaml import load_box

__all__ = [
    "AnalyzerConfig",
    "ChannelConfig",
    "DetectorConfig",
    "EmitterConfig",
    "InstrumentConfig",
    "LabConfig",
    "LabError",
    "LabSection",
    "LaserConfig",
    "MemoryConfig",
    "MidpointConfig",
    "NetworkConfig",
    "SourceConfig",
    "TaggerConfig",
    "load_lab",
]

NetworkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


class LabSection(Table):
    """`[lab]`: the seed of all chance, where instruments are reachable, where the truth goes."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    host: str = "127.0.0.1"
    run_dir: Path = Path("run")
    truth: Path | None = None


class LabConfig(Table):
    """A whole lab, checked: every name that a table refers to exists."""

    lab: LabSection
    lasers: dict[str, LaserConfig] = Field(default_factory=dict)
    sources: dict[str, SourceConfig] = Field(default_factory=dict)
    emitters: dict[str, EmitterConfig] = Field(default_factory=dict)
    channels: dict[str, ChannelConfig] = Field(default_factory=dict)
    squeezers: dict[str, SqueezersConfig] = Field(default_factory=dict)
    paddles: dict[str, PaddlesConfig] = Field(default_factory=dict)
    analyzers: dict[str, AnalyzerConfig] = Field(default_factory=dict)
    detectors: dict[str, DetectorConfig] = Field(default_factory=dict)
    taggers: dict[str, TaggerConfig] = Field(default_factory=dict)
    memories: dict[str, MemoryConfig] = Field(default_factory=dict)
    midpoints: dict[str, MidpointConfig] = Field(default_factory=dict)
    instruments: dict[str, InstrumentConfig] = Field(default_factory=dict)
    network: dict[NetworkName, NetworkConfig] = Field(default_factory=dict)
    faults: list[FaultConfig] = Field(default_factory=list)

    def seen_channels(self, bank: str) -> int | None:
        """How many detectors a bank or a midpoint has that a tagger can see; None: there is none.

        The last of a midpoint is no detector, but its trigger. A bank of detectors hides a midpoint
        of the same name.
        """
        if bank in self.detectors:
            return self.detectors[bank].channels
        midpoint = self.midpoints.get(bank)
        return None if midpoint is None or midpoint.clicks is None else midpoint.clicks.channels

    @property
    def things(self) -> dict[str, list[str]]:
        """The names of all that something can go wrong with, by section."""
        return {section: list(getattr(self, section)) for section in FAULT_PLACES}


def load_lab(path: Path | str, *, network: Collection[str] = ()) -> LabConfig:
    """Read and check a lab file; `run_dir`, `truth` and files become absolute, relative to it.

    `${NAME}` and `${NAME:-default}` in strings are taken from the environment.
    `network` names what faults of the network can be of, where it is not this lab's tables that do.
    Raises LabError with one message that names file, field, what was found and what was expected.
    """
    path = Path(path)
    config = build(LabConfig, read_toml(path), path)
    check_references(config, path)
    check_faults(config.faults, {**config.things, "network": network or config.network}, path)
    base = path.resolve().parent
    lab = config.lab
    instruments = {
        name: item if item.file is None else item.model_copy(update={"file": base / item.file})
        for name, item in config.instruments.items()
    }
    for item in instruments.values():
        if item.file is not None:
            load_box(item.file, item.device)
    return config.model_copy(
        update={
            "instruments": instruments,
            "lab": lab.model_copy(
                update={
                    "run_dir": base / lab.run_dir,
                    "truth": None if lab.truth is None else base / lab.truth,
                }
            ),
        }
    )
