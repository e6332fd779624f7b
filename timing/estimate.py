"""The process noise of a clock, from how its measured offsets wander: maximum likelihood."""

from __future__ import annotations

from collections import deque

import numpy as np

from timing.clock_class import ProcessNoise
from timing.peak import Floats

_MOST = 400
_LEAST = 60
_DECADE = 10.0


class NoiseEstimate:
    """Keeps the latest measured offsets of a clock, and finds the noise that explains them best.

    Innovations of a filter with the right noise are white and of the variance it states; their
    likelihood (Mehra 1970, IEEE Trans. Automat. Contr. 15, 175) is compared over a grid of white
    and random-walk FM that closes in on its top.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, float, float]] = deque(maxlen=_MOST)
        self._origin: tuple[int, int] | None = None
        self._new = 0

    def clear(self) -> None:
        """The clock has jumped: what came before says nothing of the steps since."""
        self._points.clear()
        self._origin, self._new = None, 0

    def add(self, at_ps: int, offset_whole_ps: int, offset_ps: float, variance: float) -> None:
        """One measured offset, local minus remote, at a remote instant."""
        if self._origin is None:
            self._origin = (at_ps, offset_whole_ps)
        time_s = (at_ps - self._origin[0]) * 1e-12
        value = float(offset_whole_ps - self._origin[1]) + offset_ps
        self._points.append((time_s, value, variance))
        self._new += 1

    @property
    def due(self) -> bool:
        """Enough is new since the last estimate."""
        return self._new >= _MOST // 4 and len(self._points) >= _LEAST

    def estimate(self, start: ProcessNoise) -> ProcessNoise:
        """The likeliest noise; what no data of this length show keeps the value of `start`."""
        self._new = 0
        times, values, variances = np.array(self._points).T
        slope, level = np.polyfit(times, values, 1)
        values = values - slope * times - level
        white, walk = max(start.white_fm, 1e-6), max(start.random_walk_fm, 1e-9)
        for factor in (_DECADE, _DECADE**0.5, _DECADE**0.25):
            steps = factor ** np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
            q1, q2 = (grid.ravel() for grid in np.meshgrid(white * steps, walk * steps))
            # A weak belief in the declared values decides where the data do not.
            belief = np.log(q1 / start.white_fm) ** 2 + np.log(q2 / start.random_walk_fm) ** 2
            likely = _log_likelihood(times, values, variances, q1, q2) - belief / 8
            best = int(np.argmax(likely))
            white, walk = float(q1[best]), float(q2[best])
        return ProcessNoise(white, walk, start.drift_walk, start.drift_ps_s2)


def _log_likelihood(
    times: Floats, values: Floats, variances: Floats, q1: Floats, q2: Floats
) -> Floats:
    """Of innovations, for each pair of noises at once: a filter of offset and skew."""
    zero = np.zeros_like(q1)
    x, y = zero.copy(), zero.copy()
    pxx, pxy, pyy = zero + 1e12, zero.copy(), zero + 1e6
    total = zero.copy()
    before = float(times[0])
    for k, (at, value, variance) in enumerate(
        zip(times.tolist(), values.tolist(), variances.tolist(), strict=True)
    ):
        dt, before = at - before, at
        x = x + y * dt
        pxx = pxx + 2 * dt * pxy + dt * dt * pyy + q1 * dt + q2 * dt**3 / 3
        pxy = pxy + dt * pyy + q2 * dt**2 / 2
        pyy = pyy + q2 * dt
        expected = pxx + variance
        innovation = value - x
        if k > 2:
            total -= (np.log(expected) + innovation**2 / expected) / 2
        gain_x, gain_y = pxx / expected, pxy / expected
        x, y = x + gain_x * innovation, y + gain_y * innovation
        pyy = pyy - gain_y * pxy
        pxy = pxy * variance / expected
        pxx = pxx * variance / expected
    return total
