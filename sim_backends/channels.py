"""Fibres: how much light arrives, when, how it is turned, and what other light comes with it."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sim_backends.drifts import RandomWalk, SphereWalk, rotation
from sim_backends.lab import ChannelConfig
from sim_backends.paddles import Paddles
from sim_backends.squeezers import Squeezers
from sim_backends.states import ComplexArray

__all__ = ["FibreChannel"]

_KM_PER_PS: Final = 2.04e8 / 1e3 / 1e12  # group velocity of light in silica fibre
_PS: Final = 10**12
_H_C_MJ_NM: Final = 6.62607015e-34 * 299_792_458.0 * 1e9 * 1e3
"""Energy times wavelength of a photon."""


class FibreChannel:
    """A fibre with its losses, those of coupling and of frequency conversion included.

    A polarization `controller` stands at its far end.
    """

    def __init__(
        self,
        config: ChannelConfig,
        rng: np.random.Generator,
        controller: Squeezers | Paddles | None = None,
    ) -> None:
        self._config = config
        self._controller = controller
        self._walk = RandomWalk(config.delay_walk_ps, rng)
        self._turning = SphereWalk(
            rotation(config.rotation_axis, math.radians(config.rotation_deg)),
            config.polarization_walk_deg,
            rng.spawn(1)[0],
        )

    def configure(self, config: ChannelConfig) -> None:
        """Have other losses, another length, or polarization turned further, from now on."""
        further_deg = config.rotation_deg - self._config.rotation_deg
        self._turning.turn(rotation(config.rotation_axis, math.radians(further_deg)))
        self._config = config

    @property
    def transmissivity(self) -> float:
        """The share of photons that arrive: 10^(-loss/10), and the converter's efficiency."""
        conversion = self._config.conversion
        return self._fibre * (1.0 if conversion is None else conversion.efficiency)

    @property
    def background_cps(self) -> float:
        """Photons of other light that leave the fibre each second: leaks, converter's noise."""
        conversion = self._config.conversion
        noise_cps = 0.0 if conversion is None else conversion.noise_cps * self._fibre
        return self._config.classical_cps + noise_cps

    @property
    def driven_cps(self) -> float | None:
        """Clicks a second that bright light makes at will, None while nobody sends any."""
        return self._config.faked_cps if self._config.blinding_uw > 0.0 else None

    @property
    def wavelength_nm(self) -> float:
        """Of the light in it."""
        return self._config.wavelength_nm

    @property
    def power_mw(self) -> float:
        """Light of others that leaves it, as a meter before the detectors has it."""
        photon_mj = _H_C_MJ_NM / self.wavelength_nm
        return 1e-3 * self._config.blinding_uw + photon_mj * self.background_cps

    @property
    def dispersion_ps_per_nm(self) -> float:
        """By how much a photon is late for each nanometre that its wavelength is longer."""
        return self._config.dispersion_ps_per_nm_km * self._config.length_km

    def delay_ps(self, lab_ps: int) -> float:
        """Time of flight at a lab time: length over 2.04e8 m/s, and its drifts."""
        config, time_s = self._config, lab_ps / _PS
        swing = config.delay_swing_ps * math.sin(2 * math.pi * time_s / config.delay_swing_period_s)
        drift = config.delay_drift_ps_per_s * time_s + self._walk.at(time_s)
        return config.length_km / _KM_PER_PS + swing + drift

    def unitary(self, lab_ps: int) -> ComplexArray:
        """How polarization is turned on the way at a lab time, (2, 2) on (H, V)."""
        fibre = self._turning.at(lab_ps / _PS)
        return fibre if self._controller is None else self._controller.unitary() @ fibre

    @property
    def turns(self) -> bool:
        """Whether polarization may be turned at all."""
        config = self._config
        return (
            self._controller is not None
            or config.rotation_deg != 0.0
            or config.polarization_walk_deg > 0.0
        )

    @property
    def _fibre(self) -> float:
        loss_db = self._config.loss_db + self._config.loss_db_per_km * self._config.length_km
        return float(10.0 ** (-loss_db / 10.0))
