"""The time steps of instruments, and bins that hold whole numbers of them."""

from __future__ import annotations

import math

import numpy as np

from timing.tags import TimesPs


class CombWarning(UserWarning):
    """Bins that hold unequal numbers of an instrument's time steps, which shows as a comb."""


def time_step_ps(*streams: TimesPs) -> int:
    """The whole-picosecond step that all differences within each stream are multiples of; 0 if
    there are none.

    For a live stream, where no header tells; a `Recording` knows its own `bin_grid_ps`. Instruments
    whose step is no whole number of ps (1/256 ns) show 1 here after rounding.
    """
    steps = [int(np.gcd.reduce(np.diff(times))) for times in streams if len(times) > 1]
    return math.gcd(*steps)


def bin_on_grid(bin_ps: int, step_ps: int) -> int:
    """The next bin width from `bin_ps` on that holds a whole number of steps of `step_ps`.

    ValueError for a width or a step below 1 ps.
    """
    if bin_ps < 1 or step_ps < 1:
        raise ValueError(
            f"bin_on_grid: found bin {bin_ps} ps and step {step_ps} ps, expected at least 1 of each"
        )
    return -(-bin_ps // step_ps) * step_ps
