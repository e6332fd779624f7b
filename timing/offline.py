"""Two whole recordings brought onto one timescale: find the clock anywhere, then follow it through.

The clock is first found at some place of the record over the whole search range. With it the remote
times are mapped, so that what is left is small, and both records go in chunks through the same
`PairSynchronizer` that a node uses. Memory is bounded by the chunks, not by the records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from timing.acquire import Acquisition, NoCorrelation, Search, acquire
from timing.clock import ClockModel
from timing.offline_measure import Measured, SyncedFiles, TakeMapped, composed
from timing.sync import PairSynchronizer, run_acquisition
from timing.tags import PS_PER_S, TagBatch, TimesPs

Progress = Callable[[float], None]

CHUNK_PS = PS_PER_S // 4
PIECES = ((2.0, 0.5), (60.0, 0.5), (2.0, 0.0), (2.0, 1.0), (0.5, 0.2), (0.5, 0.8))
"""Length in seconds and place, as a share of the record, of the pieces that are searched."""

SHORTEST_PART = 3
"""A record that is no longer than a piece is searched in parts of this share at other places."""

NARROW = Search(max_offset_ps=PS_PER_S // 1000, max_skew=1e-6, most_s=0.1)
"""Around a clock that was found elsewhere in the record."""

WIDE_AFTER = 4
"""A clock that so many narrow searches do not find again may have stepped far."""

LONG_TAIL_PS = PS_PER_S // 2
"""A record that shows no more pairs for so long before its end may hold a step there."""


def synchronise(
    local_ps: TimesPs,
    remote_ps: TimesPs,
    search: Search,
    *,
    window_ps: int | None = None,
    clock_noise_1s: float = 1e-9,
    mapped: TakeMapped | None = None,
    progress: Progress = lambda share: None,
) -> SyncedFiles | NoCorrelation:
    """Find and follow the remote clock through two ascending int64 streams, or say why not.

    `window_ps` is the full coincidence window of counting, by default ten jitters. `clock_noise_1s`
    is the white frequency noise of the clocks' difference at 1 s, until the data tell. `mapped`
    takes the remote tags of tracked spans on the local scale. `progress` is told the share done.
    """
    found = find(local_ps, remote_ps, search)
    if isinstance(found, NoCorrelation):
        return found
    window = window_ps or max(10, math.ceil(10 * found.jitter_ps))
    measured = Measured(window, found.jitter_ps, clock_noise_1s, mapped)
    prior: Acquisition | None = found
    from_ps = int(local_ps[0])
    while prior is not None:
        follower = _Follower(local_ps, remote_ps, search, prior, measured)
        prior, from_ps = follower.run(from_ps, progress)
    return measured.result(found, local_ps, remote_ps) or NoCorrelation(
        "a correlation was found, but the clock cannot be followed: no span of a tenth of a second "
        "shows its pairs",
        found.signal_to_noise,
    )


def find(
    local_ps: TimesPs, remote_ps: TimesPs, search: Search, from_ps: int | None = None
) -> Acquisition | NoCorrelation:
    """The clock at the first place of the record that shows it, or the best reason why at none.

    Pieces of the local record, at some places from `from_ps` on, are held against all remote tags
    in reach.
    """
    best: NoCorrelation | None = None
    for piece in _pieces(local_ps, from_ps):
        reach_ps = search.max_offset_ps + PS_PER_S // 100
        first_ps, past_ps = (int(at) - search.centre_offset_ps for at in (piece[0], piece[-1]))
        low, high = np.searchsorted(remote_ps, [first_ps - reach_ps, past_ps + reach_ps])
        result = acquire(piece, remote_ps[low:high], search)
        if isinstance(result, Acquisition):
            return result
        if best is None or _better(result, best):
            best = result
    return best or NoCorrelation("there are no tags to search")


def _better(one: NoCorrelation, other: NoCorrelation) -> bool:
    """Whether a reason says more than another."""
    if one.correlated != other.correlated:
        return one.correlated
    return one.detectable_pair_rate_cps < other.detectable_pair_rate_cps


def _pieces(local_ps: TimesPs, from_ps: int | None) -> Iterator[TimesPs]:
    if not len(local_ps):
        return
    first_ps = int(local_ps[0]) if from_ps is None else from_ps
    span_ps = int(local_ps[-1]) - first_ps
    seen: set[tuple[int, int]] = set()
    for length_s, place in PIECES:
        length_ps = round(length_s * PS_PER_S)
        if place != 0.5:
            # A clock may step in the middle: the parts of a short record may be worth more.
            length_ps = min(length_ps, span_ps // SHORTEST_PART)
        length_ps = min(length_ps, span_ps)
        start_ps = first_ps + round(place * (span_ps - length_ps))
        low, high = np.searchsorted(local_ps, [start_ps, start_ps + length_ps + 1]).tolist()
        if high - low >= 2 and (low, high) not in seen:
            seen.add((low, high))
            yield local_ps[low:high]


class _Follower:
    """Follows the clock near `prior` through the records."""

    def __init__(
        self,
        local_ps: TimesPs,
        remote_ps: TimesPs,
        search: Search,
        prior: Acquisition,
        measured: Measured,
    ):
        self._local_ps, self._remote_ps, self._search = local_ps, remote_ps, search
        self._model = prior.model
        # As the synchroniser would see it, to which remote times come mapped.
        self._prior: Acquisition | None = replace(
            prior,
            model=ClockModel(
                prior.model.instant_to_local(prior.model.epoch_ps),
                0,
                0.0,
                0.0,
                prior.model.covariance,
            ),
            remote_start_ps=prior.model.instant_to_local(prior.remote_start_ps),
            remote_stop_ps=prior.model.instant_to_local(prior.remote_stop_ps),
        )
        self._found_ps = self._prior.remote_start_ps
        self._measured = measured
        common_s = min(local_ps[-1] - local_ps[0], remote_ps[-1] - remote_ps[0]) / PS_PER_S
        step_s = min(1.0, max(0.1, 30 / max(prior.pair_rate_cps, 1e-9)), common_s / 4)
        self._step_ps = max(1, round(step_s * PS_PER_S))
        self._chunk_ps = min(CHUNK_PS, max(1, round(common_s / 4 * PS_PER_S)))
        # The window that a clock is lost beyond: what it may wander in a second, either way.
        wander_ps = 8 * measured.noise_1s * PS_PER_S
        self._sync = PairSynchronizer(
            window_ps=math.ceil(max(measured.window_ps, 10 * measured.jitter_ps + wander_ps)),
            clock_noise_1s=measured.noise_1s,
            estimate_noise=True,
            search=NARROW,
            step_s=step_s,
            acquire_span_s=min(max(1.0, 3 * step_s), common_s / 2),
            buffer_s=max(6.0, 9 * step_s),
            max_tags=20_000_000,
        )
        self._first_of: dict[int, int] = {}
        self._from_ps = 0
        self._failed = 0
        self._wide_at = WIDE_AFTER

    def run(self, from_ps: int, progress: Progress) -> tuple[Acquisition | None, int]:
        """Follow from a local instant on to the end; or to where the clock is lost and found again
        far off: (what was found, from where to go on)."""
        model, measured = self._model, self._measured
        first_ps, last_ps = int(self._local_ps[0]), int(self._local_ps[-1])
        self._from_ps = from_ps
        start_ps = max(from_ps, model.instant_to_local(int(self._remote_ps[0])))
        stop_ps = min(last_ps, model.instant_to_local(int(self._remote_ps[-1])))
        # What follows the end is empty, so that the last span comes out.
        for number, chunk_ps in enumerate(
            range(start_ps, stop_ps + 2 * self._step_ps, self._chunk_ps)
        ):
            self._feed(number, chunk_ps)
            found = self._acquire(chunk_ps)
            if found is not None:
                return found, self._resume_ps(found, chunk_ps)
            for overlap in self._sync.advance():
                if overlap.start_ps < stop_ps:
                    measured.take(overlap, model, self._first_of)
            progress(min(1.0, (chunk_ps - first_ps) / max(1, last_ps - first_ps)))
        known_ps = measured.known_stop_ps or start_ps
        if start_ps < known_ps < stop_ps - LONG_TAIL_PS:
            # The record ends before the clock was given up and searched for far off.
            found = self._far_off(known_ps)
            if found is not None:
                return found, self._resume_ps(found, known_ps)
        measured.ended(self._sync.status())
        measured.rewind()
        return None, stop_ps

    def _resume_ps(self, found: Acquisition, chunk_ps: int) -> int:
        """From where another follows the clock found far off: the last span that was good."""
        measured = self._measured
        measured.found_again(found.model)
        measured.ended(self._sync.status())
        measured.rewind()
        known_ps = measured.known_stop_ps
        return known_ps if known_ps is not None and known_ps > self._from_ps else chunk_ps

    def _far_off(self, from_ps: int) -> Acquisition | None:
        cheaper = replace(self._search, most_s=self._search.most_s / 4)
        found = find(self._local_ps, self._remote_ps, cheaper, from_ps)
        return found if isinstance(found, Acquisition) else None

    def _feed(self, number: int, chunk_ps: int) -> None:
        """Both records' tags of one chunk."""
        stop_ps = chunk_ps + self._chunk_ps
        low, high = np.searchsorted(self._local_ps, [chunk_ps, stop_ps])
        part = self._local_ps[low:high]
        self._sync.add_local(TagBatch(part, np.zeros(len(part), np.uint8), chunk_ps, stop_ps))
        cuts = [self._model.instant_to_remote(at) for at in (chunk_ps, stop_ps)]
        low, high = np.searchsorted(self._remote_ps, cuts).tolist()
        near_ps = self._model.to_local(self._remote_ps[low:high])
        self._first_of[number] = low
        self._first_of.pop(number - 400, None)
        # Rounding may put a tag one picosecond outside.
        self._sync.add_remote(np.clip(near_ps, chunk_ps, stop_ps - 1), chunk_ps, stop_ps, number)

    def _acquire(self, chunk_ps: int) -> Acquisition | None:
        """Acquire where the synchroniser asks for it; a clock found far off, if any."""
        request = self._sync.acquisition_input()
        if request is None:
            return None
        result = run_acquisition(request)
        prior = self._prior
        inside = prior is not None and prior.remote_start_ps <= chunk_ps < prior.remote_stop_ps
        if isinstance(result, NoCorrelation) and prior is not None and inside:
            # Few pairs may need all of the record that the clock was found in.
            self._prior = None
            result = prior
        self._sync.accept(request, result)
        if isinstance(result, Acquisition):
            self._failed, self._wide_at = 0, WIDE_AFTER
            self._measured.found_again(composed(self._model, result.model))
            return None
        self._failed += 1
        # Before the place where it was first found, it may just be dark.
        if self._failed < self._wide_at or chunk_ps <= self._found_ps:
            return None
        self._wide_at *= 4
        return self._far_off(chunk_ps)
