"""Spans that both ends have covered, and where to cut them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from timing.buffer import LabelledTags
from timing.clock import ClockModel, ClockState
from timing.tags import TimesPs


@dataclass(frozen=True, slots=True)
class Overlap:
    """A span that both ends have covered, [start, stop) on the local scale, with all its tags.

    Spans follow each other in time order, and a tag is in one of them at most; a span ends where no
    two tags of the ends are near each other, so no pair is cut in two. `remote.time_ps` is the far
    end's own time, `remote_mapped_ps` the same on the local scale (ascending). `uncertainty_ps` is
    one stated standard deviation of the map in the middle of the span, `window_ps` the full
    coincidence window that allows for it.
    """

    local: LabelledTags
    remote: LabelledTags
    remote_mapped_ps: TimesPs
    start_ps: int
    stop_ps: int
    state: ClockState
    model: ClockModel
    uncertainty_ps: float
    window_ps: int


def quiet_instant(
    local_ps: TimesPs, mapped_ps: TimesPs, begin_ps: int, stop_ps: int, guard_ps: int
) -> int:
    """The last instant in (begin, stop] in the middle of a quiet time longer than the guard time.

    Cutting there separates no two tags closer than the guard time. If there is none among the last
    few hundred tags, `stop`.
    """
    near = []
    for times_ps in (local_ps, mapped_ps):
        # The first tag after the cut counts too: it ends the last quiet time.
        after = int(np.searchsorted(times_ps, stop_ps)) + 1
        first = max(0, after - 256)
        near.append(times_ps[first:after])
        if first:
            begin_ps = max(begin_ps, int(times_ps[first]))
    tags_ps = np.sort(np.concatenate(near))
    tags_ps = tags_ps[(tags_ps > begin_ps) & (tags_ps < stop_ps + guard_ps)]
    edges_ps = np.concatenate(([begin_ps], tags_ps, [stop_ps + guard_ps]))
    quiet_ps = np.diff(edges_ps)
    long = np.flatnonzero(quiet_ps > guard_ps)
    if not len(long):
        return stop_ps
    last = int(long[-1])
    return min(stop_ps, int(edges_ps[last]) + int(quiet_ps[last]) // 2)
