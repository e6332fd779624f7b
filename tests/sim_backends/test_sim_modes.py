"""Memories whose qubits differ, interfaces with bright-state control. Limits: 4 standard errors."""

import math
from typing import Any

import numpy as np
import pytest

from sim_backends.heralding import HeraldOdds
from sim_backends.lab import LabConfig
from sim_backends.memories import DeviceFault, MemoryDevice
from sim_backends.midpoint import HeraldEvent
from sim_backends.truth import TruthLog
from sim_backends.world import World

PERIOD_S = 1e-5


def config(memory: dict[str, Any] | None = None, midpoint: dict[str, Any] | None = None) -> Any:
    ends = ("a", "b")
    numbers = {"qubits": 4, "t1_s": 1e9, "t2_s": 1e9}
    return {
        "lab": {"seed": 4},
        "memories": {end: numbers | (memory or {}) for end in ends},
        "midpoints": {
            "m": {
                "ends": ends,
                "attempt_period_us": PERIOD_S * 1e6,
                "efficiency": dict.fromkeys(ends, 0.5),
                "visibility": 1.0,
            }
            | (midpoint or {})
        },
    }


class Bench:
    """A world with its clock in hand."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self.now_s = 3.0
        self.world = World(
            LabConfig.model_validate(tables), now_s=lambda: self.now_s, truth=TruthLog(None)
        )
        self.heralds: list[HeraldEvent] = []
        self.world.midpoints["m"].on_herald = self.heralds.append

    @property
    def a(self) -> MemoryDevice:
        return self.world.memories["a"]

    def attempt(self) -> int:
        """Until a herald; how many attempts it took."""
        devices = [self.a, self.world.memories["b"], self.world.midpoints["m"]]
        first = max(device.start() for device in devices)
        due_s = self.world.next_event_s()
        assert due_s is not None
        self.now_s = due_s
        self.world.fire_due()
        return self.heralds[-1].slot - first + 1

    def outcomes(self, prepare: str, basis: str, wait_s: float, qubit: int, count: int) -> float:
        """Mean outcome sign of a qubit that was prepared and kept."""
        total = 0
        for _ in range(count):
            self.a.initialise(qubit, prepare)
            self.now_s += wait_s
            total += 1 - 2 * self.a.measure(qubit, basis)
        return total / count


def near(found: float, expected: float, count: int) -> bool:
    return abs(found - expected) < 4 * math.sqrt(max(1 - expected**2, 1 / count) / count)


@pytest.mark.parametrize(
    ("state", "basis", "expected"),
    [("+", "X", math.exp(-0.5)), ("+i", "Y", math.exp(-0.5)), ("1", "Z", 1 - 2 * math.exp(-0.25))],
)
def test_a_mode_decays_by_axis_with_its_own_times(state: str, basis: str, expected: float) -> None:
    bench = Bench(config({"modes": {"2": {"t1_s": 0.4, "t2_s": 0.2}}}))
    assert near(bench.outcomes(state, basis, 0.1, 2, 3000), expected, 3000)
    sign = -1.0 if state == "1" else 1.0
    assert bench.outcomes(state, basis, 0.1, 1, 100) == sign


def test_a_mode_that_takes_no_state_holds_noise() -> None:
    bench = Bench(config({"modes": {"1": {"efficiency": 0.7}}}))
    count, total = 2000, 0
    for _ in range(count):
        bench.a.initialise(0, "0")
        bench.a.move(0, 1)
        total += 1 - 2 * bench.a.measure(1, "Z")
    assert near(total / count, 0.7, count)


def test_readout_errors_and_initialisation_errors() -> None:
    bench = Bench(config({"readout_error": 0.05, "modes": {"3": {"readout_error": 0.2}}}))
    assert near(bench.outcomes("0", "Z", 0.0, 3, 3000), 0.6, 3000)
    assert near(bench.outcomes("0", "Z", 0.0, 1, 3000), 0.9, 3000)
    assert near(
        Bench(config({"initialise_error": 0.3})).outcomes("+", "X", 0.0, 1, 3000), 0.7, 3000
    )


def test_attempts_dephase_what_is_stored() -> None:
    bench = Bench(config({"modes": {"1": {"attempts_1e": 20.0}}}, {"duty": 0.5}))
    made, signs, count = [], 0, 1500
    for _ in range(count):
        bench.a.initialise(1, "+")
        made.append(bench.attempt())
        signs += 1 - 2 * bench.a.measure(1, "X")
        bench.a.release(0)
        bench.world.memories["b"].release(0)
    expected = float(np.mean(np.exp(-np.array(made) / 20.0)))
    assert 0.3 < expected < 0.9
    assert near(signs / count, expected, count)


def test_a_gate_dephases_its_neighbours_only() -> None:
    bench = Bench(config({"crosstalk": 0.1}))
    found = {1: 0, 3: 0}
    count = 2000
    for _ in range(count):
        for qubit in (0, 1, 3):
            bench.a.initialise(qubit, "+")
        bench.a.gate("H", [0])
        for qubit in found:
            found[qubit] += 1 - 2 * bench.a.measure(qubit, "X")
    assert near(found[1] / count, 0.8, count)
    assert found[3] == count


def test_switching_takes_its_time_between_qubits_only() -> None:
    device = Bench(config({"switching_time_us": 30.0})).a
    assert device.switching_s([1]) == 0.0
    assert device.switching_s([1]) == 0.0
    assert device.switching_s([2, 3]) == pytest.approx(30e-6)
    assert device.switching_s([3]) == 0.0


SINGLE = {
    "scheme": "single_click",
    "efficiency": {"a": 0.2, "b": 0.2},
    "bright_population": {"a": 0.05, "b": 0.05},
}


def test_bright_population_sets_rate_and_fidelity_of_the_running_lab() -> None:
    bench = Bench(config(midpoint=SINGLE))
    for alpha in (0.05, 0.3):
        for end in ("a", "b"):
            bench.world.memories[end].set_bright_population(alpha)
        tries, agree, count = [], 0, 600
        for _ in range(count):
            tries.append(bench.attempt())
            signs = [1 - 2 * bench.world.memories[end].measure(0, "Z") for end in ("a", "b")]
            agree += signs[0] == signs[1]
        bright = {"bright_population": {"a": alpha, "b": alpha}}
        tables = LabConfig.model_validate(config(midpoint=SINGLE | bright))
        odds = HeraldOdds.of(tables.midpoints["m"])
        mean = 1 / odds.total
        assert abs(np.mean(tries) - mean) < 4 * mean / math.sqrt(count)
        # <ZZ> of Psi states with a share of both bright.
        pair = odds.mean_pair
        expected = pair[0] + pair[1]
        assert abs(agree / count - expected) < 4 * math.sqrt(expected * (1 - expected) / count)
    with pytest.raises(DeviceFault, match=r"bright population 1\.2"):
        bench.a.set_bright_population(1.2)
    with pytest.raises(DeviceFault, match="no single-click midpoint"):
        Bench(config()).a.set_bright_population(0.1)


@pytest.mark.parametrize(
    ("memory", "midpoint", "said"),
    [
        ({"modes": {"7": {}}}, {}, "modes.7 of 4 qubits"),
        ({"modes": {"1": {"t2_s": 3.0, "t1_s": 1.0}}}, {}, "t2_s <= 2 \\* t1_s"),
        ({}, {"scheme": "single_click"}, "bright_population"),
        ({}, {"bright_population": {"a": 0.1, "b": 0.1}}, "double_click"),
        ({}, {"photons": {"lifetime_ns": 0.0}}, "greater than 0"),
        ({"clock": {}}, {}, "empty table"),
    ],
)
def test_tables_that_make_no_sense_are_refused(
    memory: dict[str, Any], midpoint: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        LabConfig.model_validate(config(memory, midpoint))
