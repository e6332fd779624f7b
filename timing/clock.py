"""How one tagger's timescale maps to another's: an offset and a skew, with their uncertainty."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from timing.tags import PS_PER_S, TimesPs

Covariance = tuple[tuple[float, float], tuple[float, float]]
"""Of (offset at the epoch, skew): ((ps^2, ps), (ps, 1))."""


class ClockState(enum.Enum):
    """What is known of a remote clock now."""

    ACQUIRING = "acquiring"
    TRACKING = "tracking"
    HOLDOVER = "holdover"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class ClockModel:
    """local = remote + offset_whole_ps + offset_ps + skew (remote - epoch_ps).

    Times are integers of any size below 2^62 ps; the large parts stay integers, so that the map is
    exact to far below 1 ps within 100 000 s of the epoch. `skew` is local seconds gained per
    remote second.
    """

    epoch_ps: int
    offset_whole_ps: int
    offset_ps: float
    skew: float
    covariance: Covariance = ((0.0, 0.0), (0.0, 0.0))

    def shift_ps(self, remote_ps: TimesPs) -> tuple[int, NDArray[np.float64]]:
        """Local minus remote time: a whole number, and a float64 an instant to be added to it."""
        ahead_ps = (remote_ps - self.epoch_ps).astype(np.float64)
        return self.offset_whole_ps, self.offset_ps + self.skew * ahead_ps

    def to_local(self, remote_ps: TimesPs) -> TimesPs:
        """Remote instants on the local timescale, rounded to whole picoseconds."""
        whole_ps, rest_ps = self.shift_ps(remote_ps)
        local: TimesPs = remote_ps + whole_ps + np.rint(rest_ps).astype(np.int64)
        return local

    def instant_to_local(self, remote_ps: int) -> int:
        """One remote instant on the local timescale."""
        rest_ps = self.offset_ps + self.skew * (remote_ps - self.epoch_ps)
        return remote_ps + self.offset_whole_ps + round(rest_ps)

    def instant_to_remote(self, local_ps: int) -> int:
        """One local instant on the remote timescale."""
        ahead_ps = local_ps - self.epoch_ps - self.offset_whole_ps
        # The exact quotient differs from `ahead_ps` by a small, float-sized part.
        return (
            self.epoch_ps
            + ahead_ps
            - round((self.offset_ps + self.skew * ahead_ps) / (1 + self.skew))
        )

    def uncertainty_ps(self, at_ps: int) -> float:
        """One standard deviation of the mapped time at a remote instant."""
        ahead_ps = float(at_ps - self.epoch_ps)
        (offset, cross), (_, skew) = self.covariance
        return math.sqrt(max(0.0, offset + 2 * ahead_ps * cross + ahead_ps**2 * skew))

    def rebased(self, epoch_ps: int) -> ClockModel:
        """The same map and uncertainty, written for another epoch."""
        ahead_ps = epoch_ps - self.epoch_ps
        rest_ps = self.offset_ps + self.skew * ahead_ps
        whole_ps = round(rest_ps)
        (offset, cross), (_, skew) = self.covariance
        crossed = cross + ahead_ps * skew
        moved = offset + 2 * ahead_ps * cross + ahead_ps**2 * skew
        return ClockModel(
            epoch_ps=epoch_ps,
            offset_whole_ps=self.offset_whole_ps + whole_ps,
            offset_ps=rest_ps - whole_ps,
            skew=self.skew,
            covariance=((moved, crossed), (crossed, skew)),
        )

    def adjusted(self, offset_ps: float, skew: float, covariance: Covariance) -> ClockModel:
        """The map with corrections added to offset and skew, and a new uncertainty."""
        rest_ps = self.offset_ps + offset_ps
        whole_ps = round(rest_ps)
        return ClockModel(
            epoch_ps=self.epoch_ps,
            offset_whole_ps=self.offset_whole_ps + whole_ps,
            offset_ps=rest_ps - whole_ps,
            skew=self.skew + skew,
            covariance=covariance,
        )

    @property
    def offset_s(self) -> float:
        """Offset at the epoch in seconds, for display."""
        return self.offset_whole_ps / PS_PER_S + self.offset_ps / PS_PER_S

    @property
    def skew_uncertainty(self) -> float:
        """One standard deviation of the skew."""
        return math.sqrt(max(0.0, self.covariance[1][1]))
