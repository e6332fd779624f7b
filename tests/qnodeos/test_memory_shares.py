"""Shares of a memory: the oldest program always finds what it may need."""

import random

import pytest

from qnodeos.memory_shares import Share, Shares

CAPACITY = 8


def shares(*claims: int) -> tuple[Shares, list[Share]]:
    """So many programs, begun in this order."""
    books = Shares()
    books.capacity = CAPACITY
    made = [Share(claim) for claim in claims]
    for each in made:
        books.begin(each)
    return books, made


def test_the_young_leave_what_the_old_may_need() -> None:
    books, (old, young) = shares(5, 5)
    young.held = 2
    assert books.refusal(young) == ""
    young.held = 3
    assert "may need 5 of 8 storage qubits" in books.refusal(young)
    assert "would hold 4" in books.refusal(young)
    assert books.refusal(old, 5) == ""
    books.leave(old)
    assert books.refusal(young, 2) == ""


def test_a_claim_beyond_the_memory_is_one_to_all_of_it() -> None:
    books, (old, young) = shares(100, 1)
    assert books.refusal(young) != ""
    assert books.refusal(old, 8) == ""


def test_who_has_not_begun_takes_nothing() -> None:
    books, _ = shares(3)
    assert "begins when those at the far ends of its sockets are there" in books.refusal(Share(1))


def test_more_than_its_claim_is_taken_from_its_own_spare() -> None:
    """Pairs may come that a program has not asked for: they must not cost an older one its end."""
    books, (old, young) = shares(3, 2)
    young.held = 5
    assert books.refusal(young) != ""
    old.held = 3
    young.held = 2
    assert books.refusal(old, 3) == ""
    assert books.refusal(old, 4) != ""


def play(seed: int, *, kept: bool) -> bool:
    """Programs at two memories take qubits at both, one by one and in any order, and give all back
    when they have their claim; whether all come to their end. `kept`: the rule is kept."""
    rng = random.Random(seed)
    books = [Shares(), Shares()]
    claims = [(rng.randint(1, 5), rng.randint(1, 5)) for _ in range(8)]
    programs = []
    for end in (0, 1):
        books[end].capacity = rng.choice((5, 6, 8))
    for both in claims:
        programs.append([Share(both[end]) for end in (0, 1)])
    for each in programs:
        for end in (0, 1):
            books[end].begin(each[end])
    while programs:
        free = [books[end].capacity - sum(each[end].held for each in programs) for end in (0, 1)]
        may = [
            (each, end)
            for each in programs
            for end in (0, 1)
            if each[end].held < each[end].claim
            and free[end] > 0
            and not (kept and books[end].refusal(each[end]))
        ]
        if not may:
            return False
        each, end = rng.choice(may)
        each[end].held += 1
        if all(share.held == share.claim for share in each):
            programs.remove(each)
            for k in (0, 1):
                books[k].leave(each[k])
    return True


@pytest.mark.parametrize("chunk", range(4))
def test_all_come_to_their_end_at_two_memories(chunk: int) -> None:
    assert all(play(seed, kept=True) for seed in range(chunk * 100, chunk * 100 + 100))


def test_without_the_rule_they_do_not() -> None:
    assert not all(play(seed, kept=False) for seed in range(20))
