"""What light passes: analyzers, switches, polarization controllers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

from drivers.devices.instrument import Instrument

Basis = Literal["Z", "X", "Y"]
"""Z: horizontal/vertical, X: diagonal/anti-diagonal, Y: right/left circular; or the qubit axes."""


class Analyzer(Instrument):
    """Chooses the polarization basis in front of a beam splitter with two detectors."""

    @abstractmethod
    async def set_basis(self, basis: Basis) -> None:
        """Turn to the basis; returns when the optics stand still, with the position checked."""

    @abstractmethod
    async def basis(self) -> Basis | None:
        """The basis at which the optics stand, read from the instrument; None: none of them."""


class OpticalSwitch(Instrument):
    """Connects inputs to outputs, both numbered from 1 as printed on the instrument."""

    @abstractmethod
    async def size(self) -> tuple[int, int]:
        """Number of inputs and outputs."""

    @abstractmethod
    async def connections(self) -> dict[int, int]:
        """The output of every connected input, read from the instrument."""

    @abstractmethod
    async def set_connections(self, connections: Mapping[int, int]) -> None:
        """Make these connections and no others; returns when they are confirmed.

        Raises Refused for ports that do not exist or an output asked for twice.
        """


class PolarizationController(Instrument):
    """Turns polarization by some actuators, channels from 1."""

    @abstractmethod
    async def drive_ranges(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest drive of every channel, in the unit of `drive_unit`."""

    @property
    @abstractmethod
    def drive_unit(self) -> Literal["mV", "deg"]:
        """What a drive is: the voltage of a squeezer, or the angle of a paddle."""

    @abstractmethod
    async def set_drives(self, drives: tuple[float, ...]) -> None:
        """Set every channel; returns when confirmed. Raises Refused with the range."""

    @abstractmethod
    async def drives(self) -> tuple[float, ...]:
        """The actual drive of every channel."""
