"""What a link's setting does to its pairs: the bright-state population against the fidelity.

A model says how much of each correlator is left at a setting if nothing else spoils the pair; what
else does is for test rounds to find out (`link_layer.feu`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

Contrasts = tuple[float, float, float]
"""Correlators in X, Y and Z, in the sign of the heralded Bell state."""


RUNG = 0.02


class SettingModel(Protocol):
    """Correlators as functions of one setting of the link."""

    @property
    def lowest(self) -> float:
        """Least setting that may be used."""
        ...

    @property
    def highest(self) -> float:
        """Largest setting that may be used."""
        ...

    def contrasts(self, setting: float) -> Contrasts:
        """What the setting leaves of each correlator."""
        ...


@dataclass(frozen=True, slots=True)
class SingleClick:
    """Heralds by one photon from either end, each bright with a population alpha.

    One click of 2 alpha eta + 2 d is right if just one end was bright: Psi with certainty. With
    both bright the pair is |11>, after a dark count (d in the window) it is a product:
    p = 2 alpha eta + 2 d, F = 2 alpha (1 - alpha) eta / p (Humphreys et al., Nature 558, 268
    (2018)). `dark_per_signal` is d/eta.
    """

    lowest: float = 0.01
    highest: float = 0.5
    dark_per_signal: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.lowest <= self.highest <= 0.5:
            raise ValueError(
                f"bright populations {self.lowest} to {self.highest}: expected 0 to 0.5, rising"
            )
        if not 0 <= self.dark_per_signal < 1:
            raise ValueError(f"dark_per_signal: found {self.dark_per_signal}, expected 0 to 1")

    def contrasts(self, setting: float) -> Contrasts:
        """E_X = E_Y = the share of right clicks; E_Z is less by those in |11> or a product."""
        alpha, dark = setting, self.dark_per_signal
        all_clicks = alpha + dark
        right = alpha * (1 - alpha) / all_clicks
        both = alpha * alpha / all_clicks
        product = dark / all_clicks * (1 - 2 * alpha) ** 2
        return right, right, right - both - product


@dataclass(frozen=True, slots=True)
class Fixed:
    """A link without a setting of its own."""

    lowest: float = 0.0
    highest: float = 0.0

    def contrasts(self, setting: float) -> Contrasts:
        """Nothing is lost."""
        return 1.0, 1.0, 1.0


def ladder(model: SettingModel) -> list[float]:
    """The settings that are used, falling, each 2 % below the one before: a choice that follows an
    estimate would otherwise be another one at each renewal.
    """
    if model.lowest <= 0 or model.lowest == model.highest:
        return [model.highest]
    steps = math.ceil(math.log(model.highest / model.lowest) / RUNG)
    ratio = (model.lowest / model.highest) ** (1 / steps)
    return [model.highest * ratio**step for step in range(steps + 1)]


def largest_setting(model: SettingModel, fidelity: float, left: Contrasts) -> float | None:
    """The largest setting of the ladder at which F is at least this; None if there is none.

    `left` is what the link's own errors leave of each correlator, 1 - 2r.
    """
    for setting in ladder(model):
        if fidelity_at(model, setting, left) >= fidelity:
            return setting
    return None


def best_setting(model: SettingModel, left: Contrasts) -> float:
    """The one with the highest F: a lower one is not better where dark counts rule."""
    return max(ladder(model), key=lambda setting: fidelity_at(model, setting, left))


def fidelity_at(model: SettingModel, setting: float, left: Contrasts) -> float:
    """F = (1 + sum of the correlators)/4 at a setting."""
    kept = zip(model.contrasts(setting), left, strict=True)
    return (1 + math.fsum(contrast * own for contrast, own in kept)) / 4
