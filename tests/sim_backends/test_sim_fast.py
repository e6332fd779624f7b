"""The fast path against theory and against the lab. Fixed seeds; p above 1e-4, or 4 sigma."""

import math

import numpy as np
import pytest

from sim_backends.bell_diagonal import Hold, werner_pair
from sim_backends.fast import (
    Chain,
    FastLink,
    chain_pairs,
    estimated_fidelity,
    heralds,
    mean_fidelity,
    pairs_of,
)
from sim_backends.heralding import HeraldOdds
from sim_backends.lab import MidpointConfig
from sim_backends.midpoint import Attempts, Herald


def odds(eta: float = 0.05, visibility: float = 0.9, dark: float = 1e-4) -> HeraldOdds:
    return HeraldOdds.of(config(eta, visibility, dark))


def config(eta: float, visibility: float, dark: float) -> MidpointConfig:
    return MidpointConfig(
        ends=("a", "b"),
        attempt_period_us=10.0,
        efficiency={"a": eta, "b": eta},
        visibility=visibility,
        dark_probability=dark,
    )


def test_gaps_between_heralds_are_geometric() -> None:
    link = FastLink(odds(0.3), 1e-5)
    slots = heralds(link, 20.0, np.random.default_rng(1)).slots
    p = link.odds.total
    gaps = np.diff(slots)
    assert gaps.min() >= 1
    # Kolmogorov's distance of a lattice distribution: at a chance of 1e-4 it is 2.23/sqrt(n).
    values = np.arange(1, int(gaps.max()) + 1)
    seen = np.searchsorted(np.sort(gaps), values, side="right") / gaps.size
    assert np.abs(seen - (1 - (1 - p) ** values)).max() < 2.23 / math.sqrt(gaps.size)
    assert abs(slots.size - 2_000_000 * p) < 4 * math.sqrt(2_000_000 * p * (1 - p))
    assert slots.max() < 2_000_000


def test_a_pause_after_each_herald_takes_its_slots() -> None:
    link = FastLink(odds(0.3), 1e-5, pause_s=1e-3)
    found = heralds(link, 20.0, np.random.default_rng(2))
    assert np.diff(found.slots).min() >= 101
    p = link.odds.total
    mean = 2_000_000 / (1 / p + 100)
    assert abs(len(found) - mean) < 4 * math.sqrt(mean)


def test_no_heralds_without_light_or_time() -> None:
    rng = np.random.default_rng(1)
    assert len(heralds(FastLink(odds(0.0, dark=0.0), 1e-5), 10.0, rng)) == 0
    assert len(heralds(FastLink(odds(), 1e-5), 5e-6, rng)) == 0


def test_it_draws_what_the_lab_draws() -> None:
    """Heralds of the lab's own trigger line and of the fast path have the same shares."""
    numbers, now_s = config(0.3, 0.8, 0.02), 0.0
    line = Attempts("m", numbers, lambda: now_s, np.random.default_rng(3))
    slow: list[Herald] = []
    waits: list[int] = []
    while len(slow) < 4000:
        first = [line.start(member, 0) for member in ("midpoints.m", "memories.a", "memories.b")]
        due_s = line.next_event_s()
        assert due_s is not None
        now_s = due_s
        herald = line.take_due()
        assert isinstance(herald, Herald)
        waits.append(herald.slot - max(first) + 1)
        slow.append(herald)
    fast = heralds(FastLink(line.odds, line.period_s), 4.0, np.random.default_rng(4))
    share = line.odds.false_share
    for false, count in (
        (sum(not herald.real for herald in slow), len(slow)),
        (int(np.sum(fast.causes == 0)), len(fast)),
    ):
        assert abs(false - share * count) < 4 * math.sqrt(share * (1 - share) * count)
    mean = 1 / line.odds.total
    assert abs(np.mean(waits) - mean) < 4 * mean / math.sqrt(len(waits))
    assert abs(np.diff(fast.slots).mean() - mean) < 4 * mean / math.sqrt(len(fast))
    minus = sum(herald.bell_state == "PSI_MINUS" for herald in slow)
    assert abs(minus - len(slow) / 2) < 4 * math.sqrt(len(slow) / 4)


def test_estimated_fidelity_scatters_as_it_says_about_the_truth() -> None:
    hold = Hold(1.0, 0.5)
    link = FastLink(odds(0.2, 0.9, 1e-3), 1e-5, (hold, hold), (0.05, 0.02))
    truth = mean_fidelity(link)
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng([5, seed])
        found, error = estimated_fidelity(pairs_of(link, heralds(link, 0.5, rng)), rng)
        pulls.append((found - truth) / error)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(60)
    # 60 pulls know their spread to 9 %.
    assert np.std(pulls) == pytest.approx(1.0, abs=4 * 0.092)


def test_a_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="found 2 pairs"):
        estimated_fidelity(np.full((2, 4), 0.25), np.random.default_rng(1))


def test_a_chain_of_perfect_links_waits_for_the_slowest() -> None:
    link = FastLink(odds(0.1, 1.0, 0.0), 1e-5)
    duration_s, pairs = chain_pairs(Chain([link] * 9), 20_000, np.random.default_rng(6))
    assert pairs[:, 0] == pytest.approx(1.0)
    # Mean of the largest of n exponential waits: the harmonic number (p is small).
    expected = 1e-5 / link.odds.total * sum(1 / k for k in range(1, 10))
    assert abs(duration_s.mean() - expected) < 4 * duration_s.std() / math.sqrt(20_000)


def test_a_chain_of_werner_like_links_multiplies_correlators() -> None:
    link = FastLink(
        HeraldOdds.of(config(0.1, 1.0, 0.0).model_copy(update={"residual_depolarising": 0.1})), 1e-5
    )
    _, pairs = chain_pairs(Chain([link] * 4, swap_depolarising=0.05), 10, np.random.default_rng(7))
    w = 0.9**4 * 0.95**3
    assert pairs[:, 0] == pytest.approx((1 + 3 * w) / 4)
    with pytest.raises(ValueError, match="no links"):
        chain_pairs(Chain([]), 10, np.random.default_rng(1))


def test_pairs_that_wait_in_a_chain_decay() -> None:
    hold = Hold(1e9, 0.01)
    link = FastLink(odds(0.1, 1.0, 0.0), 1e-5, (hold, hold))
    duration_s, pairs = chain_pairs(Chain([link] * 2), 20_000, np.random.default_rng(8))
    # The earlier pair dephases on both halves for the difference of two exponential waits w:
    # mean of e^(-2 w/T2) is 1/(1 + 2 m/T2), with m their mean.
    mean_s = 1e-5 / link.odds.total
    expected = (1 + 1 / (1 + 2 * mean_s / 0.01)) / 2
    spread = pairs[:, 0].std() / math.sqrt(20_000)
    assert abs(pairs[:, 0].mean() - expected) < 4 * spread + mean_s / 0.01 * link.odds.total * 10
    assert duration_s.min() > 0.0
    assert werner_pair("PSI_PLUS", 1.0)[2] == 1.0
