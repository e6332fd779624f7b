from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.devices import DeviceCapabilities, QubitNumbers
from link_layer.states import BellState
from qnodeos.memory import MemoryFull, PairExpired, QuantumMemory, StoredPair
from qnodeos.memory_map import MemoryMap


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def device(qubits: int, **differs: Any) -> MemoryMap:
    told = DeviceCapabilities(
        "node", qubits, 1e-5, "hardware", ("X",), 10.0, 1.0, 0.9, 0.0, 0.0, 0.0, **differs
    )
    return MemoryMap(told)


def pair(qubit: int, sequence: int = 1, deadline_s: float = 1.0) -> StoredPair:
    return StoredPair("memory", sequence, 10, BellState.PHI_PLUS, 0.9, 1, qubit, 0.0, deadline_s)


def test_qubit_zero_is_never_given_out() -> None:
    memory = QuantumMemory(device(5), Clock())
    assert sorted(memory.allocate() for _ in range(4)) == [1, 2, 3, 4]
    with pytest.raises(MemoryFull, match="all 4"):
        memory.allocate()


def test_room_is_kept_for_applications() -> None:
    memory = QuantumMemory(device(3), Clock())
    memory.allocate(keep_free=1)
    with pytest.raises(MemoryFull):
        memory.allocate(keep_free=1)
    assert memory.allocate() in (1, 2)


def test_a_pair_has_one_owner() -> None:
    memory = QuantumMemory(device(3), Clock())
    stored = pair(memory.allocate())
    memory.store(stored)
    assert memory.take("memory", 1) is stored
    with pytest.raises(PairExpired):
        memory.take("memory", 1)


@pytest.mark.parametrize("now_s", [1.0, 1.5])
def test_nobody_gets_a_pair_at_or_after_its_deadline(now_s: float) -> None:
    clock = Clock()
    memory = QuantumMemory(device(3), clock)
    stored = pair(memory.allocate())
    memory.store(stored)
    clock.now_s = now_s
    assert memory.overdue() == [stored]
    with pytest.raises(PairExpired, match="deadline"):
        memory.take("memory", 1)


def test_an_owner_loses_it_at_the_deadline_too() -> None:
    clock = Clock()
    memory = QuantumMemory(device(3), clock)
    memory.store(pair(memory.allocate()))
    stored = memory.take("memory", 1)
    memory.check(stored)
    clock.now_s = 1.0
    with pytest.raises(PairExpired):
        memory.check(stored)


def test_a_qubit_cannot_be_returned_twice() -> None:
    memory = QuantumMemory(device(3), Clock())
    qubit = memory.allocate()
    memory.give_back(qubit)
    with pytest.raises(ValueError, match="not an allocated"):
        memory.give_back(qubit)


@given(st.lists(st.sampled_from(["store", "take", "forget", "tick"]), max_size=60))
def test_qubits_are_neither_lost_nor_shared(steps: list[str]) -> None:
    clock = Clock()
    memory = QuantumMemory(device(5), clock)
    sequence = 0
    for step in steps:
        if step == "store" and memory.free:
            sequence += 1
            memory.store(pair(memory.allocate(), sequence, clock.now_s + 2))
        elif step == "take" and memory.pairs:
            chosen = memory.pairs[0]
            try:
                memory.take("memory", chosen.sequence)
            except PairExpired:
                continue
        elif step == "forget" and memory.pairs:
            memory.forget("memory", memory.pairs[-1].sequence)
        elif step == "tick":
            clock.now_s += 1
            for late in memory.overdue():
                memory.forget("memory", late.sequence)
        held = [p.qubit for p in memory.pairs]
        assert len(held) == len(set(held))
        assert memory.free + len(held) == 4


def test_the_qubit_that_loses_least_is_taken_first() -> None:
    numbers = [QubitNumbers(10.0, t2_s) for t2_s in (1.0, 0.1, 2.0, 0.5)]
    memory = QuantumMemory(device(4, qubit_numbers=tuple(numbers)), Clock())
    assert [memory.allocate() for _ in range(3)] == [2, 3, 1]


def test_loss_on_the_way_counts_beside_decay() -> None:
    """Held for long it is the coherence that decides, for a moment the way in."""
    clock = Clock()
    good_but_lossy = QubitNumbers(100.0, 10.0, efficiency=0.8)
    numbers = (QubitNumbers(100.0, 1.0), QubitNumbers(100.0, 1.0), good_but_lossy)
    memory = QuantumMemory(device(3, qubit_numbers=numbers), clock)
    assert memory.allocate() == 1
    clock.now_s = 5.0
    memory.give_back(1)
    assert memory.allocate() == 2


def test_neighbours_of_what_is_held_are_left_for_the_last() -> None:
    row = tuple((qubit, qubit + 1, 0.01) for qubit in range(5))
    memory = QuantumMemory(device(6, crosstalk=row), Clock())
    # Qubit 0 is never free: halves come in there, and are corrected.
    assert [memory.allocate() for _ in range(5)] == [2, 4, 5, 1, 3]
    for qubit in (4, 3, 2):
        memory.give_back(qubit)
    assert memory.allocate() == 3


def test_books_are_kept_when_the_device_tells_other_numbers() -> None:
    memory = QuantumMemory(device(3), Clock())
    taken = memory.allocate()
    numbers = (QubitNumbers(1.0, 1.0), QubitNumbers(1.0, 0.5), QubitNumbers(1.0, 0.5))
    memory.map = device(3, qubit_numbers=numbers)
    assert memory.allocate() == 3 - taken
    with pytest.raises(MemoryFull):
        memory.allocate()
