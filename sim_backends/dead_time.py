"""Which photons a detector misses because it is not ready again."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cext.condition import NEVER_PS
from cext.condition_gate import veto_after_clicks

__all__ = ["dead_time_mask", "recovery_mask"]

Times = npt.NDArray[np.int64]


def dead_time_mask(times_ps: Times, dead_ps: int, last_ps: int | None) -> npt.NDArray[np.bool_]:
    """Which of the sorted times survive a dead time that a lost photon does not prolong.

    `last_ps` is the last click before them. The surviving rate is r / (1 + r dead) (Knoll,
    Radiation Detection and Measurement, 4.VII, nonparalyzable model).
    """
    before_ps = NEVER_PS if last_ps is None else last_ps
    kept, _ = veto_after_clicks(
        times_ps,
        np.zeros(times_ps.size, np.uint8),
        np.full(256, dead_ps, np.int64),
        np.full(256, before_ps, np.int64),
    )
    return kept


def recovery_mask(
    times_ps: Times,
    chances: npt.NDArray[np.float64],
    dead_ps: int,
    recovery_ps: float,
    last_ps: int | None,
) -> npt.NDArray[np.bool_]:
    """Which of the sorted times click when the efficiency comes back after the dead time.

    A time t after a click is lost for t < dead and else with exp(-(t - dead)/recovery): where
    `chances`, uniform in [0, 1), are below that. `last_ps` is the last click before them.
    """
    alive = np.arange(times_ps.size)
    kept = np.ones(times_ps.size, dtype=np.bool_)
    while alive.size:
        gaps = np.empty(alive.size)
        gaps[1:] = np.diff(times_ps[alive])
        gaps[0] = math.inf if last_ps is None else times_ps[alive[0]] - last_ps
        losing = np.exp(-np.maximum(gaps - dead_ps, 0.0) / recovery_ps)
        losing[gaps < dead_ps] = 1.0
        lost = chances[alive] < losing
        # Without an earlier click a gap only grows: what is not lost stays so, and what is lost
        # after one that is not, is.
        before = np.ones(alive.size, dtype=np.bool_)
        before[1:] = ~lost[:-1]
        ready = lost & before
        if not ready.any():
            break
        kept[alive[ready]] = False
        alive = alive[~ready]
    return kept
