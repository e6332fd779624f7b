"""Heralds that are told later: what the times of messages say about when the herald was.

A false alarm of any of the statistics has a probability of 1e-4.
"""

import math
import random

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from link_layer.egp_station import announced_after_s
from link_layer.messages import Attempt, Create, Heralded, Message, PairHeld
from link_layer.states import BellState
from tests.link_layer.egp_world import World

PERIOD_S = 0.01
RARE = 1e-4
BINS = 8

Floats = NDArray[np.float64]


def tells(heralds: Floats, announced: Floats) -> bool:
    """Whether the instant of the announcement, counted from the beginning of the period in which
    the herald was, depends on the phase of the herald: chi-square of their joint histogram, and
    their correlation."""
    begun = np.floor(heralds / PERIOD_S)
    one, other = heralds / PERIOD_S - begun, announced / PERIOD_S - begun
    edges = np.quantile(other, np.linspace(0, 1, BINS + 1))
    seen = np.histogram2d(one, other, (np.linspace(0, 1, BINS + 1), edges))[0]
    expected = seen.sum(1, keepdims=True) * seen.sum(0, keepdims=True) / seen.sum()
    statistic = ((seen - expected) ** 2 / expected).sum()
    correlation = np.corrcoef(one, other)[0, 1] * math.sqrt(one.size)
    return bool(
        statistic > chi2.isf(RARE / 2, (BINS - 1) ** 2) or abs(correlation) > norm.isf(RARE / 4)
    )


def test_the_phase_of_an_announcement_is_none_of_the_herald() -> None:
    rng = random.Random(5)
    heralds = np.array([rng.uniform(0, 40) for _ in range(20_000)])
    late = np.array([announced_after_s(each, PERIOD_S, rng) for each in heralds.tolist()])
    assert late.min() >= 0
    assert late.max() <= 2 * PERIOD_S
    assert not tells(heralds, heralds + late)
    # What a wait of one length, or a random one from the herald on, would tell.
    assert tells(heralds, heralds + PERIOD_S / 3)
    waits = np.array([rng.uniform(0, PERIOD_S) for _ in heralds])
    assert tells(heralds, heralds + waits)


def test_without_a_period_it_is_told_at_once() -> None:
    assert announced_after_s(3.7, 0.0, random.Random(1)) == 0.0


class Watched(World):
    """Notes who sends what when, and when heralds truly were."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sent: list[tuple[float, Message]] = []
        self.heralds: dict[int, float] = {}
        heralded = self.photons._herald

        def herald(drawn: int) -> None:
            before = self.photons.slot
            heralded(drawn)
            if self.photons.slot > before:
                self.heralds[self.photons.slot] = self.clock.now_s

        self.photons._herald = herald  # type: ignore[method-assign]

    def send(self, sender: str, to: str, message: Message) -> None:
        self.sent.append((self.clock.now_s, message))
        super().send(sender, to, message)


@pytest.mark.parametrize("kind", ["K", "M"])
def test_nobody_says_a_word_between_a_herald_and_its_announcement(kind: str) -> None:
    world = Watched(3, announce_period_s=PERIOD_S)
    for end in world.ends.values():
        end.ask(Create("link", 1, kind, 250, 0.5, 100.0, "test"), "alice")
    world.clock.run_until(15.0)
    announced = {m.slot: at_s for at_s, m in world.sent if isinstance(m, Heralded)}
    assert len(announced) >= 250
    at_s = np.array([each for each, m in world.sent if isinstance(m, Attempt | PairHeld)])
    for slot, told_s in announced.items():
        # The pair before may still be agreed on when this one's herald comes.
        begun_s = max(world.heralds[slot], told_s - PERIOD_S)
        assert not ((at_s > begun_s) & (at_s < told_s) & (at_s > begun_s + 5e-3)).any()
    served = [len([g for g in end.given if g.request == 1]) for end in world.ends.values()]
    assert served == [250, 250]
    heralds = np.array([world.heralds[slot] for slot in announced])
    assert not tells(heralds, np.array(list(announced.values())))


def test_a_station_without_a_period_says_when_the_herald_was() -> None:
    """The test above can fail."""
    world = Watched(3)
    for end in world.ends.values():
        end.ask(Create("link", 1, "M", 250, 0.5, 100.0, "test"), "alice")
    world.clock.run_until(5.0)
    announced = {m.slot: at_s for at_s, m in world.sent if isinstance(m, Heralded)}
    heralds = np.array([world.heralds[slot] for slot in announced])
    assert tells(heralds, np.array(list(announced.values())))
    assert set(world.photons.truth.values()) <= {BellState.PSI_PLUS, BellState.PSI_MINUS}
