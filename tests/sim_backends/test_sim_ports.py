"""One memory at two midpoints: a line of three nodes, its middle one serving both, in turn."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from sim_backends.lab import LabConfig
from sim_backends.memories import DeviceFault, MemoryDevice
from sim_backends.midpoint import HeraldEvent, StoppedEvent
from sim_backends.station import MidpointModel
from sim_backends.truth import TruthLog
from sim_backends.world import World

X_PERIOD_S, Y_PERIOD_S = 1e-5, 4e-5


class Line:
    """alice - x - bob - y - carol, with the clock in hand."""

    def __init__(self, truth: Path | None = None, **memory: Any) -> None:
        numbers = {"qubits": 3, "t1_s": 1e6, "t2_s": 1e6} | memory

        def midpoint(one: str, other: str, period_s: float, visibility: float) -> dict[str, Any]:
            return {
                "ends": (one, other),
                "attempt_period_us": period_s * 1e6,
                "efficiency": {one: 1.0, other: 1.0},
                "visibility": visibility,
            }

        config = {
            "lab": {"seed": 5},
            "memories": dict.fromkeys(("alice", "bob", "carol"), numbers),
            "midpoints": {
                "x": midpoint("bob", "carol", X_PERIOD_S, 1.0),
                "y": midpoint("alice", "bob", Y_PERIOD_S, 0.9),
            },
        }
        self.now_s = 0.0
        self.truth = TruthLog(truth)
        self.world = World(
            LabConfig.model_validate(config), now_s=lambda: self.now_s, truth=self.truth
        )
        self.told: dict[str, list[HeraldEvent]] = {}
        self.stopped: list[StoppedEvent] = []
        devices: list[MemoryDevice | MidpointModel] = list(self.world.memories.values())
        for device in (*devices, *self.world.midpoints.values()):
            device.on_herald = self.told.setdefault(device.name, []).append
            device.on_stopped = self.stopped.append

    def device(self, name: str) -> MemoryDevice:
        return self.world.memories[name]

    def lasts(self, seconds: float) -> None:
        self.now_s += seconds
        self.world.fire_due()

    def pair(self, midpoint: str, **ports: int) -> HeraldEvent:
        """Attempt until a herald; all three stop."""
        for name, port in ports.items():
            self.device(name).start(port=port)
        self.world.midpoints[midpoint].start()
        before = len(self.told[midpoint])
        while len(self.told[midpoint]) == before:
            self.lasts(1e-5)
        return self.told[midpoint][-1]


def test_ports_are_numbered_in_the_order_of_the_midpoints() -> None:
    line = Line()
    bob = line.device("bob")
    assert bob.ports == ("x", "y")
    assert line.device("alice").ports == ("y",)
    assert (bob.attempt_period_s(0), bob.attempt_period_s(1)) == pytest.approx(
        (X_PERIOD_S, Y_PERIOD_S)
    )
    assert math.isclose(bob.initial_fidelity(0), 1.0)
    assert math.isclose(bob.initial_fidelity(1), 0.95)


def test_one_memory_swaps_between_its_two_neighbours() -> None:
    """Alice's and carol's qubits are then as the Bell measurement and the two heralds say."""
    line = Line()
    bob, wrong, rounds = line.device("bob"), 0, 40
    for _ in range(rounds):
        y = line.pair("y", alice=0, bob=1)
        assert line.told["bob"][-1].port == 1
        bob.move(0, 1)
        x = line.pair("x", bob=0, carol=0)
        assert line.told["bob"][-1].port == 0
        bob.gate("CNOT", (1, 0))
        bob.gate("H", (1,))
        bob.measure(1, "Z")
        flipped = bob.measure(0, "Z")
        # Both are Psi: their bits differ twice, and a 1 of the target says once more.
        wrong += (line.device("alice").measure(0, "Z") ^ line.device("carol").measure(0, "Z")) != (
            flipped
        )
        assert {x.bell_state, y.bell_state} <= {"PSI_PLUS", "PSI_MINUS"}
    assert wrong == 0


def test_attempts_at_one_port_do_not_make_heralds_at_another() -> None:
    line = Line()
    line.device("bob").start(port=0)
    line.device("alice").start()
    line.device("carol").start()
    line.world.midpoints["y"].start()
    line.lasts(1e-2)
    assert line.told["y"] == []
    line.world.midpoints["x"].start()
    line.lasts(1e-2)
    assert len(line.told["x"]) == 1
    assert line.device("alice").attempting


def test_one_port_at_a_time() -> None:
    line = Line()
    bob = line.device("bob")
    bob.start(port=0)
    with pytest.raises(DeviceFault, match="attempting at port 0") as caught:
        bob.start(port=1)
    assert caught.value.code == 3
    bob.abort(port=1)
    assert bob.attempting
    bob.abort(port=0)
    assert line.device("bob").attempting is False
    first = bob.start(count=2, port=1)
    assert bob.port == 1
    assert bob.slot_now() == int(line.now_s / Y_PERIOD_S)
    line.lasts(1e-3)
    assert line.stopped == [StoppedEvent(first + 1, 1)]
    for refused in (lambda: bob.start(port=2), lambda: bob.abort(port=-1)):
        with pytest.raises(DeviceFault, match="there are 0 to 1") as caught:
            refused()
        assert caught.value.code == 2


def test_labelled_modes_are_of_the_port_of_the_last_start(tmp_path: Path) -> None:
    line = Line(tmp_path / "truth.jsonl", attempt_modes=64)
    bob = line.device("bob")
    y = line.pair("y", alice=0, bob=1)
    with pytest.raises(DeviceFault, match="of port 1 by now") as caught:
        bob.keep(y.slot)
    assert caught.value.code == 6
    kept = line.pair("y")
    assert bob.keep(kept.slot, port=1) == 0
    bob.abort()
    x = line.pair("x", bob=0, carol=0)
    assert bob.keep(x.slot) == 1
    with pytest.raises(DeviceFault) as caught:
        bob.keep(y.slot, port=1)
    assert caught.value.code == 6
    # Back again: what was given up stays so, though its slot is among the last 64.
    bob.abort()
    bob.start(port=1)
    with pytest.raises(DeviceFault) as caught:
        bob.keep(y.slot, port=1)
    assert caught.value.code == 6
    line.truth.flush()
    lost = map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines())
    assert ("y", y.slot) in [(e["link"], e["slot"]) for e in lost if e["kind"] == "lost"]


def test_a_stored_qubit_suffers_from_attempts_at_every_port() -> None:
    line = Line(modes={1: {"attempts_1e": 100.0}})
    bob = line.device("bob")
    same, rounds, attempts = 0, 1500, 25
    for _ in range(rounds):
        bob.initialise(1, "+")
        for port, period_s in ((0, X_PERIOD_S), (1, Y_PERIOD_S)):
            bob.start(count=attempts, port=port)
            line.lasts((attempts + 2) * period_s)
        same += bob.measure(1, "X") == 0
    expected = 0.5 * (1 + math.exp(-2 * attempts / 100.0))
    assert abs(same / rounds - expected) < 4 * math.sqrt(expected * (1 - expected) / rounds)
