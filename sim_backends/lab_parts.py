"""Parts of the lab file's tables: those that most labs leave out, and the kinds of numbers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "LIFETIMES",
    "SIGMAS",
    "AnyNumber",
    "ClicksConfig",
    "ClockNoise",
    "ConversionConfig",
    "DetectionConfig",
    "LongTime",
    "ModeConfig",
    "NotNegative",
    "PaddlesConfig",
    "PhotonConfig",
    "Positive",
    "PowerOn",
    "Probability",
    "PulsesConfig",
    "Skew",
    "SqueezersConfig",
    "Table",
]

LIFETIMES = 10.0
"""A detection window has to be so many lifetimes of a photon long at least."""
SIGMAS = 6.0
"""No jitter is further off than so many standard deviations."""

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, le=1e12)]
NotNegative = Annotated[float, Field(ge=0.0, le=1e12)]
AnyNumber = Annotated[float, Field(ge=-1e12, le=1e12)]
Skew = Annotated[float, Field(ge=-1000.0, le=1000.0)]
PowerOn = Annotated[float, Field(ge=-1e6, le=0.0)]
PaddleAngle = Annotated[float, Field(ge=0.0, le=170.0)]
LongTime = Annotated[float, Field(gt=0.0, le=1e12)]


class Table(BaseModel):
    """A table of the lab file: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PulsesConfig(Table):
    """A pulsed pump: pairs come with its pulses, in numbers of `modes` thermal modes each.

    One mode is thermal (g2 = 2), many are Poissonian (g2 = 1); without `modes` exactly so.
    """

    rate_hz: Annotated[float, Field(ge=1.0, le=1e11)]
    length_ps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    modes: Annotated[float, Field(ge=1.0, le=1e6)] | None = None


class ConversionConfig(Table):
    """A frequency converter at the near end of a fibre; its noise goes on with the light."""

    efficiency: Probability
    noise_cps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0


class SqueezersConfig(Table):
    """Four squeezers behind the fibre of the same name, before its analyzer.

    `turn_mv` is the drive of each that makes a full turn, `bias_deg` what it turns without any.
    """

    turn_mv: tuple[Positive, Positive, Positive, Positive] = (4000.0, 4000.0, 4000.0, 4000.0)
    bias_deg: tuple[AnyNumber, AnyNumber, AnyNumber, AnyNumber] = (0.0, 0.0, 0.0, 0.0)


class PaddlesConfig(Table):
    """Three paddles behind the fibre of the same name, before its analyzer.

    `retardance_deg` is that of each as a wave plate, `angles_deg` where they stand at the begin.
    """

    retardance_deg: tuple[AnyNumber, AnyNumber, AnyNumber] = (90.0, 180.0, 90.0)
    angles_deg: tuple[PaddleAngle, PaddleAngle, PaddleAngle] = (0.0, 0.0, 0.0)


class PhotonConfig(Table):
    """The photons that meet at a midpoint: their decay, and how the two differ.

    `offset_ps` is the mean difference of arrival, `jitter_ps` its standard deviation. Clicks more
    than `window_ns` apart herald nothing.
    """

    lifetime_ns: Annotated[float, Field(gt=0.0, le=1e9)]
    offset_ps: Annotated[float, Field(ge=-1e9, le=1e9)] = 0.0
    jitter_ps: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    detuning_mhz: Annotated[float, Field(ge=-1e6, le=1e6)] = 0.0
    dephasing_mhz: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0
    window_ns: Annotated[float, Field(gt=0.0, le=1e9)] | None = None


class DetectionConfig(Table):
    """The detection window that a midpoint's device opens after each trigger, and can move.

    Photons decay with `lifetime_ns` from the midpoint's `late_ns` on; the window opens at 0 and
    for `window_ns` unless it is told else. Efficiency is that of a window that sees all of them,
    `dark_probability` of one of `window_ns`.
    """

    lifetime_ns: Annotated[float, Field(gt=0.0, le=1e9)]
    window_ns: Annotated[float, Field(gt=0.0, le=1e9)]


class ClicksConfig(Table):
    """How the clicks behind a midpoint's beam splitter lie in time, for a tagger that sees them.

    Detectors are numbered by the ports: 1 and 2, each with a window of `window_ns` that ends with
    the slot, and, if the qubits are time bins, one for early photons `bin_ns` before it. Four are
    for polarization: H and V of one port, H and V of the other. `jitter_ps` is a detector's own.
    After the detectors comes the trigger, one number above: a pulse at the begin of each slot in
    which the station attempts. A detector clicks once a window. Dark counts come at all times, as
    many as the midpoint's `dark_probability` a window.
    """

    window_ns: Positive
    bin_ns: Positive | None = None
    detectors: Literal[2, 4] = 2
    jitter_ps: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0

    @property
    def channels(self) -> int:
        """What a tagger can be wired to: the detectors, and the trigger after them."""
        return self.detectors + 1

    @property
    def bins_ns(self) -> float:
        """From the early window's begin to the late one's; 0 where there is one window."""
        return self.bin_ns or 0.0

    @model_validator(mode="after")
    def _windows_are_apart(self) -> Self:
        if self.bin_ns is not None and self.bin_ns < self.window_ns:
            raise ValueError(
                f"found bin_ns = {self.bin_ns:g} with window_ns = {self.window_ns:g}; expected "
                "windows that do not overlap"
            )
        return self


class ModeConfig(Table):
    """One qubit of a memory where it differs from the others; what is left out is the memory's."""

    t1_s: LongTime | None = None
    t2_s: LongTime | None = None
    efficiency: Probability = 1.0
    readout_error: Annotated[float, Field(ge=0.0, le=0.5)] | None = None
    attempts_1e: Annotated[float, Field(gt=0.0, le=1e12)] | None = None


class ClockNoise(Table):
    """Noise of a clock, by the class of its oscillator or by its own numbers.

    `white_fm_1s` and `random_walk_fm_1s` are what they add to the Allan deviation at 1 s,
    `flicker_fm` is its floor, `white_pm_ps` the standard deviation of the phase read each
    millisecond, `aging_per_day` the change of fractional frequency. A class fills in what is not
    given.
    """

    clock_class: Literal["quartz", "ocxo", "rubidium", "white_rabbit"] | None = None
    white_fm_1s: Annotated[float, Field(ge=0.0, le=1e-6)] | None = None
    flicker_fm: Annotated[float, Field(ge=0.0, le=1e-6)] | None = None
    random_walk_fm_1s: Annotated[float, Field(ge=0.0, le=1e-6)] | None = None
    white_pm_ps: Annotated[float, Field(ge=0.0, le=1e6)] | None = None
    aging_per_day: Annotated[float, Field(ge=-1e-4, le=1e-4)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("found an empty table; expected clock_class or a kind of noise")
        return self
