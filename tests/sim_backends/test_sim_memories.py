"""The memory link: heralds, held qubits and their decay. Limits are 4 standard errors."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim_backends.lab import LabConfig, load_lab
from sim_backends.memories import DeviceFault, MemoryDevice
from sim_backends.midpoint import HeraldEvent, HeraldOdds, StoppedEvent
from sim_backends.truth import TruthLog
from sim_backends.world import World

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "lab.toml"
PERIOD_S = 20e-6
PERFECT = {
    "gate_error": 0.0,
    "two_qubit_gate_error": 0.0,
    "readout_error": 0.0,
    "t1_s": 1e9,
    "t2_s": 1e9,
}


def example(
    memory: dict[str, Any] | None = None, midpoint: dict[str, Any] | None = None
) -> LabConfig:
    config = load_lab(EXAMPLE)
    return config.model_copy(
        update={
            "memories": {
                name: item.model_copy(update={"stated_fidelity": None} | (memory or {}))
                for name, item in config.memories.items()
            },
            "midpoints": {
                name: item.model_copy(update=midpoint or {})
                for name, item in config.midpoints.items()
            },
        }
    )


class Bench:
    """A world with its clock in hand, and the events of its devices."""

    def __init__(self, config: LabConfig, truth: Path | None = None) -> None:
        self.now_s = 50.0
        self.truth_path = truth
        self.truth = TruthLog(truth)
        self.world = World(config, now_s=lambda: self.now_s, truth=self.truth)
        self.alice, self.bob = self.world.memories["alice"], self.world.memories["bob"]
        self.station = self.world.midpoints["station"]
        self.heralds: list[tuple[str, HeraldEvent]] = []
        self.stopped: list[tuple[str, StoppedEvent]] = []
        for device in (self.alice, self.bob, self.station):
            device.on_herald = lambda event, name=device.name: self.heralds.append((name, event))
            device.on_stopped = lambda event, name=device.name: self.stopped.append((name, event))

    def to_next_event(self) -> None:
        due_s = self.world.next_event_s()
        assert due_s is not None
        self.now_s = max(self.now_s, due_s)
        self.world.fire_due()

    def pair(self) -> tuple[int, dict[str, HeraldEvent]]:
        """Attempt until a herald; returns the number of attempts and the events by device."""
        self.heralds.clear()
        first = max(device.start() for device in (self.alice, self.bob, self.station))
        self.to_next_event()
        events = dict(self.heralds)
        assert set(events) == {"alice", "bob", "station"}
        return events["station"].slot - first + 1, events

    def records(self, kind: str) -> list[dict[str, Any]]:
        assert self.truth_path is not None
        self.truth.flush()
        lines = [json.loads(line) for line in self.truth_path.read_text().splitlines()]
        return [line for line in lines if line["kind"] == kind]


def free(*devices: MemoryDevice) -> None:
    for device in devices:
        for qubit in device.held():
            device.release(qubit)


def test_attempts_to_success_are_geometric() -> None:
    config = example()
    odds = HeraldOdds.of(config.midpoints["station"])
    assert odds.true == pytest.approx(0.5 * 0.05 * 0.05)
    bench = Bench(config)
    attempts, bells = [], Counter()
    for _ in range(3000):
        count, events = bench.pair()
        attempts.append(count)
        bells[events["station"].bell_state] += 1
        free(bench.alice, bench.bob)
    drawn = np.array(attempts)
    n, p = drawn.size, odds.total
    assert drawn.min() >= 1
    assert abs(drawn.mean() - 1 / p) < 4 * math.sqrt((1 - p) / p**2 / n)
    # Chi-square over ten equally likely classes, 9 degrees of freedom.
    edges = np.log1p(-np.arange(1, 10) / 10) / np.log1p(-p)
    seen = np.bincount(np.searchsorted(edges, drawn), minlength=10)
    assert np.sum((seen - n / 10) ** 2 / (n / 10)) < 9 + 4 * math.sqrt(18)
    assert set(bells) == {"PSI_PLUS", "PSI_MINUS"}
    assert abs(bells["PSI_PLUS"] - n / 2) < 4 * math.sqrt(n / 4)


def test_all_three_hear_of_the_same_slot_on_their_own_time_in_any_order() -> None:
    bench = Bench(example())
    orders = set()
    for _ in range(60):
        _, events = bench.pair()
        orders.add(tuple(name for name, _ in bench.heralds))
        assert len({event.slot for event in events.values()}) == 1
        true_s = (events["alice"].slot + 1) * PERIOD_S
        assert bench.world.time_s() == pytest.approx(true_s, abs=1e-9)
        assert events["alice"].time_ps == pytest.approx(
            (true_s + 61.2) * (1 + 1.8e-6) * 1e12, abs=1
        )
        assert events["bob"].time_ps == pytest.approx((true_s + 33.9) * (1 - 2.7e-6) * 1e12, abs=1)
        assert (events["alice"].qubit, events["station"].qubit) == (0, None)
        assert events["alice"].bell_state is None
        assert not any(device.attempting for device in (bench.alice, bench.bob, bench.station))
        assert bench.alice.held() == bench.bob.held() == [0]
        free(bench.alice, bench.bob)
    assert len(orders) == 6


def test_nothing_comes_while_one_is_missing_or_after_an_abort() -> None:
    bench = Bench(example())
    assert bench.alice.start() == bench.alice.slot_now() + 1
    bench.station.start()
    assert bench.world.next_event_s() is None
    bench.now_s += 60.0
    bench.bob.start()
    first = bench.world.next_event_s()
    assert first is not None
    assert first > bench.now_s
    bench.alice.abort()
    assert bench.world.next_event_s() is None
    bench.now_s += 60.0
    bench.world.fire_due()
    assert bench.heralds == []
    assert (bench.alice.attempting, bench.bob.attempting) == (False, True)
    # What had come before an abort arrives was a success all the same.
    bench.alice.start()
    due_s = bench.world.next_event_s()
    assert due_s is not None
    bench.now_s = due_s + 0.001
    bench.alice.abort()
    assert len(bench.heralds) == 3
    assert bench.alice.held() == [0]


def test_a_count_runs_out_in_its_slot() -> None:
    bench = Bench(example(midpoint={"efficiency": {"alice": 1e-6, "bob": 1e-6}}))
    bench.bob.start()
    bench.station.start()
    first = bench.alice.start(100)
    bench.to_next_event()
    assert bench.stopped == [("alice", StoppedEvent(first + 99))]
    assert bench.world.time_s() == pytest.approx((first + 100) * PERIOD_S)
    assert (bench.alice.attempting, bench.bob.attempting) == (False, True)
    assert bench.heralds == []


def test_the_first_and_the_last_slot_of_a_count_may_succeed() -> None:
    bench = Bench(example(midpoint={"efficiency": {"alice": 1.0, "bob": 1.0}}))
    devices = (bench.alice, bench.bob, bench.station)
    successes = 0
    for _ in range(200):
        bench.heralds.clear()
        bench.stopped.clear()
        first = {device.start(1) for device in devices}
        for _ in range(3):
            if not bench.heralds and len(bench.stopped) < 3:
                bench.to_next_event()
        told = {event.slot for _, event in (*bench.heralds, *bench.stopped)}
        assert told == first
        assert len(bench.heralds) + len(bench.stopped) == 3
        successes += len(bench.heralds) == 3
        free(bench.alice, bench.bob)
    assert abs(successes - 100) < 4 * math.sqrt(200 / 4)


def test_false_heralds_have_their_share_and_no_entanglement(tmp_path: Path) -> None:
    config = example(midpoint={"dark_probability": 2e-3})
    odds = HeraldOdds.of(config.midpoints["station"])
    assert odds.false == pytest.approx(2 * 2e-3 * 0.095 + 4 * 4e-6 * 0.9025)
    bench = Bench(config, tmp_path / "truth.jsonl")
    for _ in range(1000):
        bench.pair()
        free(bench.alice, bench.bob)
    told = bench.records("herald")
    share = sum(not record["real"] for record in told) / len(told)
    expected = odds.false_share
    assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / len(told))
    for record in told:
        assert record["fidelity_to_heralded"] == pytest.approx(0.96 if record["real"] else 0.25)
    mean = np.mean([record["fidelity_to_heralded"] for record in told])
    assert abs(mean - bench.alice.initial_fidelity()) < 4 * 0.71 * 0.5 / math.sqrt(len(told))
    # Every pair was given up, once.
    assert len(bench.records("lost")) == len(told)
    assert bench.records("pair_fidelity") == []


@pytest.mark.parametrize("state", ["0", "1", "+", "-", "+i", "-i"])
def test_held_qubits_decay_by_axis(tmp_path: Path, state: str) -> None:
    t1_s, t2_s, wait_s = 2.0, 0.7, 0.5
    bench = Bench(example(PERFECT | {"t1_s": t1_s, "t2_s": t2_s}), tmp_path / "truth.jsonl")
    basis = {"0": "Z", "1": "Z", "+": "X", "-": "X", "+i": "Y", "-i": "Y"}[state]
    bench.alice.initialise(3, state)
    bench.now_s += wait_s
    bench.alice.measure(3, basis)
    expected = {
        "0": 1.0,
        "1": 1.0 - math.exp(-wait_s / t1_s),
        "+": (1 + math.exp(-wait_s / t2_s)) / 2,
        "-": (1 - math.exp(-wait_s / t2_s)) / 2,
    }[state.removesuffix("i")]
    (told,) = bench.records("measure")
    assert told["p_zero"] == pytest.approx(expected)
    assert (told["device"], told["qubit"], told["basis"], told["n"]) == ("alice", 3, basis, 0)
    assert bench.alice.held() == []


def test_pair_fidelity_is_told_at_first_use_after_moves_and_decay(tmp_path: Path) -> None:
    t2_s = 0.5
    bench = Bench(
        example(PERFECT | {"t2_s": t2_s}, {"visibility": 0.92, "dark_probability": 0.0}),
        tmp_path / "truth.jsonl",
    )
    _, events = bench.pair()
    bench.now_s += 0.02
    bench.alice.move(0, 2)
    bench.bob.move(0, 1)
    bench.now_s += 0.03
    assert bench.records("pair_fidelity") == []
    bench.bob.gate("X", (1,))
    bench.now_s += 0.1
    bench.alice.measure(2, "Z")
    bench.bob.measure(1, "Z")
    (told,) = bench.records("pair_fidelity")
    assert told["slot"] == events["alice"].slot
    # Both halves dephase: F = (1 + (2 F0 - 1) exp(-2 t / T2)) / 2.
    expected = (1 + 0.92 * math.exp(-2 * 0.05 / t2_s)) / 2
    assert told["fidelity"] == pytest.approx(expected, abs=1e-6)
    assert told["t_s"] == pytest.approx(bench.world.time_s() - 0.1)


def test_depolarising_errors_of_gates_and_moves(tmp_path: Path) -> None:
    bench = Bench(
        example(PERFECT | {"gate_error": 0.1, "two_qubit_gate_error": 0.2}),
        tmp_path / "truth.jsonl",
    )
    bench.alice.initialise(1, "0")
    for _ in range(4):
        bench.alice.gate("H", (1,))
    bench.alice.measure(1, "Z")
    bench.alice.initialise(1, "0")
    bench.alice.move(1, 2)
    bench.alice.measure(2, "Z")
    bench.alice.initialise(1, "1")
    bench.alice.initialise(2, "0")
    bench.alice.gate("CNOT", (1, 2))
    bench.alice.measure(2, "Z")
    told = [record["p_zero"] for record in bench.records("measure")]
    assert told == pytest.approx([(1 + 0.9**4) / 2, 0.9, 0.1])


def test_readout_flips_the_outcome() -> None:
    bench = Bench(example(PERFECT | {"readout_error": 0.1}))
    wrong = 0
    for _ in range(2000):
        bench.bob.initialise(4, "0")
        wrong += bench.bob.measure(4, "Z")
    assert abs(wrong - 200) < 4 * math.sqrt(2000 * 0.1 * 0.9)


@pytest.mark.parametrize("basis", ["Z", "X", "Y"])
def test_pairs_are_correlated_as_heralded(basis: str) -> None:
    bench = Bench(example(PERFECT, {"visibility": 1.0, "dark_probability": 0.0}))
    for _ in range(40):
        _, events = bench.pair()
        bell = events["station"].bell_state
        same = bench.alice.measure(0, basis) == bench.bob.measure(0, basis)
        assert same == (bell == "PSI_PLUS" and basis != "Z")


@pytest.mark.parametrize("state", ["0", "1", "+", "-", "+i", "-i"])
def test_teleportation_by_the_gates_is_exact_without_errors(state: str) -> None:
    bench = Bench(example(PERFECT, {"visibility": 1.0, "dark_probability": 0.0}))
    basis = {"0": "Z", "1": "Z", "+": "X", "-": "X", "+i": "Y", "-i": "Y"}[state]
    for _ in range(12):
        _, events = bench.pair()
        bench.bob.move(0, 3)
        bench.alice.initialise(1, state)
        bench.alice.gate("CNOT", (1, 0))
        bench.alice.gate("H", (1,))
        z, x = bench.alice.measure(1, "Z"), bench.alice.measure(0, "Z")
        if x == 0:  # Psi is Phi with a flip
            bench.bob.gate("X", (3,))
        if z ^ (events["station"].bell_state == "PSI_MINUS"):
            bench.bob.gate("Z", (3,))
        assert bench.bob.measure(3, basis) == (1 if state.startswith(("1", "-")) else 0)


def test_giving_up_one_half_leaves_the_other_mixed(tmp_path: Path) -> None:
    bench = Bench(example(), tmp_path / "truth.jsonl")
    bench.pair()
    bench.alice.release(0)
    assert bench.bob.held() == [0]
    bench.bob.measure(0, "X")
    assert bench.records("measure")[0]["p_zero"] == pytest.approx(0.5)
    assert [record["device"] for record in bench.records("lost")] == ["alice"]
    assert bench.records("pair_fidelity") == []
    bench.bob.release(0)


def test_refusals_have_the_codes_of_the_protocol() -> None:
    bench = Bench(example())
    alice = bench.alice
    alice.initialise(1, "0")
    alice.initialise(2, "0")

    def code(do: str, *arguments: Any) -> int:
        with pytest.raises(DeviceFault) as caught:
            getattr(alice, do)(*arguments)
        assert caught.value.text
        return caught.value.code

    assert code("initialise", 9, "0") == 2
    assert code("initialise", 1, "2") == 2
    assert code("gate", "T", (1,)) == 2
    assert code("gate", "X", (-1,)) == 2
    assert code("gate_time_s", "T") == 2
    assert code("measure", 1, "W") == 2
    assert code("gate", "X", (1, 2)) == 1
    assert code("gate", "CNOT", (1, 1)) == 1
    assert code("start", -1) == 1
    assert code("gate", "X", (3,)) == 3
    assert code("measure", 3, "Z") == 3
    assert code("move", 3, 4) == 3
    assert code("move", 1, 2) == 3
    bench.pair()
    assert code("start", 0) == 3
    alice.release_all()
    assert alice.held() == []
    alice.initialise(1, "0")
    alice.start()
    assert code("initialise", 0, "0") == 3
    assert code("move", 1, 0) == 3
    alice.release_all()
    assert not alice.attempting


def test_a_device_tells_its_data_sheet_and_not_the_truth() -> None:
    stated, calibrated = (
        World(config, now_s=lambda: 1.0, truth=TruthLog(None)).memories["alice"].initial_fidelity()
        for config in (load_lab(EXAMPLE), example())
    )
    assert stated == 0.93
    assert abs(calibrated - stated) > 0.01


def test_a_device_without_a_midpoint_cannot_attempt() -> None:
    config = example().model_copy(update={"midpoints": {}})
    world = World(config, now_s=lambda: 1.0, truth=TruthLog(None))
    device = world.memories["alice"]
    assert (device.attempt_period_s(), device.initial_fidelity(), device.slot_now()) == (
        0.0,
        0.0,
        0,
    )
    with pytest.raises(DeviceFault, match="midpoint") as caught:
        device.start()
    assert caught.value.code == 4


def test_too_many_entangled_qubits_is_a_fault_that_changes_nothing() -> None:
    config = example(PERFECT | {"qubits": 12})
    device = World(config, now_s=lambda: 1.0, truth=TruthLog(None)).memories["alice"]
    for qubit in range(10):
        device.initialise(qubit, "+" if qubit == 0 else "0")
    for qubit in range(7):
        device.gate("CNOT", (qubit, qubit + 1))
    with pytest.raises(DeviceFault, match="at most 8 qubits") as caught:
        device.gate("CNOT", (7, 8))
    assert caught.value.code == 4
    outcomes = {device.measure(qubit, "Z") for qubit in range(8)}
    assert len(outcomes) == 1
    assert device.measure(8, "Z") == 0


def test_same_seed_same_heralds_and_outcomes() -> None:
    def story(seed: int) -> list[object]:
        config = example()
        config = config.model_copy(update={"lab": config.lab.model_copy(update={"seed": seed})})
        bench = Bench(config)
        told: list[object] = []
        for _ in range(20):
            bench.pair()
            told += bench.heralds
            told += [bench.alice.measure(0, "X"), bench.bob.measure(0, "Y")]
        return told

    assert story(3) == story(3)
    assert story(3) != story(4)
