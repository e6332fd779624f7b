"""What makes light, and what weakens it.

A laser is a `Laser` and, beside that, what can be set on it: `DiodeCurrent`, `OutputPower`,
`Tunable`. A driver names those that its instrument really has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from drivers.devices.instrument import Instrument


class Laser(Instrument):
    """A laser whose emission can be switched."""

    @abstractmethod
    async def set_emission(self, on: bool) -> None:
        """Switch the light; raises Refused while the driver is not armed."""

    @abstractmethod
    async def emission(self) -> bool:
        """True when light comes out."""

    @abstractmethod
    async def wavelength_nm(self) -> float:
        """The actual wavelength in vacuum; of a laser that cannot tell, the one it was made for."""


class DiodeCurrent(ABC):
    """A laser whose diode current can be set."""

    @abstractmethod
    async def set_current_ma(self, current_ma: float) -> None:
        """Set the diode current; raises Refused with the range."""

    @abstractmethod
    async def current_ma(self) -> float:
        """The actual diode current."""


class OutputPower(ABC):
    """A laser that regulates its output power."""

    @abstractmethod
    async def set_power_mw(self, power_mw: float) -> None:
        """Set the output power; raises Refused with the range."""

    @abstractmethod
    async def power_mw(self) -> float:
        """The actual output power."""


class Tunable(ABC):
    """A laser whose wavelength can be set."""

    @abstractmethod
    async def set_wavelength_nm(self, wavelength_nm: float) -> None:
        """Tune to a vacuum wavelength and return when it is reached; raises Refused with range."""


class Attenuator(Instrument):
    """A variable optical attenuator. Its safe state is the one that lets least light through."""

    @abstractmethod
    async def set_attenuation_db(self, attenuation_db: float) -> None:
        """Set the attenuation; returns when it is reached. Raises Refused with the range."""

    @abstractmethod
    async def attenuation_db(self) -> float:
        """The actual attenuation, insertion loss included where the instrument says so."""
