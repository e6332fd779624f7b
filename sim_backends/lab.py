"""The lab file: what stands in the simulated lab, with units and ranges."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from sim_backends.faults.kinds import PLACES as FAULT_PLACES
from sim_backends.faults.script import FaultConfig, check_faults
from sim_backends.lab_file import LabError, build, read_toml
from sim_backends.lab_parts import (
    AnyNumber,
    ClockNoise,
    ConversionConfig,
    ModeConfig,
    NotNegative,
    PhotonConfig,
    Positive,
    Probability,
    PulsesConfig,
    SqueezersConfig,
    Table,
)
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

BellName = Literal["PHI_PLUS", "PHI_MINUS", "PSI_PLUS", "PSI_MINUS"]
Skew = Annotated[float, Field(ge=-1000.0, le=1000.0)]
PowerOn = Annotated[float, Field(ge=-1e6, le=0.0)]
Port = Annotated[int, Field(ge=1, le=65535)]
# A bare name, so that a serial port cannot appear outside the run directory.
NetworkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
PtyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]


class LabSection(Table):
    """`[lab]`: the seed of all chance, where instruments are reachable, where the truth goes."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    host: str = "127.0.0.1"
    run_dir: Path = Path("run")
    truth: Path | None = None


class LaserConfig(Table):
    """A diode laser: no light below the threshold, then linear in the current."""

    threshold_ma: NotNegative
    slope_mw_per_ma: Positive
    max_current_ma: Positive
    wavelength_nm: Annotated[float, Field(ge=200.0, le=3000.0)]


class SourceConfig(Table):
    """A pair source by down-conversion; `ends` name the channels its photons take.

    Pairs come at random unless `pulses` say when. The photons of a pair are apart by
    `correlation_ps` and in wavelength from the mean by opposite parts of `bandwidth_nm` (standard
    deviations).
    """

    pump: str
    pairs_per_s_per_mw: Annotated[float, Field(ge=0.0, le=1e7)]
    bell_state: BellName
    fidelity: Annotated[float, Field(ge=0.25, le=1.0)]
    ends: tuple[str, str]
    pulses: PulsesConfig | None = None
    correlation_ps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    bandwidth_nm: Annotated[float, Field(ge=0.0, le=1000.0)] = 0.0


class EmitterConfig(Table):
    """A single-photon emitter driven by a laser; its photons take the channel `end`.

    Excited at `excitations_per_s_per_mw`, or by `pulse_rate_hz`, it decays with `lifetime_ns`.
    `background` is the share of emission that is not its own, which makes g2(0) = b (2 - b).
    """

    pump: str
    end: str
    lifetime_ns: Positive
    excitations_per_s_per_mw: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    pulse_rate_hz: Annotated[float, Field(ge=1.0, le=1e10)] | None = None
    collection: Probability = 1.0
    background: Probability = 0.0


