"""SeQUeNCe on the same two-photon link: recorded by benchmarks/peer_sequence.py.

Compared is what can be: the probability of an attempt, the attempt period as an input, and the
decay of a stored pair. Its fidelity of a fresh pair is an input there. Limits are 4 standard
errors of its counts.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_backends.bell_diagonal import Hold, stored
from sim_backends.fast import FastLink, heralds
from sim_backends.heralding import HeraldOdds
from sim_backends.lab import MidpointConfig

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "reference" / "sequence_double_click.json").read_text()
)
EFFICIENCIES = sorted({run["efficiency"] for run in RECORDED["runs"]})


def link(efficiency: float, attempts: float) -> FastLink:
    half_db = RECORDED["attenuation_db_per_m"] * RECORDED["length_m"] / 2
    arm = efficiency * RECORDED["detector_efficiency"] * 10 ** (-half_db / 10)
    period_s = RECORDED["simulated_s"] / attempts
    config = MidpointConfig(
        ends=("a", "b"),
        attempt_period_us=period_s * 1e6,
        efficiency={"a": arm, "b": arm},
        visibility=1.0,
    )
    return FastLink(HeraldOdds.of(config), period_s)


@pytest.mark.parametrize("efficiency", EFFICIENCIES)
def test_probability_of_an_attempt(efficiency: float) -> None:
    runs = [run for run in RECORDED["runs"] if run["efficiency"] == efficiency]
    assert len({run["seed"] for run in runs}) >= 3
    attempts = sum(run["attempts"] for run in runs)
    found = sum(run["heralds"] for run in runs)
    p = link(efficiency, attempts / len(runs)).odds.total
    assert abs(found - attempts * p) < 4 * math.sqrt(attempts * p * (1 - p))


@pytest.mark.parametrize("efficiency", EFFICIENCIES)
def test_heralds_of_a_second_at_its_attempt_period(efficiency: float) -> None:
    runs = [run for run in RECORDED["runs"] if run["efficiency"] == efficiency]
    ours = [
        len(
            heralds(
                link(efficiency, run["attempts"]),
                RECORDED["simulated_s"],
                np.random.default_rng(run["seed"]),
            )
        )
        for run in runs
    ]
    theirs = [run["heralds"] for run in runs]
    # Two independent counts: their variances add.
    assert abs(sum(ours) - sum(theirs)) < 4 * math.sqrt(sum(ours) + sum(theirs))


def test_decay_with_its_convention_of_the_coherence_time() -> None:
    """Its order is I, Z, X, Y, and its coherence factor exp(-2t/T) a memory: T2 = T/2."""
    hold = Hold(1e12, RECORDED["coherence_s"] / 2)
    rest = (1 - RECORDED["raw_fidelity"]) / 3
    fresh = np.array([RECORDED["raw_fidelity"], rest, rest, rest])
    for row in RECORDED["decay"]:
        ours = stored(fresh, row["waited_s"], row["waited_s"], hold, hold)
        assert ours == pytest.approx(row["state_izxy"], abs=1e-9)
    assert RECORDED["decay"][-1]["waited_s"] > 0.5
