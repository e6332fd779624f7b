"""Pairs from two ends' tags on one timescale, and what chance alone would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cext.coincidence import match_pairs
from timing.tags import TimesPs

Indices = NDArray[np.int64]

DELAYS_PS = (-200_000, -100_000, 100_000, 200_000)
"""Delays at which true pairs do not occur, for accidental coincidences."""

_LEAST_LEFT = 0.05


@dataclass(frozen=True, slots=True)
class Matches:
    """Coincidences as indices into the local and the remote tags, ascending, each tag once.

    `delayed` holds the same for each delayed window: accidentals, which tell what `local`, `remote`
    contain by chance. `singles` are the numbers of tags that were looked at, local and remote.
    """

    local: Indices
    remote: Indices
    delayed: tuple[tuple[Indices, Indices], ...]
    singles: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.local)

    @property
    def windows(self) -> float:
        """As many delayed windows make what chance makes of the central one: more than there are.

        In a delayed window the tags of true pairs are free for chance. In the central one they find
        each other, but for those whose place another tag takes first, half of the time. So of N
        accidentals in a delayed one, N (1 - (C/A + C/B)/2) are left with C true pairs among A and B
        tags, to first order in tags per window.
        """
        count = len(self.delayed)
        if not count or not min(self.singles):
            return float(count)
        each = sum(len(local) for local, _ in self.delayed) / count
        share = sum(1 / tags for tags in self.singles) / 2
        # C = all - N (1 - share C), solved for what is left of N.
        left = (1 - share * len(self)) / max(1 - share * each, _LEAST_LEFT)
        return count / min(1.0, max(left, _LEAST_LEFT))

    @property
    def accidentals(self) -> float:
        """Expected number of accidental coincidences among the matches."""
        if not self.delayed:
            return 0.0
        return sum(len(local) for local, _ in self.delayed) / self.windows


def delays_clear_of(window_ps: int) -> tuple[int, ...]:
    """As many delayed windows as usual, clear of a central one of this full width."""
    first_ps = max(window_ps, DELAYS_PS[2])
    return (-2 * first_ps, -first_ps, first_ps, 2 * first_ps)


def match_tags(
    local_ps: TimesPs,
    remote_mapped_ps: TimesPs,
    window_ps: int,
    delays_ps: tuple[int, ...] = DELAYS_PS,
) -> Matches:
    """Coincidences in a window of full width `window_ps` centred on 0, and in delayed windows.

    Ascending int64 arrays on the same scale; exclusive, the earliest that fit are paired. Raises
    ValueError for a delayed window that reaches into the central one.
    """
    if window_ps < 1:
        raise ValueError(f"match_tags: found a window of {window_ps} ps, expected at least 1")
    for delay_ps in delays_ps:
        if abs(delay_ps) < window_ps:
            raise ValueError(
                f"match_tags: a window delayed by {delay_ps} ps overlaps the central one of "
                f"{window_ps} ps"
            )
    low_ps = -(window_ps // 2)
    high_ps = low_ps + window_ps - 1
    local, remote = match_pairs(local_ps, remote_mapped_ps, low_ps, high_ps)
    delayed = tuple(
        match_pairs(local_ps, remote_mapped_ps, low_ps + delay_ps, high_ps + delay_ps)
        for delay_ps in delays_ps
    )
    return Matches(local, remote, delayed, (len(local_ps), len(remote_mapped_ps)))


def outcome_counts(
    matches: tuple[Indices, Indices],
    local_outcome: NDArray[np.uint8],
    remote_outcome: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """2x2 counts of (local, remote) outcomes, 0 or 1 a tag, over pairs given as indices."""
    local, remote = matches
    joint = 2 * local_outcome[local].astype(np.int64) + remote_outcome[remote]
    return np.bincount(joint, minlength=4).reshape(2, 2)
