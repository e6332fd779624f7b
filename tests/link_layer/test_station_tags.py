"""Slots and heralds from a station's tags, drawn by hand on a clock that is off."""

import numpy as np
import pytest

from link_layer.click_patterns import time_bins
from link_layer.heralding import Mismatch
from link_layer.states import BellState
from link_layer.station_tags import StationTags
from timing.tags import TagBatch

PERIOD_PS = 20_000_000
SYNC = 3
SKEW = 1 - 8e-6
PATTERN = time_bins(1, 2, (19_400_000, 19_600_000), (19_800_000, 20_000_000))
EARLY_PS, LATE_PS = 19_410_000, 19_810_000


class Bench:
    """A station's trigger and clicks by slot, read by a tagger in batches of 50 ms."""

    def __init__(self) -> None:
        self.tags: list[tuple[int, int]] = []

    def run(self, slots: range, *, missing: tuple[int, ...] = ()) -> None:
        self.tags += [(slot * PERIOD_PS, SYNC) for slot in slots if slot not in missing]

    def click(self, slot: int, after_ps: int, channel: int) -> None:
        self.tags.append((slot * PERIOD_PS + after_ps, channel))

    def batches(self) -> list[TagBatch]:
        tags = sorted((round(time * SKEW) + 123_456_789, channel) for time, channel in self.tags)
        times = np.array([time for time, _ in tags], np.int64)
        channels = np.array([channel for _, channel in tags], np.uint8)
        edges = np.arange(times[0], times[-1] + 10**11, 5 * 10**10)
        cuts = np.searchsorted(times, edges)
        return [
            TagBatch(times[i:j], channels[i:j], int(start), int(stop))
            for i, j, start, stop in zip(cuts, cuts[1:], edges, edges[1:], strict=False)
        ]


def heralds(tags: StationTags, bench: Bench) -> list[tuple[int, BellState]]:
    return [(slot, state) for b in bench.batches() for slot, state, _ in tags.feed(b)]


def station(*starts: int) -> StationTags:
    tags = StationTags(PATTERN, PERIOD_PS, SYNC)
    for slot in starts:
        tags.started(slot)
    return tags


def test_a_herald_has_its_slot_and_state_over_pauses_and_lost_pulses() -> None:
    bench = Bench()
    bench.run(range(7000, 9000), missing=(7100, 7101, 8999))
    bench.click(8123, EARLY_PS, 1)
    bench.click(8123, LATE_PS, 1)
    bench.click(8500, EARLY_PS, 1)  # one click heralds nothing
    bench.run(range(9000, 40_000))  # without a pause
    bench.click(39_000, EARLY_PS, 1)
    bench.click(39_000, LATE_PS, 2)
    bench.run(range(2_000_000, 2_003_000))  # after 39 s, in which the clocks part by 16 slots
    bench.click(2_002_222, EARLY_PS, 2)
    bench.click(2_002_222, LATE_PS, 2)
    bench.click(2_002_223, 1_000_000, 2)
    tags = station(7000)
    found = []
    for batch in bench.batches():
        if batch.start_ps > 8000 * PERIOD_PS and len(found) == 0:
            tags.started(9000)
        if batch.start_ps > 41_000 * PERIOD_PS:
            tags.started(1_999_990)  # one that was over before it began
            tags.started(2_000_000)
        found += [(slot, state) for slot, state, _ in tags.feed(batch)]
    assert found == [
        (8123, BellState.PSI_PLUS),
        (39_000, BellState.PSI_MINUS),
        (2_002_222, BellState.PSI_PLUS),
    ]
    assert (tags.clicks, tags.outside, tags.ambiguous) == (7, 1, 0)


def test_more_clicks_than_a_pair_are_ambiguous_and_told_as_such() -> None:
    bench = Bench()
    bench.run(range(10, 3000))
    for after_ps, channel in ((EARLY_PS, 1), (EARLY_PS, 2), (LATE_PS, 1)):
        bench.click(500, after_ps, channel)
    tags = station(10)
    assert heralds(tags, bench) == []
    assert tags.ambiguous == 1


def test_a_batch_with_a_gap_heralds_nothing() -> None:
    bench = Bench()
    bench.run(range(10, 3000))
    bench.click(500, EARLY_PS, 1)
    bench.click(500, LATE_PS, 1)
    tags = station(10)
    lossy = [
        TagBatch(b.time_ps, b.channel, b.start_ps, b.stop_ps, lost=True) for b in bench.batches()
    ]
    assert [each for b in lossy for each in tags.feed(b)] == []


@pytest.mark.parametrize("starts", [(), (10, 20)])
def test_a_first_pulse_that_may_be_of_several_runs_is_a_mismatch(starts: tuple[int, ...]) -> None:
    bench = Bench()
    bench.run(range(20, 200))
    with pytest.raises(Mismatch, match="may be of"):
        heralds(station(*starts), bench)


def test_a_run_that_begins_where_no_start_was_is_a_mismatch() -> None:
    bench = Bench()
    bench.run(range(10, 3000))
    bench.tags += [(slot * PERIOD_PS + PERIOD_PS // 2, SYNC) for slot in range(5000, 5100)]
    with pytest.raises(Mismatch, match="fits none") as told:
        heralds(station(10), bench)
    assert told.value.kind == "sequence"
