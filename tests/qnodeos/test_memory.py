import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.states import BellState
from qnodeos.memory import MemoryFull, PairExpired, QuantumMemory, StoredPair


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def pair(qubit: int, sequence: int = 1, deadline_s: float = 1.0) -> StoredPair:
    return StoredPair("memory", sequence, 10, BellState.PHI_PLUS, 0.9, 1, qubit, 0.0, deadline_s)


def test_qubit_zero_is_never_given_out() -> None:
    memory = QuantumMemory(5, Clock())
    assert sorted(memory.allocate() for _ in range(4)) == [1, 2, 3, 4]
    with pytest.raises(MemoryFull, match="all 4"):
        memory.allocate()


def test_room_is_kept_for_applications() -> None:
    memory = QuantumMemory(3, Clock())
    memory.allocate(keep_free=1)
    with pytest.raises(MemoryFull):
        memory.allocate(keep_free=1)
    assert memory.allocate() in (1, 2)


def test_a_pair_has_one_owner() -> None:
    memory = QuantumMemory(3, Clock())
    stored = pair(memory.allocate())
    memory.store(stored)
    assert memory.take("memory", 1) is stored
    with pytest.raises(PairExpired):
        memory.take("memory", 1)


@pytest.mark.parametrize("now_s", [1.0, 1.5])
def test_nobody_gets_a_pair_at_or_after_its_deadline(now_s: float) -> None:
    clock = Clock()
    memory = QuantumMemory(3, clock)
    stored = pair(memory.allocate())
    memory.store(stored)
    clock.now_s = now_s
    assert memory.overdue() == [stored]
    with pytest.raises(PairExpired, match="deadline"):
        memory.take("memory", 1)


def test_an_owner_loses_it_at_the_deadline_too() -> None:
    clock = Clock()
    memory = QuantumMemory(3, clock)
    memory.store(pair(memory.allocate()))
    stored = memory.take("memory", 1)
    memory.check(stored)
    clock.now_s = 1.0
    with pytest.raises(PairExpired):
        memory.check(stored)


def test_a_qubit_cannot_be_returned_twice() -> None:
    memory = QuantumMemory(3, Clock())
    qubit = memory.allocate()
    memory.give_back(qubit)
    with pytest.raises(ValueError, match="not an allocated"):
        memory.give_back(qubit)


@given(st.lists(st.sampled_from(["store", "take", "forget", "tick"]), max_size=60))
def test_qubits_are_neither_lost_nor_shared(steps: list[str]) -> None:
    clock = Clock()
    memory = QuantumMemory(5, clock)
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
