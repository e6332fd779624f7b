"""How the photons of a midpoint meet its detection window, and with which phase: what its device
can be set to, and what that leaves of the heralds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim_backends.bell_diagonal import BellDiagonal
from sim_backends.lab import MidpointConfig

__all__ = ["DetectionSetting", "dephased", "detected", "phase_rad", "share_seen"]


@dataclass(frozen=True, slots=True)
class DetectionSetting:
    """What a midpoint's device is set to: when its window opens after each trigger, how long it is
    open, and the phase that it adds to one arm."""

    delay_ns: float = 0.0
    window_ns: float = 0.0
    phase_deg: float = 0.0


def share_seen(config: MidpointConfig, setting: DetectionSetting) -> float:
    """The share of the photons within the window; all where the lab has none.

    They begin `late_ns` after the trigger and decay exponentially.
    """
    photons = config.detection
    if photons is None:
        return 1.0
    opens_ns = setting.delay_ns - config.late_ns

    def after(time_ns: float) -> float:
        return math.exp(-max(0.0, time_ns) / photons.lifetime_ns)

    return after(opens_ns) - after(opens_ns + setting.window_ns)


def detected(config: MidpointConfig, setting: DetectionSetting) -> MidpointConfig:
    """The midpoint as it is with a setting: fewer photons, and dark counts by the open time."""
    if config.bright_factor != 1.0:
        told = config.bright_population
        emitted = {end: min(1.0, config.bright_factor * each) for end, each in told.items()}
        config = config.model_copy(update={"bright_population": emitted})
    if config.detection is None:
        return config
    share = share_seen(config, setting)
    longer = setting.window_ns / config.detection.window_ns
    return config.model_copy(
        update={
            "efficiency": {end: share * each for end, each in config.efficiency.items()},
            "dark_probability": min(0.1, longer * config.dark_probability),
        }
    )


def phase_rad(config: MidpointConfig, setting: DetectionSetting, time_s: float) -> float:
    """Between the two ways of a single photon, beside the noise that `phase_sigma_deg` is."""
    if config.scheme != "single_click":
        return 0.0
    drifted = config.phase_deg + config.phase_drift_deg_per_s * time_s
    return math.radians(drifted + setting.phase_deg)


def dephased(pair: BellDiagonal, angle_rad: float) -> BellDiagonal:
    """A pair with a phase between |01> and |10>, |00> and |11>, as far as XX, YY and ZZ show it.

    cos of the angle is left of XX and YY; the rest is in XY, which is not kept.
    """
    kept = (1.0 + math.cos(angle_rad)) / 2.0
    a, b, c, d = pair
    return (
        kept * a + (1.0 - kept) * b,
        kept * b + (1.0 - kept) * a,
        kept * c + (1.0 - kept) * d,
        kept * d + (1.0 - kept) * c,
    )
