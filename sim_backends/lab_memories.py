"""Tables of the lab file for memories, and for the midpoints that entangle two of them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim_backends.lab_parts import (
    LIFETIMES,
    SIGMAS,
    ClicksConfig,
    ClockNoise,
    DetectionConfig,
    ModeConfig,
    NotNegative,
    PhotonConfig,
    Positive,
    PowerOn,
    Probability,
    Skew,
    Table,
)

__all__ = ["MemoryConfig", "MidpointConfig"]


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
    needs the `bright_population` of both ends, of which they have `bright_factor` times what they
    are told; its phase is noisy by `phase_sigma_deg`, and `double_excitation` is the chance that an
    emitter gave two photons. `duty` is the share of slots in which attempts are made.
    `residual_depolarising` is what is found but not explained. `clicks` let a tagger see the
    detectors, `detection` lets its device move the window, for which the photons are `late_ns`. The
    interferometer of a single click is off by `phase_deg` and drifts; its device can turn it back.
    Two clicks have no phase.
    """

    ends: tuple[str, str]
    scheme: Literal["double_click", "single_click"] = "double_click"
    attempt_period_us: Annotated[float, Field(ge=0.01, le=1e7)]
    efficiency: dict[str, Probability]
    visibility: Probability
    dark_probability: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    photons: PhotonConfig | None = None
    clicks: ClicksConfig | None = None
    detection: DetectionConfig | None = None
    late_ns: Annotated[float, Field(ge=-1e6, le=1e6)] = 0.0
    bright_population: dict[str, Probability] = Field(default_factory=dict)
    bright_factor: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    phase_sigma_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    phase_deg: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0
    phase_drift_deg_per_s: Annotated[float, Field(ge=-360.0, le=360.0)] = 0.0
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

    @model_validator(mode="after")
    def _clicks_fit_the_photons(self) -> Self:
        clicks, photons = self.clicks, self.photons
        if clicks is None:
            return self
        if photons is None:
            raise ValueError("clicks without photons; expected the lifetime_ns of the photons too")
        binned = self.scheme == "double_click" and clicks.detectors == 2
        if (clicks.bin_ns is not None) != binned:
            raise ValueError(
                f"found clicks.bin_ns = {clicks.bin_ns}; expected it where two detectors tell two "
                "photons apart by time bins, and nowhere else"
            )
        if self.scheme == "single_click" and clicks.detectors != 2:
            raise ValueError("found 4 clicks.detectors; a single_click midpoint has 2")
        least_ns = LIFETIMES * photons.lifetime_ns + 1e-3 * (
            abs(photons.offset_ps) + 2 * SIGMAS * (photons.jitter_ps + clicks.jitter_ps)
        )
        if clicks.window_ns < least_ns:
            raise ValueError(
                f"found clicks.window_ns = {clicks.window_ns:g}; expected at least {least_ns:g}, "
                "which the photons need: a window that cuts them is not simulated"
            )
        if clicks.bins_ns + clicks.window_ns > 1e3 * self.attempt_period_us:
            raise ValueError(
                f"found windows of {clicks.bins_ns + clicks.window_ns:g} ns in all; expected them "
                f"within attempt_period_us = {self.attempt_period_us:g}"
            )
        return self