class ChannelConfig(Table):
    """A fibre and the losses on the way to an analyzer.

    `delay_walk_ps` and `polarization_walk_deg` are the standard deviations that a second of random
    walk adds, the latter to the rotation about each axis of the sphere. The delay also swings by
    `delay_swing_ps` about its mean, once in `delay_swing_period_s`. `classical_cps` are photons of
    other light that leave the fibre each second. `blinding_uw` of bright light drive the detectors
    behind it: they click `faked_cps` times a second in all, and for nothing else. All light is of
    `wavelength_nm`.
    """

    length_km: Annotated[float, Field(ge=0.0, le=1e4)] = 0.0
    loss_db_per_km: Annotated[float, Field(ge=0.0, le=100.0)] = 0.2
    loss_db: Annotated[float, Field(ge=0.0, le=200.0)] = 0.0
    dispersion_ps_per_nm_km: Annotated[float, Field(ge=-1000.0, le=1000.0)] = 0.0
    delay_drift_ps_per_s: AnyNumber = 0.0
    delay_walk_ps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    delay_swing_ps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    delay_swing_period_s: Positive = 86_400.0
    rotation_deg: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0
    rotation_axis: tuple[AnyNumber, AnyNumber, AnyNumber] = (0.0, 0.0, 1.0)
    polarization_walk_deg: Annotated[float, Field(ge=0.0, le=360.0)] = 0.0
    classical_cps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    blinding_uw: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    faked_cps: Annotated[float, Field(ge=0.0, le=1e7)] = 0.0
    wavelength_nm: Annotated[float, Field(ge=200.0, le=3000.0)] = 810.0
    conversion: ConversionConfig | None = None

    @field_validator("rotation_axis")
    @classmethod
    def _points_somewhere(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if not any(value):
            raise ValueError("found (0, 0, 0); expected an axis of the sphere, as [0, 0, 1]")
        return value


class AnalyzerConfig(Table):
    """The angle of each plate's fast axis when its stage reads zero."""

    qwp_offset_deg: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0
    hwp_offset_deg: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0


class DetectorConfig(Table):
    """A bank of equal nanowire detectors; efficiency and dark counts hold at the full bias.

    A share `tail` of the clicks comes later than the Gaussian jitter by an exponential time of
    mean `tail_ps`. After a click another follows with `afterpulse`, `afterpulse_ns` after the dead
    time in the mean. After the dead time the efficiency comes back with `recovery_ns`. Above
    `blinding_cps` of light a wire stays normal and counts nothing; a click latches it with the
    probability `latching` until its bias has been low.
    """

    channels: Annotated[int, Field(ge=1, le=64)]
    efficiency: Probability
    full_bias_ua: Positive
    dark_cps: Annotated[float, Field(ge=0.0, le=1e6)]
    jitter_ps: Annotated[float, Field(ge=0.0, le=1e6)]
    dead_time_ns: Annotated[float, Field(ge=0.0, le=1e6)]
    tail: Probability = 0.0
    tail_ps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    afterpulse: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    afterpulse_ns: Annotated[float, Field(gt=0.0, le=1e6)] = 50.0
    recovery_ns: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    blinding_cps: Annotated[float, Field(gt=0.0, le=1e12)] | None = None
    latching: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


class TaggerConfig(Table):
    """A time tagger on its own clock; `inputs` says which detector (`bank.channel`) is on which."""

    skew_ppm: Skew = 0.0
    white_fm_1s: Annotated[float, Field(ge=0.0, le=1e-6)] = 0.0
    power_on_s: PowerOn = 0.0
    clock: ClockNoise | None = None
    inputs: dict[Annotated[int, Field(ge=1, le=64)], str]


class MemoryConfig(Table):
    """Qubits of one node; qubit 0 communicates. Errors are depolarising probabilities.

    With `attempt_modes` the device keeps the halves of that many last attempts, and no herald stops
    it; 0 is a device with one mode. `modes` say where a qubit differs. A gate on a qubit dephases
    its neighbours by `crosstalk`; work on another qubit than the last begins `switching_time_us`
    later.
    """

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
    switching_time_us: NotNegative = 0.0
    initialise_error: Probability = 0.0
    crosstalk: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    modes: dict[Annotated[int, Field(ge=0, le=31)], ModeConfig] = Field(default_factory=dict)
    attempt_modes: Annotated[int, Field(ge=0, le=65536)] = 0
    skew_ppm: Skew = 0.0
    power_on_s: PowerOn = 0.0
    clock: ClockNoise | None = None

    @model_validator(mode="after")
    def _coherence_is_physical(self) -> Self:
        if self.t2_s > 2.0 * self.t1_s:
            raise ValueError(
                f"found t2_s = {self.t2_s:g} with t1_s = {self.t1_s:g}; expected t2_s <= 2 * t1_s"
            )
        for number, mode in self.modes.items():
            if number >= self.qubits:
                raise ValueError(
                    f"found modes.{number} of {self.qubits} qubits; expected 0 to {self.qubits - 1}"
                )
            t1_s = self.t1_s if mode.t1_s is None else mode.t1_s
            t2_s = self.t2_s if mode.t2_s is None else mode.t2_s
            if t2_s > 2.0 * t1_s:
                raise ValueError(
                    f"found t2_s = {t2_s:g} with t1_s = {t1_s:g} of modes.{number}; "
                    "expected t2_s <= 2 * t1_s"
                )
        return self


class MidpointConfig(Table):
    """Heralding between two memories by two clicks or by one; `efficiency` is emission to click.

    A memory that is an end of several midpoints has an optical port for each, numbered from 0 in
    the order of the midpoints in the file, and attempts at one of them at a time.

    `visibility` is the photons' overlap in all but time, of which `photons` tell. A single click
    needs the `bright_population` of both ends; its phase is noisy by `phase_sigma_deg`, and
    `double_excitation` is the chance that an emitter gave two photons. `duty` is the share of
    slots in which attempts are made. `residual_depolarising` is what is found but not explained.
    """

    ends: tuple[str, str]
    scheme: Literal["double_click", "single_click"] = "double_click"
    attempt_period_us: Annotated[float, Field(ge=0.01, le=1e7)]
    efficiency: dict[str, Probability]
    visibility: Probability
    dark_probability: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    photons: PhotonConfig | None = None
    bright_population: dict[str, Probability] = Field(default_factory=dict)
    phase_sigma_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    double_excitation: Probability = 0.0
    duty: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    residual_depolarising: Probability = 0.0
    skew_ppm: Skew = 0.0
    power_on_s: PowerOn = 0.0
    clock: ClockNoise | None = None

    @model_validator(mode="after")
    def _efficiency_of_both_ends(self) -> Self:
        if self.ends[0] == self.ends[1]:
            raise ValueError(f"ends = {list(self.ends)}; expected two different memories")
        if set(self.efficiency) != set(self.ends):
            raise ValueError(
                f"found efficiency for {sorted(self.efficiency)}; expected it for the ends "
                f"{sorted(self.ends)}"
            )
        wanted = set(self.ends) if self.scheme == "single_click" else set()
        if set(self.bright_population) != wanted:
            raise ValueError(
                f"found bright_population for {sorted(self.bright_population)}; a {self.scheme} "
                f"midpoint is expected to have it for {sorted(wanted) or 'none'}"
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


class InstrumentConfig(Table):
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


class NetworkConfig(Table):
    """A stretch of network that can go wrong: what connects to `port` reaches `to`, "HOST:PORT"."""

    port: Port
    to: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$")]


class LabConfig(Table):
    """A whole lab, checked: every name that a table refers to exists."""

    lab: LabSection
    lasers: dict[str, LaserConfig] = Field(default_factory=dict)
    sources: dict[str, SourceConfig] = Field(default_factory=dict)
    emitters: dict[str, EmitterConfig] = Field(default_factory=dict)
    channels: dict[str, ChannelConfig] = Field(default_factory=dict)
    squeezers: dict[str, SqueezersConfig] = Field(default_factory=dict)
    analyzers: dict[str, AnalyzerConfig] = Field(default_factory=dict)
    detectors: dict[str, DetectorConfig] = Field(default_factory=dict)
    taggers: dict[str, TaggerConfig] = Field(default_factory=dict)
    memories: dict[str, MemoryConfig] = Field(default_factory=dict)
    midpoints: dict[str, MidpointConfig] = Field(default_factory=dict)
    instruments: dict[str, InstrumentConfig] = Field(default_factory=dict)
    network: dict[NetworkName, NetworkConfig] = Field(default_factory=dict)
    faults: list[FaultConfig] = Field(default_factory=list)

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
    for name in config.squeezers:
        known(f"squeezers.{name}", name, "channels")
    for name, emitter in config.emitters.items():
        known(f"emitters.{name}.pump", emitter.pump, "lasers")
        for section in ("channels", "analyzers", "detectors"):
            known(f"emitters.{name}.end", emitter.end, section)
        if config.detectors[emitter.end].channels < 2:
            raise LabError(
                path,
                f"detectors.{emitter.end}.channels",
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
    for name, midpoint in config.midpoints.items():
        for end in midpoint.ends:
            known(f"midpoints.{name}.ends", end, "memories")
        kinds = {end: config.memories[end].attempt_modes > 0 for end in midpoint.ends}
        if len(set(kinds.values())) > 1:
            raise LabError(
                path,
                f"midpoints.{name}.ends",
                f"found {max(kinds, key=kinds.__getitem__)!r} alone with attempt_modes; expected "
                "both ends with them or none, as one herald line either stops both or neither",
            )
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
