"""A diode laser: light from its current."""

from __future__ import annotations

from sim_backends.lab import LaserConfig

__all__ = ["LaserModel"]


class LaserModel:
    """Starts dark. The instrument sets `emission` and `current_set_ma`; physics reads the power."""

    emission: bool
    current_set_ma: float

    def __init__(self, config: LaserConfig) -> None:
        self._config = config
        self.emission = False
        self.current_set_ma = 0.0

    @property
    def max_current_ma(self) -> float:
        """The driver's limit; a set value above it is not followed."""
        return self._config.max_current_ma

    @property
    def threshold_ma(self) -> float:
        """The current at which the diode begins to lase."""
        return self._config.threshold_ma

    @property
    def current_act_ma(self) -> float:
        """The current through the diode; 0 while emission is off."""
        if not self.emission:
            return 0.0
        return min(max(self.current_set_ma, 0.0), self.max_current_ma)

    @property
    def power_mw(self) -> float:
        """Optical power: slope times the current above threshold."""
        return self._config.slope_mw_per_ma * max(0.0, self.current_act_ma - self.threshold_ma)

    @property
    def wavelength_nm(self) -> float:
        """The laser's wavelength."""
        return self._config.wavelength_nm
