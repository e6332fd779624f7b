"""A diode laser: light from its current."""

from __future__ import annotations

from sim_backends.lab import LaserConfig

__all__ = ["LaserModel"]


class LaserModel:
    """Starts dark. The instrument sets `emission` and `current_set_ma`; physics reads the power.

    A tunable laser's instrument also sets `wavelength_nm`, which starts as configured; one that
    regulates its power sets the current by `regulate_mw`.
    """

    emission: bool
    current_set_ma: float
    wavelength_nm: float

    def __init__(self, config: LaserConfig) -> None:
        self._config = config
        self.emission = False
        self.current_set_ma = 0.0
        self.wavelength_nm = config.wavelength_nm

    def configure(self, config: LaserConfig) -> None:
        """Have another threshold or slope from now on; the set values stay."""
        self._config = config

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
    def max_power_mw(self) -> float:
        """Optical power at the largest current."""
        return self._config.slope_mw_per_ma * (self.max_current_ma - self.threshold_ma)

    def regulate_mw(self, power_mw: float) -> None:
        """Set the current that gives this power; 0 mW is no current at all."""
        needed_ma = self.threshold_ma + power_mw / self._config.slope_mw_per_ma
        self.current_set_ma = needed_ma if power_mw > 0.0 else 0.0
