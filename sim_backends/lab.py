"""The lab file: what stands in the simulated lab, with units and ranges."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sim_backends.faults.kinds import PLACES as FAULT_PLACES
from sim_backends.faults.script import FaultConfig, check_faults
from sim_backends.lab_file import LabError, build, read_toml
from sim_backends.scpi_yaml import load_box

__all__ = [
    "AnalyzerConfig",
    "ChannelConfig",
    "DetectorConfig",
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

BellName = Literal["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e12)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e12)]
Skew = Annotated[float, Field(ge=-1000.0, le=1000.0)]
PowerOn = Annotated[float, Field(ge=-1e6, le=0.0)]
Port = Annotated[int, Field(ge=1, le=65535)]
# A bare name, so that a serial port cannot appear outside the run directory.
NetworkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
PtyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LabSection(_Table):
    """`[lab]`: the seed of all chance, where instruments are reachable, where the truth goes."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    host: str = "127.0.0.1"
    run_dir: Path = Path("run")
    truth: Path | None = None


class LaserConfig(_Table):
    """A diode laser: no light below the threshold, then linear in the current."""

    threshold_ma: NotNegative
    slope_mw_per_ma: Positive
    max_current_ma: Positive
    wavelength_nm: Annotated[float, Field(ge=200.0, le=3000.0)]


class SourceConfig(_Table):
    """A pair source by down-conversion; `ends` name the channels its photons take."""

    pump: str
    pairs_per_s_per_mw: Annotated[float, Field(ge=0.0, le=1e7)]
    bell_state: BellName
    fidelity: Annotated[float, Field(ge=0.25, le=1.0)]
    ends: tuple[str, str]


class ChannelConfig(_Table):
    """A fibre and the losses on the way to an analyzer."""

    length_km: Annotated[float, Field(ge=0.0, le=1e4)] = 0.0
    loss_db_per_km: Annotated[float, Field(ge=0.0, le=100.0)] = 0.2
    loss_db: Annotated[float, Field(ge=0.0, le=200.0)] = 0.0


class AnalyzerConfig(_Table):
    """The angle of each plate's fast axis when its stage reads zero."""

    qwp_offset_deg: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0
    hwp_offset_deg: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0


class DetectorConfig(_Table):
    """A bank of equal nanowire detectors; efficiency and dark counts hold at the full bias."""

    channels: Annotated[int, Field(ge=1, le=64)]
    efficiency: Probability
    full_bias_ua: Positive
    dark_cps: Annotated[float, Field(ge=0.0, le=1e6)]
    jitter_ps: Annotated[float, Field(ge=0.0, le=1e6)]
    dead_time_ns: Annotated[float, Field(ge=0.0, le=1e6)]


class TaggerConfig(_Table):
    """A time tagger on its own clock; `inputs` says which detector (`bank.channel`) is on which."""

    skew_ppm: Skew = 0.0
    white_fm_1s: Annotated[float, Field(ge=0.0, le=1e-6)] = 0.0
    power_on_s: PowerOn = 0.0
    inputs: dict[Annotated[int, Field(ge=1, le=64)], str]


class MemoryConfig(_Table):
    """Qubits of one node; qubit 0 communicates. Errors are depolarising probabilities."""

    qubits: Annotated[int, Field(ge=1, le=32)]
    t1_s: Positive
    t2_s: Positive
    excited_population: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    gate_error: Probability = 0.0
    two_qubit_gate_error: Probability = 0.0
    readout_error: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    stated_fidelity: float | None = Field(default=None, ge=0.25, le=1.0)
    gate_time_us: NotNegative = 0.0
    readout_time_us: NotNegative = 0.0
    skew_ppm: Skew = 0.0
    power_on_s: PowerOn = 0.0

    @model_validator(mode="after")
    def _coherence_is_physical(self) -> Self:
        if self.t2_s > 2.0 * self.t1_s:
            raise ValueError(
                f"found t2_s = {self.t2_s:g} with t1_s = {self.t1_s:g}; expected t2_s <= 2 * t1_s"
            )
        return self


class MidpointConfig(_Table):
    """Two-photon heralding between two memories; `efficiency` is from emission to click."""

    ends: tuple[str, str]
    attempt_period_us: Annotated[float, Field(ge=0.01, le=1e7)]
    efficiency: dict[str, Probability]
    visibility: Probability
    dark_probability: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    skew_ppm: Skew = 0.0
    power_on_s: PowerOn = 0.0

    @model_validator(mode="after")
    def _efficiency_of_both_ends(self) -> Self:
        if self.ends[0] == self.ends[1]:
            raise ValueError(f"ends = {list(self.ends)}; expected two different memories")
        if set(self.efficiency) != set(self.ends):
            raise ValueError(
                f"found efficiency for {sorted(self.efficiency)}; expected it for the ends "
                f"{sorted(self.ends)}"
            )
        return self


_PORTS = (
    "port",
    "counts_port",
    "monitor_port",
    "dlt_port",
    "tags1_port",
    "tags2_port",
    "tags3_port",
    "tags4_port",
)
_ADDRESSES = ("pty", *_PORTS)


