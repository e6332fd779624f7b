"""What detects and counts: time taggers, counters, single-photon detectors, power meters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from drivers.devices.instrument import Instrument
from timing.tags import TagBatch


class TimeTagger(Instrument):
    """Gives time tags on its own free-running timescale."""

    resolution_ps: int
    channels: tuple[int, ...]

    @abstractmethod
    def stream(self) -> AsyncGenerator[TagBatch, None]:
        """Start tagging and yield batches, a few to some tens a second, also when there is no tag.

        Ends by cancellation or by an exception of `drivers.errors`. Time is unwrapped from the
        first word of this stream on; a new stream starts a new count.
        """


@dataclass(frozen=True, slots=True)
class Counts:
    """Singles and coincidences of one gate; a key of `coincidences` names its inputs, ascending."""

    gate_s: float
    singles: dict[int, int]
    coincidences: dict[tuple[int, ...], int]


class CoincidenceCounter(Instrument):
    """Counts singles and coincidences itself, over gates, without giving tags."""

    @abstractmethod
    async def set_window_ns(self, window_ns: float) -> None:
        """Set the coincidence window; raises Refused with range and step."""

    @abstractmethod
    async def set_gate_s(self, gate_s: float) -> None:
        """Set the length of a gate; raises Refused with the range."""

    @abstractmethod
    async def counts(self) -> Counts:
        """Wait for the next whole gate and return its counts."""


class Detector(Instrument):
    """A set of single-photon detectors with a common driver unit, channels from 1.

    What biases them is named beside it: `NanowireBias` or `AvalancheBias`.
    """

    @abstractmethod
    async def set_enabled(self, on: bool) -> None:
        """Switch the bias of all channels; raises Refused while the driver is not armed."""

    @abstractmethod
    async def enabled(self) -> bool:
        """True while the detectors are biased."""

    @abstractmethod
    async def count_rates_cps(self) -> tuple[float, ...]:
        """The last counts of every channel over its measurement period, as a rate."""


class NanowireBias(ABC):
    """Superconducting nanowires: a bias current a channel."""

    @abstractmethod
    async def set_bias_ua(self, bias_ua: tuple[float, ...]) -> None:
        """Set the bias current of every channel; raises Refused with the range."""

    @abstractmethod
    async def bias_ua(self) -> tuple[float, ...]:
        """The bias current of every channel."""


class AvalancheBias(ABC):
    """Avalanche diodes: a bias voltage a channel."""

    @abstractmethod
    async def set_bias_v(self, bias_v: tuple[float, ...]) -> None:
        """Set the bias voltage of every channel; raises Refused with the range."""

    @abstractmethod
    async def bias_v(self) -> tuple[float, ...]:
        """The bias voltage of every channel."""


class PowerMeter(Instrument):
    """An optical power meter."""

    @abstractmethod
    async def power_w(self) -> float:
        """The optical power."""

    @abstractmethod
    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """The wavelength for which the sensor's response is corrected."""
