"""What an end tells of its tags must not name the detector."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from timing.blind import BlindStream
from timing.tags import TagBatch, joined

TICK_PS = 2000


def blind(delays, *, dead_time_ps=0, seed=1):
    return BlindStream(
        delays,
        dead_time_ps=dead_time_ps,
        resolution_ps=TICK_PS,
        rng=np.random.default_rng(seed),
    )


def clicks(rate_cps=1e5, span_ps=10**12, delays=(0, 0), seed=2):
    """Light at known times, a detector of two, and the tags: (light, which, batch)."""
    random = np.random.default_rng(seed)
    light = np.sort(random.integers(0, span_ps - 10**7, int(rate_cps * span_ps / 1e12)))
    which = random.integers(0, 2, len(light))
    late = np.array(delays)[which]
    times = (light + late) // TICK_PS * TICK_PS
    order = np.argsort(times, kind="stable")
    channel = np.array([1, 2], np.uint8)[which]
    return light, which, TagBatch(times[order], channel[order], 0, span_ps)


@pytest.mark.parametrize("delays", [(0, 700), (12_345, -3), (-4000, 6000), (999, 1000)])
def test_neither_the_residue_nor_the_mean_names_the_detector(delays):
    light, which, batch = clicks(delays=delays)
    assert (np.abs(np.subtract(*delays))) > 0
    told = blind({1: delays[0], 2: delays[1]}).feed(batch)
    assert not (told.time_ps % TICK_PS).any()
    assert np.all(np.diff(told.time_ps) >= 0)
    # How late each detector's tags are against the light, which the far end's pairs would show.
    late = []
    for channel in (1, 2):
        mine = told.of(channel)
        true = np.sort(light[which == channel - 1])[: len(mine)]
        late.append(mine - true)
    assert abs(late[0].mean() - late[1].mean()) < 4 * TICK_PS / np.sqrt(len(late[0]))
    assert max(part.std() for part in late) < TICK_PS


def test_delays_uncorrected_would_have_told_it():
    light, which, batch = clicks(delays=(0, 700))
    told = blind({1: 0, 2: 0}).feed(batch)
    late = [(told.of(c) - np.sort(light[which == c - 1])[: len(told.of(c))]).mean() for c in (1, 2)]
    assert late[1] - late[0] > 500


def test_close_tags_do_not_tell_that_they_are_of_two_detectors():
    _, _, batch = clicks(rate_cps=1e6)
    # Each detector has a dead time of 60 ns of its own; only pairs across the two are closer.
    stream = blind({1: 0, 2: 0}, dead_time_ps=60_000)
    told = stream.feed(batch)
    assert np.diff(batch.time_ps).min() < 60_000
    assert np.diff(told.time_ps).min() >= 60_000
    assert stream.vetoed == len(batch) - len(told)
    assert 0.04 < stream.vetoed / len(batch) < 0.07


def test_other_channels_stay_at_home():
    times = np.arange(6) * 10**6
    batch = TagBatch(times, np.array([1, 2, 3, 4, 1, 2], np.uint8), 0, 10**7)
    told = blind({1: 0, 2: 0}).feed(batch)
    assert told.channel.tolist() == [1, 2, 1, 2]
    assert told.time_ps.tolist() == [times[k] for k in (0, 1, 4, 5)]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from([1, 2, 9])), max_size=80),
    st.lists(st.integers(0, 500), max_size=4),
    st.integers(0, 30),
    st.integers(0, 40),
)
def test_the_cut_into_batches_changes_nothing(tags, cuts, steps, dead_steps):
    tags.sort(key=lambda tag: tag[0])
    times = np.array([t for t, _ in tags], np.int64) * TICK_PS
    channel = np.array([c for _, c in tags], np.uint8)
    edges = sorted({0, *(cut * TICK_PS for cut in cuts), 600 * TICK_PS})
    batches = []
    for start, stop in itertools.pairwise(edges):
        low, high = np.searchsorted(times, [start, stop])
        batches.append(TagBatch(times[low:high], channel[low:high], start, stop))
    delays, dead = {1: 0, 2: steps * TICK_PS}, dead_steps * TICK_PS
    whole = blind(delays, dead_time_ps=dead).feed(joined(batches))
    stream = blind(delays, dead_time_ps=dead)
    parts = [stream.feed(batch) for batch in batches]
    for batch, part in zip(batches, parts, strict=True):
        assert (part.start_ps, part.stop_ps) == (batch.start_ps, batch.stop_ps)
        assert np.all((part.time_ps >= part.start_ps) & (part.time_ps < part.stop_ps))
    together = joined(parts)
    assert together.time_ps.tolist() == whole.time_ps.tolist()
    assert together.channel.tolist() == whole.channel.tolist()


def test_flags_are_handed_on_and_a_gap_leaves_nothing_behind():
    stream = blind({1: 0, 2: 0})
    first = TagBatch(np.array([0]), np.array([1], np.uint8), 0, 10, lost=True, lost_tags=3)
    told = stream.feed(first)
    assert (told.lost, told.lost_tags, told.overflow) == (True, 3, False)
    stream = blind({1: 8000, 2: 0})
    stream.feed(TagBatch(np.array([8000]), np.array([2], np.uint8), 0, 10_000))
    again = stream.feed(TagBatch(np.array([500_000]), np.array([1], np.uint8), 10**5, 10**6))
    assert again.time_ps.tolist() == [500_000]


def test_batches_that_do_not_follow_each_other_are_not_joined():
    one = TagBatch(np.array([0]), np.array([1], np.uint8), 0, 10)
    with pytest.raises(ValueError, match="ends at 10 ps, the next begins at 11 ps"):
        joined([one, TagBatch(np.array([12]), np.array([1], np.uint8), 11, 20)])
