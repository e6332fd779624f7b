"""How often the intervals of the fidelity unit hold the truth, and that the benchmark which
measures it at length follows the same unit.

A coverage between 93 and 97 % fails here with a probability below 1e-4 a side and scene. At rest
there are so many links that one of 99 % is seen.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.fidelity_scenes import FIRST, SCENES, trials
from link_layer.feu import FidelityUnit
from link_layer.feu_filter import BASES, ResidualFilter
from link_layer.states import BellState
from sim_backends.seeds import generator

RARE = 1e-4
CASES = (("rest", 1300), ("few", 1300), ("linear", 300), ("walk", 300))


@pytest.mark.parametrize(("name", "links"), CASES)
def test_the_intervals_hold_the_truth_as_often_as_they_say(name: str, links: int) -> None:
    rng = generator(7, f"tests.coverage.{name}")
    (found,) = trials(replace(SCENES[name], judged_s=FIRST), links, rng)
    held = int(found.held.sum())
    assert binom.ppf(RARE, links, 0.93) <= held <= binom.isf(RARE, links, 0.97)
    # Nor are they wider than is useful: somebody who knew how it moves would need this.
    assert (found.high - found.low).mean() < 3 * found.ideal.mean()


def test_the_unit_says_what_the_benchmark_measures() -> None:
    now_s = 0.0
    unit = FidelityUnit(lambda: now_s)
    own = ResidualFilter(shape=(2,))
    rng = generator(7, "tests.coverage.unit")
    for _ in range(20):
        now_s += 10.0
        own.passes(10.0)
        for basis in BASES:
            wrong = float(rng.binomial(60, 0.05))
            counts = (wrong, 60 - wrong) if basis == "Y" else (60 - wrong, wrong)
            unit.add_counts(basis, BellState.PHI_PLUS, *counts)
            own.hears(basis, np.array([30.0, 60 - wrong]), np.array([30.0, wrong]))
        unit.renew()
    found = unit.goodness()
    assert found is not None
    fidelities = 1 - own.drawn(2048, (1,)).sum(0) / 2
    assert found.low == pytest.approx(np.quantile(fidelities, 0.025), abs=1e-9)
    assert found.high == pytest.approx(np.quantile(fidelities, 0.975), abs=1e-9)
