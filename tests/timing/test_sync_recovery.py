"""Losing a clock and finding it again: near where it should be first, then everywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from timing.acquire import Search
from timing.clock import ClockModel, ClockState
from timing.clock_class import declared_noise
from timing.reacquire import search_near
from timing.sync import PairSynchronizer, run_acquisition
from timing.tags import TagBatch

Make = Callable[..., Any]
S = 10**12
OFFSET_PS = 7 * S
WINDOW_PS = 4000


class Lab:
    """Feeds a synchronizer with light of 2000 pairs/s; the local scale is OFFSET_PS ahead."""

    def __init__(self, source: Make, seed: int, light: Any = None, **options: Any):
        self.light = light or source(seed)
        self.sync = PairSynchronizer(
            window_ps=WINDOW_PS,
            noise=declared_noise("ocxo", "ocxo"),
            **{"search": Search(max_offset_ps=10 * S, max_skew=1e-6), **options},
        )
        self.at_s = 0.0
        self.number = 0
        self.searches: list[Search] = []
        self.overlaps: list[Any] = []
        self.states: list[ClockState] = []

    def run(self, length_s: float, offset: Any = None, light: float = 1.0) -> None:
        for _ in range(round(length_s / 0.1)):
            local, remote, start, stop = self.light.span(
                self.at_s, offset or (lambda t: 0.0 * t), light=light
            )
            moved = 0 if offset is None else round(float(offset(np.array([self.at_s]))[0]))
            # A path moves tags, not the tagger's own scale.
            moved *= abs(moved) > 1_000_000
            edges = start + moved + OFFSET_PS, stop + moved + OFFSET_PS
            local = np.clip(local + OFFSET_PS, edges[0], edges[1] - 1)
            ones = np.ones(len(local), dtype=np.uint8)
            self.sync.add_local(TagBatch(local, ones, *edges))
            self.sync.add_remote(remote, start, stop, self.number)
            self.number += 1
            self.at_s = round(self.at_s + 0.1, 3)
            request = self.sync.acquisition_input()
            if request is not None:
                self.searches.append(request.search)
                self.sync.accept(request, run_acquisition(request))
            self.overlaps += self.sync.advance()
            self.states.append(self.sync.state)


def test_a_dark_minute_is_held_over_and_the_peak_taken_up_at_once(source: Make) -> None:
    lab = Lab(source, 1)
    lab.run(5.0)
    assert lab.sync.state is ClockState.TRACKING
    lab.run(60.0, light=0.0)
    assert lab.sync.state is ClockState.HOLDOVER
    held = lab.overlaps[-1]
    assert held.uncertainty_ps > 50
    assert WINDOW_PS < held.window_ps <= 2 * WINDOW_PS
    count = len(lab.states)
    lab.run(1.0)
    assert ClockState.TRACKING in lab.states[count : count + 5]
    assert lab.sync.status().acquisitions == 1
    assert lab.sync.status().losses == 0


def test_ten_dark_minutes_lose_the_clock_and_it_is_found_without_a_search(source: Make) -> None:
    lab = Lab(source, 2)
    lab.run(5.0)
    lab.run(600.0, light=0.0)
    assert lab.sync.state is ClockState.LOST
    assert lab.overlaps[-1].stop_ps < (lab.at_s - 100) * S + OFFSET_PS
    count, searches = len(lab.states), len(lab.searches)
    # Hardly anything is searched for in the dark.
    assert searches < 35
    lab.run(2.0)
    assert ClockState.TRACKING in lab.states[count : count + 10]
    status = lab.sync.status()
    assert status.losses == status.recoveries == 1
    assert status.acquisitions == 1
    assert lab.overlaps[-1].state is ClockState.TRACKING


def test_streams_that_stop_and_go_on_are_taken_up_again(source: Make) -> None:
    lab = Lab(source, 3)
    lab.run(40.0)
    lab.at_s += 60.0
    lab.run(2.0)
    assert lab.sync.state is ClockState.TRACKING
    assert lab.sync.status().acquisitions == 1


def test_a_jump_of_path_is_taken_up_and_said(source: Make) -> None:
    lab = Lab(source, 4)
    lab.run(40.0)
    lab.run(70.0, offset=lambda t: 9000.0 + 0 * t)
    status = lab.sync.status()
    assert status.state is ClockState.TRACKING
    assert status.recoveries == 1
    assert status.change is not None
    assert status.change.step_ps == pytest.approx(9000, abs=200)
    assert status.change.kind == "path"


def test_a_jump_out_of_reach_is_searched_for_nearby_first(source: Make) -> None:
    lab = Lab(source, 5)
    lab.run(5.0)
    first = len(lab.searches)
    lab.run(12.0, offset=lambda t: 3e7 + 0 * t)
    assert lab.sync.state is ClockState.TRACKING
    assert lab.sync.status().acquisitions == 2
    assert abs(lab.sync.model.offset_whole_ps - OFFSET_PS - 3e7) < 1000
    near = lab.searches[first]
    assert near.max_offset_ps < 10 * S
    assert abs(near.centre_offset_ps - OFFSET_PS) < 1e6


def test_searches_after_a_loss_widen_and_begin_again() -> None:
    whole = Search(max_offset_ps=10 * S, max_skew=1e-5)
    sure = ClockModel(0, OFFSET_PS, 0.0, 3e-6, ((1e6, 0.0), (0.0, 1e-24)))
    tried = [search_near(whole, sure, attempt) for attempt in range(4)]
    assert tried[0].max_offset_ps < tried[1].max_offset_ps < tried[2].max_offset_ps
    assert tried[0].max_skew < tried[1].max_skew < tried[2].max_skew
    assert tried[0].centre_offset_ps == OFFSET_PS
    assert tried[0].centre_skew == 3e-6
    assert tried[2] == whole
    assert tried[3] == tried[0]
    vague = ClockModel(0, OFFSET_PS, 0.0, 3e-6, ((1e24, 0.0), (0.0, 1e-8)))
    wide = search_near(whole, vague, 0)
    assert wide.max_offset_ps <= whole.max_offset_ps
    assert wide.max_skew <= whole.max_skew


def test_a_result_without_correlation_keeps_what_was_known(source: Make) -> None:
    lab = Lab(source, 6)
    lab.run(5.0)
    lab.run(320.0, light=0.0)
    assert lab.sync.state is ClockState.LOST
    assert lab.sync.status().failures > 0
    lab.run(1.0)
    assert lab.sync.state is ClockState.TRACKING


def test_references_and_noise_reach_the_tracker(source: Make) -> None:
    lab = Lab(source, 7)
    assert not lab.sync.observe_reference(OFFSET_PS, 100.0, 0)
    lab.run(5.0)
    assert lab.sync.observe_reference(OFFSET_PS, 100.0, 5 * S)
    assert lab.sync.status().statistics.references == 1
    lab.sync.set_noise(declared_noise("white_rabbit", "white_rabbit"))
    lab.run(60.0, light=0.0)
    quiet = lab.sync.status().uncertainty_ps
    other = Lab(source, 7)
    other.run(5.0)
    other.run(60.0, light=0.0)
    assert quiet < other.sync.status().uncertainty_ps


@pytest.mark.parametrize("period", [12_500.0, "estimate"])
def test_a_pulsed_source_is_tracked_on_the_peak_with_the_pairs(source: Make, period: Any) -> None:
    light = source(8, period_ps=12_500.0, sigma_ps=200.0)
    lab = Lab(source, 8, light, period_ps=period)
    lab.run(6.0)
    status = lab.sync.status()
    assert status.state is ClockState.TRACKING
    assert status.comb is not None
    assert status.comb.told
    assert status.comb.shift == 0
    assert abs(lab.sync.model.offset_whole_ps - OFFSET_PS) < 200
    assert lab.overlaps


def test_pulses_without_enough_pairs_deliver_nothing(source: Make) -> None:
    """Their peaks are tracked, but which of them has the pairs nobody can tell."""
    light = source(9, pairs_cps=0.0, singles_cps=(1e5, 1e5), period_ps=12_500.0, sigma_ps=200.0)
    near = Search(centre_offset_ps=OFFSET_PS, max_offset_ps=10**7, max_skew=1e-9, most_s=0.2)
    lab = Lab(source, 9, light, period_ps=12_500.0, search=near)
    lab.run(2.0)
    assert lab.searches
    assert lab.overlaps == []
    comb = lab.sync.status().comb
    assert comb is None or not comb.told