class InstrumentConfig(_Table):
    """How one thing of the lab is reached; `of` is `<section>.<name>`.

    An instrument that shows nothing of the lab, as a switch, has no `of`. `pty` is a name in the
    run directory; the others, as `port` and `counts_port`, are ports of the lab's host. `file` and
    `device` in it describe an instrument of a type that is made from a file.
    """

    type: str
    of: Annotated[str, Field(pattern=r"^([a-z]+\.[^.]+)?$")] = ""
    serial: Annotated[str, Field(max_length=80)] = ""
    file: Path | None = None
    device: str = ""
    pty: PtyName | None = None
    port: Port | None = None
    counts_port: Port | None = None
    monitor_port: Port | None = None
    dlt_port: Port | None = None
    tags1_port: Port | None = None
    tags2_port: Port | None = None
    tags3_port: Port | None = None
    tags4_port: Port | None = None

    @property
    def of_section(self) -> str:
        """The section of the thing it gives access to, e.g. "taggers"; "" for none."""
        return self.of.partition(".")[0]

    @property
    def of_name(self) -> str:
        """The name of that thing in its section."""
        return self.of.partition(".")[2]

    @property
    def addresses(self) -> dict[str, str | int]:
        """What is given of `pty` and the ports."""
        given = {name: getattr(self, name) for name in _ADDRESSES}
        return {name: value for name, value in given.items() if value is not None}

    @field_validator("type")
    @classmethod
    def _is_a_type(cls, value: str) -> str:
        # Late, as the instruments are made of models that are configured by this module.
        from sim_backends.catalogue import CATALOGUE

        if value not in CATALOGUE:
            raise ValueError(f"found {value!r}; expected one of {', '.join(sorted(CATALOGUE))}")
        return value

    @model_validator(mode="after")
    def _is_reached_as_its_type_is(self) -> Self:
        from sim_backends.catalogue import CATALOGUE

        kind = CATALOGUE[self.type]
        if kind.of and self.of_section not in kind.of:
            found = f"of = {self.of!r}" if self.of else "of is missing"
            raise ValueError(
                f"{found}; a {self.type} is expected to be of "
                + " or ".join(f"{section}.<name>" for section in kind.of)
            )
        if self.of and not kind.of:
            raise ValueError(f"of = {self.of!r}; a {self.type} shows nothing of the lab: remove it")
        if kind.from_file != (self.file is not None) or (self.device and not kind.from_file):
            raise ValueError(
                f"file is missing; a {self.type} is made from it"
                if kind.from_file
                else f"a {self.type} is not made from a file: remove file and device"
            )
        for field in kind.reached_by:
            if field not in self.addresses:
                raise ValueError(f"{field} is missing; a {self.type} is reached by it")
        for field, value in self.addresses.items():
            if field not in kind.mounts:
                raise ValueError(
                    f"{field} = {value!r}; a {self.type} is expected to have only "
                    + " and ".join(kind.mounts)
                )
        return self


class NetworkConfig(_Table):
    """A stretch of network that can go wrong: what connects to `port` reaches `to`, "HOST:PORT"."""

    port: Port
    to: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$")]


class LabConfig(_Table):
    """A whole lab, checked: every name that a table refers to exists."""

    lab: LabSection
    lasers: dict[str, LaserConfig] = {}
    sources: dict[str, SourceConfig] = {}
    channels: dict[str, ChannelConfig] = {}
    analyzers: dict[str, AnalyzerConfig] = {}
    detectors: dict[str, DetectorConfig] = {}
    taggers: dict[str, TaggerConfig] = {}
    memories: dict[str, MemoryConfig] = {}
    midpoints: dict[str, MidpointConfig] = {}
    instruments: dict[str, InstrumentConfig] = {}
    network: dict[NetworkName, NetworkConfig] = {}
    faults: list[FaultConfig] = []

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
    _check_references(config, path)
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


def _check_references(config: LabConfig, path: Path) -> None:
    """Every name that a table refers to must exist, and no address be used twice."""

    def known(where: str, name: str, section: str) -> None:
        names = sorted(getattr(config, section))
        if name not in names:
            expected = ", ".join(names) or f"a table [{section}.{name}]"
            raise LabError(
                path, where, f"found {name!r}, which is not in [{section}]; expected {expected}"
            )

    for name, source in config.sources.items():
        known(f"sources.{name}.pump", source.pump, "lasers")
        for end in source.ends:
            for section in ("channels", "analyzers", "detectors"):
                known(f"sources.{name}.ends", end, section)
            if config.detectors[end].channels < 2:
                raise LabError(
                    path,
                    f"detectors.{end}.channels",
                    "found 1; expected at least 2, transmitted and reflected, behind an analyzer",
                )
    for name, tagger in config.taggers.items():
        for number, wire in tagger.inputs.items():
            bank, _, channel = wire.rpartition(".")
            known(f"taggers.{name}.inputs.{number}", bank, "detectors")
            if not channel.isdecimal() or not 1 <= int(channel) <= config.detectors[bank].channels:
                raise LabError(
                    path,
                    f"taggers.{name}.inputs.{number}",
                    f"found {wire!r}; expected {bank}.1 to "
                    f"{bank}.{config.detectors[bank].channels}",
                )
    linked: dict[str, str] = {}
    for name, midpoint in config.midpoints.items():
        for end in midpoint.ends:
            known(f"midpoints.{name}.ends", end, "memories")
            if end in linked:
                raise LabError(
                    path,
                    f"midpoints.{name}.ends",
                    f"found {end!r}, which is an end of midpoint {linked[end]!r} already; "
                    "expected one midpoint a memory",
                )
            linked[end] = name
    used: dict[str, str] = {}
    for name, instrument in config.instruments.items():
        if instrument.of:
            known(f"instruments.{name}.of", instrument.of_name, instrument.of_section)
        for field, value in instrument.addresses.items():
            address = f"{'pty' if field == 'pty' else 'port'} {value}"
            if address in used:
                raise LabError(
                    path,
                    f"instruments.{name}.{field}",
                    f"found {address}, taken by instruments.{used[address]}; expected a free one",
                )
            used[address] = name
