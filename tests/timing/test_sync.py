import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.coincidence import match_pairs
from timing.acquire import Acquisition, NoCorrelation
from timing.clock import ClockState
from timing.sync import Overlap, PairSynchronizer, quiet_instant, run_acquisition
from timing.tags import TagBatch

Make = Callable[..., Any]
MS = 10**9
WINDOW_PS = 6000


class Bench:
    """Feeds two recorded streams in batches, the remote one late, and matches what comes out."""

    def __init__(self, truth: Any, *, local_ms: int = 40, remote_ms: int = 60, late_ms: int = 170):
        self.truth = truth
        self.sync = PairSynchronizer(window_ps=WINDOW_PS, clock_noise_1s=1.5e-11)
        self.local_ms, self.remote_ms, self.late_ms = local_ms, remote_ms, late_ms
        self.local_batches: list[Any] = []
        self.remote_batches: dict[int, Any] = {}
        self.overlaps: list[Overlap] = []
        self.states: list[ClockState] = []
        self.results: list[Acquisition | NoCorrelation] = []

    def run(self, until_ms: int, start_ms: int = 0, local_lost_ms: int | None = None) -> None:
        truth = self.truth
        zero_l, zero_r = truth.remote_zero_ps + truth.offset_ps, truth.remote_zero_ps
        for now in range(start_ms, until_ms, 20):
            if now % self.local_ms == 0:
                start, stop = zero_l + now * MS, zero_l + (now + self.local_ms) * MS
                low, high = np.searchsorted(truth.local_ps, [start, stop])
                times = truth.local_ps[low:high]
                channels = (np.arange(low, high) % 2 + 1).astype(np.uint8)
                lost = local_lost_ms == now
                self.local_batches.append(low)
                batch = TagBatch(times, channels, start, stop, lost=lost)
                self.sync.add_local(batch, label=now // 1000)
            then = now - self.late_ms
            if then >= 0 and now % self.remote_ms == 0:
                begin = then // self.remote_ms * self.remote_ms
                start, stop = zero_r + begin * MS, zero_r + (begin + self.remote_ms) * MS
                low, high = np.searchsorted(truth.remote_ps, [start, stop])
                number = begin // self.remote_ms
                self.remote_batches[number] = low
                self.sync.add_remote(truth.remote_ps[low:high], start, stop, number, label=-number)
            request = self.sync.acquisition_input()
            if request is not None:
                self.results.append(run_acquisition(pickle.loads(pickle.dumps(request))))
                assert self.sync.accept(request, self.results[-1])
            self.overlaps += self.sync.advance()
            self.states.append(self.sync.state)

    def used(self) -> tuple[Any, Any]:
        """Places in the recorded streams of all tags that came out, from batch and index."""
        local = [
            np.array([self.local_batches[s] for s in o.local.sequence], dtype=int) + o.local.index
            for o in self.overlaps
        ]
        remote = [
            np.array([self.remote_batches[s] for s in o.remote.sequence], dtype=int)
            + o.remote.index
            for o in self.overlaps
        ]
        return np.concatenate(local), np.concatenate(remote)

    def matched(self) -> tuple[Any, Any]:
        """Pair numbers of the matched tags at both ends."""
        local, remote = self.used()
        first_l = first_r = 0
        pairs_l, pairs_r = [], []
        for o in self.overlaps:
            half = WINDOW_PS // 2
            ia, ib = match_pairs(o.local.time_ps, o.remote_mapped_ps, -half, half - 1)
            pairs_l.append(self.truth.local_pair[local[first_l + ia]])
            pairs_r.append(self.truth.remote_pair[remote[first_r + ib]])
            first_l += len(o.local)
            first_r += len(o.remote)
        return np.concatenate(pairs_l), np.concatenate(pairs_r)


def test_from_nothing_to_every_pair_once(lab: Make) -> None:
    truth = lab(
        1,
        span_s=4.0,
        offset_ps=-12_400_000_012_345,
        skew=7.7e-6,
        remote_zero_ps=4_900_000_000_000,
        clock_noise_1s=1.5e-11,
    )
    bench = Bench(truth)
    bench.run(4000)
    assert bench.states[0] is ClockState.ACQUIRING
    assert bench.states[-1] is ClockState.TRACKING
    assert len(bench.results) == 1
    local, remote = bench.used()
    # Every tag once, none left out between the first and the last.
    assert np.array_equal(local, np.arange(local[0], local[0] + len(local)))
    assert np.array_equal(remote, np.arange(remote[0], remote[0] + len(remote)))
    common = np.intersect1d(truth.local_pair[local], truth.remote_pair[remote])
    common = common[common >= 0]
    found_l, found_r = bench.matched()
    good = found_l[(found_l == found_r) & (found_l >= 0)]
    assert len(np.unique(good)) == len(good)
    assert len(good) >= 0.995 * len(common)
    assert len(common) > 9000
    for a, b in zip(bench.overlaps, bench.overlaps[1:], strict=False):
        assert b.start_ps == a.stop_ps
    channels = np.concatenate([o.local.channel for o in bench.overlaps])
    assert np.array_equal(channels, local % 2 + 1)
    for o in bench.overlaps:
        assert np.all(np.diff(o.remote_mapped_ps) >= 0)
        assert np.array_equal(o.remote.label, -o.remote.sequence)
    # The caller's labels: the second in which a local batch began.
    last = bench.overlaps[-1].local
    seconds = (last.time_ps - truth.remote_zero_ps - truth.offset_ps) // 10**12
    assert np.mean(last.label == seconds) > 0.95
    status = bench.sync.status()
    assert status.statistics is not None
    assert status.statistics.residual_ps < 3 * status.statistics.bound_ps
    assert status.uncertainty_ps is not None
    assert status.uncertainty_ps < 60
    assert status.dropped_local == status.dropped_remote == 0


def test_chunking_does_not_matter(lab: Make) -> None:
    truth = lab(2, span_s=2.4, offset_ps=5 * 10**11, skew=-4e-6)
    found = []
    for local_ms, remote_ms in ((20, 120), (120, 20)):
        bench = Bench(truth, local_ms=local_ms, remote_ms=remote_ms)
        bench.run(2400)
        pairs, others = bench.matched()
        found.append(set(pairs[(pairs == others) & (pairs >= 0)].tolist()))
    both, either = found[0] & found[1], found[0] | found[1]
    # What differs is the last moment, in which one end's batch was not complete.
    assert len(both) > 0.9 * len(either)


def test_without_pairs_it_keeps_trying_within_bounds(lab: Make) -> None:
    truth = lab(3, span_s=2.6, pairs_cps=0.0)
    bench = Bench(truth)
    bench.sync = PairSynchronizer(window_ps=WINDOW_PS, acquire_span_s=0.5, buffer_s=1.0)
    bench.run(2600)
    assert bench.sync.state is ClockState.ACQUIRING
    assert bench.overlaps == []
    status = bench.sync.status()
    assert 3 <= status.failures == len(bench.results) <= 9
    assert "no peak" in status.last_failure
    # More than a second of 25 kcps never stays.
    assert 2.6 * 25e3 - status.dropped_local < 1.1 * 25e3
    assert status.dropped_remote > 0


def test_a_restart_of_the_far_end_is_acquired_anew(lab: Make) -> None:
    first = lab(4, span_s=2.0, offset_ps=10**12, skew=5e-6)
    second = lab(5, span_s=2.0, offset_ps=-3 * 10**12, skew=-5e-6)
    bench = Bench(first)
    bench.run(2000)
    assert bench.states[-1] is ClockState.TRACKING
    bench.sync.reset("remote")
    assert bench.sync.state is ClockState.ACQUIRING
    bench.sync.reset("local")
    bench.truth, bench.local_batches, bench.remote_batches = second, [], {}
    bench.overlaps = []
    bench.run(2000)
    assert bench.states[-1] is ClockState.TRACKING
    pairs, others = bench.matched()
    assert np.mean(pairs == others) > 0.99


def test_times_that_run_backwards_are_a_restart(lab: Make) -> None:
    truth = lab(6, span_s=1.6)
    bench = Bench(truth)
    bench.run(1600)
    assert bench.sync.state is ClockState.TRACKING
    empty = np.empty(0, dtype=np.int64)
    bench.sync.add_remote(empty, -(10**12), -(10**11), 10_000)
    assert bench.sync.state is ClockState.ACQUIRING


def test_a_loss_on_the_same_timescale_is_bridged(lab: Make) -> None:
    truth = lab(7, span_s=2.4, skew=1e-6)
    bench = Bench(truth)
    bench.run(2400, local_lost_ms=1800)
    assert len(bench.results) == 1
    assert bench.sync.state is ClockState.TRACKING
    assert bench.sync.status().losses == 0
    local, _ = bench.used()
    assert np.array_equal(local, np.arange(local[0], local[0] + len(local)))


def test_a_loss_that_moved_the_timescale_is_noticed_before_pairs_are_made(lab: Make) -> None:
    truth = lab(8, span_s=3.6, skew=1e-6)
    moved = truth.local_ps.copy()
    cut = np.searchsorted(moved, 1800 * MS)
    moved[cut:] += 2_000_000
    bench = Bench(dataclasses.replace(truth, local_ps=moved))
    bench.run(3600, local_lost_ms=1800)
    status = bench.sync.status()
    assert status.losses == 1
    assert status.acquisitions == 2
    pairs, others = bench.matched()
    assert np.mean(pairs == others) > 0.99


def test_a_result_for_a_clock_that_is_gone_is_not_taken(lab: Make) -> None:
    truth = lab(9, span_s=1.2)
    sync = PairSynchronizer(window_ps=WINDOW_PS)
    ones = np.ones(len(truth.local_ps), dtype=np.uint8)
    stop = 12 * 10**11
    sync.add_local(TagBatch(truth.local_ps, ones, -MS, stop))
    sync.add_remote(truth.remote_ps, -MS, stop, 0)
    request = sync.acquisition_input()
    assert request is not None
    assert sync.acquisition_input() is None
    sync.reset("remote")
    assert not sync.accept(request, run_acquisition(request))
    assert sync.state is ClockState.ACQUIRING


def test_bad_remote_batches_are_named_and_repeated_ones_counted() -> None:
    sync = PairSynchronizer(window_ps=WINDOW_PS)
    times = np.array([5, 9], dtype=np.int64)
    sync.add_remote(times, 0, 10, 3)
    sync.add_remote(times, 0, 10, 3)
    assert sync.status().duplicates == 1
    for bad, start, stop in ((times[::-1], 0, 10), (times, 6, 10), (times, 0, 9)):
        with pytest.raises(ValueError, match="remote batch 4"):
            sync.add_remote(bad, start + 100, stop + 100, 4)
        with pytest.raises(ValueError, match="remote batch 4"):
            sync.add_remote(bad, start, stop, 4)


times_arrays = st.lists(st.integers(0, 5000), max_size=40).map(
    lambda values: np.array(sorted(values), dtype=np.int64)
)


@given(times_arrays, times_arrays, st.integers(1, 200))
def test_a_cut_parts_no_near_tags(local: Any, remote: Any, guard: int) -> None:
    cut = quiet_instant(local, remote, 0, 4000, guard)
    assert 0 < cut <= 4000
    tags = np.concatenate((local, remote))
    before, after = tags[(tags > 0) & (tags < cut)], tags[(tags >= cut) & (tags < 4000 + guard)]
    quiet = np.diff(
        np.sort(np.concatenate(([0], tags[(tags > 0) & (tags <= 4000)], [4000 + guard])))
    )
    if quiet.max() > guard and len(before) and len(after):
        assert after.min() - before.max() > guard
