"""Tables of the lab file for light: lasers and sources, fibres, and what detects it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from sim_backends.lab_parts import (
    AnyNumber,
    ClockNoise,
    ConversionConfig,
    NotNegative,
    Positive,
    PowerOn,
    Probability,
    PulsesConfig,
    Skew,
    Table,
)
from sim_backends.states import BellName

__all__ = [
    "AnalyzerConfig",
    "ChannelConfig",
    "DetectorConfig",
    "EmitterConfig",
    "LaserConfig",
    "SourceConfig",
    "TaggerConfig",
]


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
    `wavelength_nm`. The laser `flash` shines on the detectors directly: they get
    `flash_cps_per_mw` photons a second in all for each milliwatt of it.
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
    flash: str | None = None
    flash_cps_per_mw: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
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
    """A time tagger on its own clock; `inputs` says which detector is on which.

    Detectors are named `bank.channel`; those of a midpoint with `clicks` likewise, by its name.
    """

    skew_ppm: Skew = 0.0
    white_fm_1s: Annotated[float, Field(ge=0.0, le=1e-6)] = 0.0
    power_on_s: PowerOn = 0.0
    clock: ClockNoise | None = None
    inputs: dict[Annotated[int, Field(ge=1, le=64)], str]
