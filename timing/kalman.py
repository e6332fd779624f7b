"""The state of a remote clock, moved through time and corrected by measurements.

State: offset (clock and path together, ps), skew (ps/s), drift (ps/s^2), and the path's part of the
offset (ps), which photons alone never tell from the clock's. Small numbers only: the whole part of
the offset is an integer beside it, so that days of picoseconds cost no precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from timing.clock import ClockModel
from timing.clock_class import ProcessNoise
from timing.peak import Floats
from timing.tags import PS_PER_S

_OF_PHOTONS = np.array([1.0, 0.0, 0.0, 0.0])
_OF_REFERENCE = np.array([1.0, 0.0, 0.0, -1.0])

PATH_UNKNOWN_PS = 1e9
"""Standard deviation of a path nobody told us: a millisecond is 200 km of fibre."""


@dataclass(frozen=True, slots=True, eq=False)
class ClockFilter:
    """What is known of a clock at its epoch (remote scale): mean and covariance of the state.

    `rest` has shape (4,), `covariance` (4, 4), symmetric. Every method returns a new filter.
    """

    noise: ProcessNoise
    path_walk: float
    epoch_ps: int
    offset_whole_ps: int
    rest: Floats
    covariance: Floats

    @classmethod
    def of(cls, model: ClockModel, noise: ProcessNoise, path_walk: float = 1e-2) -> ClockFilter:
        """From a model with covariance; `path_walk` ps^2/s is how fast the path's delay wanders."""
        (offset, cross), (_, skew) = model.covariance
        covariance = np.zeros((4, 4))
        covariance[0, 0], covariance[1, 1] = offset, skew * 1e24
        covariance[0, 1] = covariance[1, 0] = cross * 1e12
        covariance[2, 2] = noise.drift_ps_s2**2
        covariance[3, 3] = PATH_UNKNOWN_PS**2
        rest = np.array([model.offset_ps, model.skew * 1e12, 0.0, 0.0])
        return cls(noise, path_walk, model.epoch_ps, model.offset_whole_ps, rest, covariance)

    @property
    def model(self) -> ClockModel:
        """The map at the epoch: offset and skew with their covariance."""
        c = self.covariance
        cross = float(c[0, 1]) * 1e-12
        return ClockModel(
            epoch_ps=self.epoch_ps,
            offset_whole_ps=self.offset_whole_ps,
            offset_ps=float(self.rest[0]),
            skew=float(self.rest[1]) * 1e-12,
            covariance=((float(c[0, 0]), cross), (cross, float(c[1, 1]) * 1e-24)),
        )

    @property
    def sigma_ps(self) -> float:
        """Standard deviation of the offset."""
        return math.sqrt(max(0.0, float(self.covariance[0, 0])))

    def predicted(self, at_ps: int) -> ClockFilter:
        """At another remote instant, later or earlier: moved, and less certain."""
        dt = (at_ps - self.epoch_ps) / PS_PER_S
        if dt == 0.0:
            return self
        offset, skew, drift, path = self.rest.tolist()
        offset += (skew + drift * dt / 2) * dt
        whole = round(offset)
        move = np.eye(4)
        move[0, 1] = move[1, 2] = dt
        move[0, 2] = dt * dt / 2
        covariance = move @ self.covariance @ move.T
        covariance += self._added(abs(dt), math.copysign(1.0, dt))
        return replace(
            self,
            epoch_ps=at_ps,
            offset_whole_ps=self.offset_whole_ps + whole,
            rest=np.array([offset - whole, skew + drift * dt, drift, path]),
            covariance=(covariance + covariance.T) / 2,
        )

    def _added(self, dt: float, sign: float) -> Floats:
        """Covariance that the noise adds in dt seconds; backwards the odd integrals change sign."""
        q1, q2, q3 = self.noise.white_fm, self.noise.random_walk_fm, self.noise.drift_walk
        path = self.path_walk * dt
        xx = q1 * dt + q2 * dt**3 / 3 + q3 * dt**5 / 20 + path
        xy = sign * (q2 * dt**2 / 2 + q3 * dt**4 / 8)
        xd = q3 * dt**3 / 6
        yy = q2 * dt + q3 * dt**3 / 3
        yd = sign * q3 * dt**2 / 2
        return np.array(
            [[xx, xy, xd, path], [xy, yy, yd, 0.0], [xd, yd, q3 * dt, 0.0], [path, 0.0, 0.0, path]]
        )

    def corrected(self, position_ps: float, variance: float) -> ClockFilter:
        """After a peak of pairs at `position_ps` from this filter's own map, at its epoch."""
        return self._updated(_OF_PHOTONS, position_ps, variance)

    def referenced(self, offset_whole_ps: int, offset_ps: float, variance: float) -> ClockFilter:
        """After a reference said what the clocks differ by, local minus remote, at the epoch."""
        clock_ps = float(self.rest[0] - self.rest[3])
        seen_ps = float(offset_whole_ps - self.offset_whole_ps) + offset_ps - clock_ps
        return self._updated(_OF_REFERENCE, seen_ps, variance)

    def reference_innovation(
        self, offset_whole_ps: int, offset_ps: float, variance: float
    ) -> tuple[float, float]:
        """A reference's value minus what is expected of it, and the variance it should have."""
        clock_ps = float(self.rest[0] - self.rest[3])
        seen_ps = float(offset_whole_ps - self.offset_whole_ps) + offset_ps - clock_ps
        return seen_ps, float(_OF_REFERENCE @ self.covariance @ _OF_REFERENCE) + variance

    def _updated(self, h: Floats, innovation: float, variance: float) -> ClockFilter:
        # Joseph's form keeps the covariance positive whatever the rounding.
        crossed = self.covariance @ h
        gain = crossed / (float(h @ crossed) + variance)
        keep = np.eye(4) - np.outer(gain, h)
        covariance = keep @ self.covariance @ keep.T + variance * np.outer(gain, gain)
        rest = self.rest + gain * innovation
        whole = round(float(rest[0]))
        rest[0] -= whole
        return replace(
            self,
            offset_whole_ps=self.offset_whole_ps + whole,
            rest=rest,
            covariance=(covariance + covariance.T) / 2,
        )

    def with_noise(self, noise: ProcessNoise, skew_sigma: float = 0.0) -> ClockFilter:
        """The same knowledge of a clock that now wanders differently, its skew less sure."""
        covariance = self.covariance.copy()
        covariance[1, 1] += (skew_sigma * 1e12) ** 2
        return replace(self, noise=noise, covariance=covariance)

    def displaced(self, step_ps: float) -> ClockFilter:
        """The same knowledge about an offset that is larger by `step_ps`."""
        offset = float(self.rest[0]) + step_ps
        whole = round(offset)
        rest = self.rest.copy()
        rest[0] = offset - whole
        return replace(self, offset_whole_ps=self.offset_whole_ps + whole, rest=rest)

    def moved(self, step_ps: float, sigma_ps: float, skew_sigma: float) -> ClockFilter:
        """After a step of the offset found to within `sigma_ps`, the skew less sure than before.

        What the offset and the path were known to share with the rest is forgotten.
        """
        offset = float(self.rest[0]) + step_ps
        whole = round(offset)
        covariance = self.covariance.copy()
        for k in (0, 3):
            covariance[k, :] = covariance[:, k] = 0.0
        covariance[0, 0] = sigma_ps**2
        covariance[1, 1] += (skew_sigma * 1e12) ** 2
        covariance[3, 3] = PATH_UNKNOWN_PS**2
        rest = np.array([offset - whole, self.rest[1], self.rest[2], 0.0])
        return replace(
            self,
            offset_whole_ps=self.offset_whole_ps + whole,
            rest=rest,
            covariance=covariance,
        )
