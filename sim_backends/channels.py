"""Fibres: how much light arrives, and when."""

from __future__ import annotations

from typing import Final

from sim_backends.lab import ChannelConfig

__all__ = ["FibreChannel"]

_KM_PER_PS: Final = 2.04e8 / 1e3 / 1e12  # group velocity of light in silica fibre


class FibreChannel:
    """A fibre with its losses, those of coupling included."""

    def __init__(self, config: ChannelConfig) -> None:
        self._config = config

    def configure(self, config: ChannelConfig) -> None:
        """Have other losses, or another length, from now on."""
        self._config = config

    @property
    def transmissivity(self) -> float:
        """The share of photons that arrive: 10^(-loss/10)."""
        loss_db = self._config.loss_db + self._config.loss_db_per_km * self._config.length_km
        return float(10.0 ** (-loss_db / 10.0))

    @property
    def delay_ps(self) -> float:
        """Time of flight: length over 2.04e8 m/s."""
        return self._config.length_km / _KM_PER_PS
