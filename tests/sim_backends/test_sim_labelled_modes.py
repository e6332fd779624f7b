"""Multimode memories: the last attempts are kept until told which. Limits: 4 standard errors."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sim_backends.lab import LabConfig, LabError, load_lab
from sim_backends.memories import DeviceFault, MemoryDevice
from sim_backends.midpoint import HeraldEvent
from sim_backends.truth import TruthLog
from sim_backends.world import World

PERIOD_S = 1e-5
MODES = 8


class Bench:
    """A world with its clock in hand; slots are 10 us."""

    def __init__(
        self,
        *,
        efficiency: float = 0.5,
        modes: int = MODES,
        truth: Path | None = None,
        **memory: Any,
    ) -> None:
        numbers = {"qubits": 2, "t1_s": 1e9, "t2_s": 1e9, "attempt_modes": modes} | memory
        config = {
            "lab": {"seed": 7},
            "memories": {"a": numbers, "b": numbers},
            "midpoints": {
                "m": {
                    "ends": ("a", "b"),
                    "attempt_period_us": PERIOD_S * 1e6,
                    "efficiency": {"a": efficiency, "b": efficiency},
                    "visibility": 1.0,
                }
            },
        }
        self.slot = 0
        self.truth = TruthLog(truth)
        self.world = World(
            LabConfig.model_validate(config), now_s=lambda: self.now_s, truth=self.truth
        )
        self.slot = 1000
        self.heralds: list[HeraldEvent] = []
        self.of_ends: list[HeraldEvent] = []
        self.world.midpoints["m"].on_herald = self.heralds.append
        for end in self.ends:
            end.on_herald = self.of_ends.append

    @property
    def now_s(self) -> float:
        return (self.slot + 0.5) * PERIOD_S if self.slot else 0.0

    @property
    def ends(self) -> tuple[MemoryDevice, MemoryDevice]:
        return self.world.memories["a"], self.world.memories["b"]

    def start(self, **run: int) -> int:
        return max(device.start(**run) for device in (*self.ends, self.world.midpoints["m"]))

    def pass_slots(self, count: int) -> None:
        self.slot += count
        self.world.fire_due()

    def until_herald(self) -> int:
        before = len(self.heralds)
        while len(self.heralds) == before:
            self.pass_slots(1)
        return self.heralds[-1].slot


def gone(device: MemoryDevice, slot: int) -> bool:
    with pytest.raises(DeviceFault) as caught:
        device.keep(slot)
    return caught.value.code == 6


def test_a_herald_stops_nobody_and_the_ends_tell_none() -> None:
    bench = Bench()
    bench.start()
    bench.pass_slots(400)
    assert all(device.attempting for device in bench.ends)
    odds = bench.world.attempts["m"].odds.total
    spread = math.sqrt(400 * odds * (1 - odds))
    assert abs(len(bench.heralds) - 400 * odds) < 4 * spread
    assert len({herald.slot for herald in bench.heralds}) == len(bench.heralds)
    assert bench.of_ends == []


def test_kept_halves_of_one_slot_are_a_pair_and_others_are_noise() -> None:
    bench = Bench()
    a, b = bench.ends
    bench.start()
    rounds, paired, noise = 60, 0, 0
    for _ in range(rounds):
        slot = bench.until_herald()
        bench.pass_slots(3)
        assert a.keep(slot) == b.keep(slot) == 0
        paired += a.measure(0, "Z") != b.measure(0, "Z")
        heralded = {herald.slot for herald in bench.heralds}
        empty = next(s for s in range(bench.slot - 1, 0, -1) if s not in heralded)
        a.keep(empty)
        noise += a.measure(0, "Z")
    assert paired == rounds
    assert abs(noise - rounds / 2) < 4 * math.sqrt(rounds) / 2


def test_the_oldest_gives_way_and_what_was_never_tried_is_not_there() -> None:
    bench = Bench()
    a, _ = bench.ends
    first = bench.start()
    bench.pass_slots(first - bench.slot + 3)
    assert a.modes_held() == 3
    assert gone(a, first - 1)
    assert gone(a, first + 3)
    bench.pass_slots(MODES)
    assert a.modes_held() == MODES
    assert gone(a, first + 2)
    assert a.keep(first + 3) == 0
    assert a.modes_held() == MODES - 1
    assert gone(a, first + 3)
    a.release_mode(first + 4)
    assert gone(a, first + 4)
    bench.pass_slots(2)
    assert a.modes_held() == MODES


def test_a_pair_whose_mode_was_taken_is_lost_at_that_end_only() -> None:
    bench = Bench(efficiency=0.3)
    a, b = bench.ends
    bench.start()
    slot = bench.until_herald()
    assert b.keep(slot) == 0
    bench.pass_slots(MODES)
    assert gone(a, slot)
    assert b.measure(0, "Z") in (0, 1)
    assert b.held() == []


def test_halves_given_up_or_overwritten_are_lost_in_the_truth(tmp_path: Path) -> None:
    bench = Bench(efficiency=0.2, truth=tmp_path / "truth.jsonl")
    a, b = bench.ends
    bench.start()
    for give_up in (
        a.release_mode,
        lambda _: b.release_mode(None),
        lambda _: bench.pass_slots(MODES),
    ):
        slot = bench.until_herald()
        give_up(slot)
        assert a.modes_held() <= MODES
        bench.truth.flush()
        lines = map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines())
        assert slot in [line["slot"] for line in lines if line["kind"] == "lost"]


def test_modes_outlive_the_end_of_attempts_and_qubit_0_in_use() -> None:
    bench = Bench()
    a, _ = bench.ends
    a.initialise(0, "1")
    first = bench.start(count=3)
    bench.pass_slots(100)
    assert not a.attempting
    assert a.modes_held() == 3
    second = bench.start()
    bench.pass_slots(second - bench.slot + MODES - 2)
    assert gone(a, first)
    assert a.keep(first + 1) == 1
    with pytest.raises(DeviceFault) as caught:
        a.keep(first + 2)
    assert caught.value.code == 3
    a.release(1)
    assert a.keep(first + 2) == 1
    assert a.measure(0, "Z") == 1


def test_all_start_not_before_the_slot_asked_for() -> None:
    bench = Bench()
    assert bench.start(start_slot=2000, count=4) == 2000
    bench.pass_slots(990)
    assert bench.ends[0].modes_held() == 0
    bench.pass_slots(30)
    assert all(2000 <= herald.slot < 2004 for herald in bench.heralds)
    assert bench.ends[0].modes_held() == 4
    assert bench.start(start_slot=3) == bench.slot + 1


def test_a_mode_decays_like_a_qubit() -> None:
    """T2 is 20 slots: after 20 more, X outcomes of a Psi pair disagree with 0.5 (1 + exp(-2))."""
    bench = Bench(efficiency=0.7, modes=64, t2_s=20 * PERIOD_S)
    a, b = bench.ends
    bench.start()
    rounds, as_heralded = 200, 0
    for _ in range(rounds):
        slot = bench.until_herald()
        state = bench.heralds[-1].bell_state
        bench.pass_slots(slot + 20 - bench.slot)
        a.keep(slot)
        b.keep(slot)
        same = a.measure(0, "X") == b.measure(0, "X")
        as_heralded += same == (state == "PSI_PLUS")
    # Half a slot less: the pair is made at the end of its slot.
    expected = 0.5 * (1 + math.exp(-2 * 19.5 / 20))
    assert abs(as_heralded / rounds - expected) < 4 * math.sqrt(expected * (1 - expected) / rounds)


def test_the_safe_state_gives_up_all_modes() -> None:
    bench = Bench()
    a, b = bench.ends
    bench.start()
    slot = bench.until_herald()
    a.release_all()
    assert a.modes_held() == 0
    assert gone(a, slot)
    assert b.keep(slot) == 0


def test_one_end_alone_cannot_be_multimode(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(
        "[lab]\nseed = 1\n"
        "[memories.a]\nqubits = 1\nt1_s = 1.0\nt2_s = 1.0\nattempt_modes = 4\n"
        "[memories.b]\nqubits = 1\nt1_s = 1.0\nt2_s = 1.0\n"
        '[midpoints.m]\nends = ["a", "b"]\nattempt_period_us = 10.0\nvisibility = 1.0\n'
        "efficiency = { a = 0.5, b = 0.5 }\n"
    )
    with pytest.raises(LabError, match="'a' alone with attempt_modes"):
        load_lab(lab)
