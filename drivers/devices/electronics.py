"""What keeps time and temperature: delay generators, references, controllers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.devices.instrument import Instrument


@dataclass(frozen=True, slots=True)
class Pulse:
    """One output of a delay generator: when it rises after the trigger, and for how long."""

    delay_ps: int
    width_ps: int


class DelayGenerator(Instrument):
    """Gives pulses at set delays after a trigger, internal or external."""

    @abstractmethod
    async def set_pulses(self, pulses: Mapping[str, Pulse]) -> None:
        """Set the named outputs; others stay. Raises Refused with the names, or range and step."""

    @abstractmethod
    async def pulses(self) -> dict[str, Pulse]:
        """What every output is set to, as the instrument says it."""

    @abstractmethod
    async def set_trigger_rate_hz(self, rate_hz: float | None) -> None:
        """Trigger internally at a rate; None: wait for the external trigger."""

    @abstractmethod
    async def set_running(self, on: bool) -> None:
        """Let triggers through, or hold all outputs low."""

    @abstractmethod
    async def running(self) -> bool:
        """True while triggers are let through."""


@dataclass(frozen=True, slots=True)
class ReferenceStatus:
    """What a frequency reference says of itself; None where it does not tell.

    `locked`: its output is as good as it gets. `pps_offset_ns` is its time minus that of the pulse
    or master that it follows. `warnings` are its own words.
    """

    locked: bool
    following: bool | None = None
    pps_offset_ns: float | None = None
    warnings: tuple[str, ...] = ()


class FrequencyReference(Instrument):
    """A rubidium, GPS-disciplined or White Rabbit clock."""

    @abstractmethod
    async def status(self) -> ReferenceStatus:
        """Is it locked, to what, and how well; read-only."""


class TemperatureController(Instrument):
    """Holds temperatures, channels from 1."""

    @abstractmethod
    async def temperatures_c(self) -> tuple[float, ...]:
        """The actual temperature of every channel."""

    @abstractmethod
    async def set_temperature_c(self, channel: int, temperature_c: float) -> None:
        """Set the set point of a channel; raises Refused with the range."""

    @abstractmethod
    async def set_regulating(self, on: bool) -> None:
        """Switch regulation on or off."""
