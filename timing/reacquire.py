"""What an acquisition is asked for: the whole range at first, near the last clock after a loss."""

from __future__ import annotations

from dataclasses import dataclass, replace

from timing.acquire import Acquisition, NoCorrelation, Search, acquire
from timing.clock import ClockModel
from timing.tags import PS_PER_S, TimesPs

ANY_OFFSET = Search(max_offset_ps=10**18, most_s=1.0)
"""A search over all offsets at which two records overlap: counters that start anywhere."""

_SIGMAS = 6.0
_LEAST_OFFSET_PS = 100_000_000
_LEAST_SKEW = 1e-8
_WIDER = 100
_NARROW_TRIES = 2


@dataclass(frozen=True, slots=True)
class AcquisitionInput:
    """What a worker process needs for one acquisition."""

    local_ps: TimesPs
    remote_ps: TimesPs
    search: Search
    generation: int


def run_acquisition(request: AcquisitionInput) -> Acquisition | NoCorrelation:
    """Acquire; for an executor."""
    return acquire(request.local_ps, request.remote_ps, request.search)


def search_near(whole: Search, expected: ClockModel, attempt: int) -> Search:
    """The search of an attempt after a loss, 0 the first: narrow, wider, whole, and again.

    `expected` is the lost clock carried on to the middle of the remote record, its uncertainty as
    stated. A clock that has jumped by far is found by every third search.
    """
    turn = attempt % (_NARROW_TRIES + 1)
    if turn == _NARROW_TRIES:
        return whole
    factor = _WIDER**turn
    offset_ps = _SIGMAS * expected.uncertainty_ps(expected.epoch_ps)
    skew = max(_LEAST_SKEW, _SIGMAS * expected.skew_uncertainty)
    return replace(
        whole,
        centre_offset_ps=expected.offset_whole_ps,
        centre_skew=expected.skew,
        max_offset_ps=min(
            whole.max_offset_ps, factor * max(_LEAST_OFFSET_PS, round(min(offset_ps, PS_PER_S)))
        ),
        max_skew=min(whole.max_skew, factor * skew),
    )
