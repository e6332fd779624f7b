"""What holds of two ends and a station whatever the network, the devices and restarts do.

`python -m benchmarks egp --seeds 100000` is the nightly run.
"""

from __future__ import annotations

import os
import random

import pytest

from link_layer.egp_end import Aged
from link_layer.messages import Create, Measuring
from tests.link_layer.egp_world import QUBITS, End, Faults, World

SEEDS = int(os.environ.get("QNODEOS_EGP_SEEDS", "2000"))
CHUNK = 100
TROUBLE_S = 0.4
QUIET_S = 2.5
"""Longer than any agreement, repetition or pause of the machine."""


def create(number: int, rng: random.Random) -> Create:
    kind = rng.choice(("K", "K", "M", "R"))
    measuring = Measuring(("X", "Y", "Z"), (0.25, 0.25, 0.5))
    purify = kind == "K" and rng.random() < 0.5
    return Create(
        "link",
        number,
        kind,
        rng.randint(1, 8),
        0.5,
        rng.choice((0.05, 0.2, 5.0)),
        "test",
        rng.randint(0, 1),
        corrected=purify or rng.random() < 0.7,
        atomic=rng.random() < 0.2,
        near=measuring if kind != "K" else None,
        far=measuring if kind == "M" else None,
        purify="auto" if purify else "no",
    )


def trouble(world: World, rng: random.Random) -> list[int]:
    """Requests and misfortunes at random instants of the first part."""
    world.faults = Faults(
        loss=rng.choice((0.0, 0.01, 0.1, 0.3)),
        duplicate=rng.choice((0.0, 0.05, 0.3)),
        reorder=rng.choice((0.0, 0.05, 0.3)),
        delay_s=rng.choice(((1e-4, 3e-4), (1e-4, 5e-3), (1e-2, 2e-2))),
    )
    world.failing = rng.choice((0.0, 0.0, 0.01))
    asked = []
    proposals = random.Random(-3e6 - world.seed)
    for number in range(1, 6):
        request, origin = create(number, rng), rng.choice(("alice", "bob"))
        asked.append(number)

        early = proposals.random() < 0.5 and origin == "alice"

        def ask(request: Create = request, origin: str = origin, early: bool = early) -> None:
            if early:
                world.ends["alice"].propose(request, proposals)
                return
            for end in world.ends.values():
                end.ask(request, origin)

        world.clock.after(rng.uniform(0, TROUBLE_S), ask)
    for _ in range(rng.choice((0, 0, 1, 2))):
        name = rng.choice(("alice", "bob", "station"))
        world.clock.after(rng.uniform(0, TROUBLE_S), lambda name=name: world.restart(name))
    for _ in range(rng.choice((0, 0, 1, 2))):
        name = rng.choice(("alice", "bob"))
        world.clock.after(rng.uniform(0, TROUBLE_S), lambda name=name: world.lose(name))
    return asked


def check(world: World, asked: list[int]) -> None:
    """The invariants, once everything has come to rest."""
    by_end = {}
    for name, end in world.ends.items():
        sequences = [given.sequence for given in end.given]
        assert len(sequences) == len(set(sequences)), "a pair is delivered twice"
        by_end[name] = {given.sequence: given for given in end.given}
        at_rest(end, asked)
    for sequence in by_end["alice"].keys() | by_end["bob"].keys():
        halves = [by_end[name][sequence] for name in by_end if sequence in by_end[name]]
        for end in world.ends.values():
            known = sequence in end.journal or end.life > 1
            assert known, "a pair was given at one end, and the other's journal has nothing of it"
        if len(halves) == 1:
            assert halves[0].void, "one end has a pair that the other has not, and does not know"
            continue
        one, other = halves
        assert (one.slot, one.bell_state, one.request) == (
            other.slot,
            other.bell_state,
            other.request,
        ), "the ends differ about a pair"
        assert one.spent_slot == other.spent_slot, "made of other pairs at the two ends"
        assert one.bell_state is world.photons.truth[one.slot]
    tests = {}
    for name, end in world.ends.items():
        for slot, mine, far in end.tests:
            assert mine == far == slot % 2, "outcomes of different pairs in one test round"
            assert (name, slot) not in tests, "a test round is counted twice"
            tests[name, slot] = mine


def at_rest(end: End, asked: list[int]) -> None:
    """Every request has ended, and nothing is left of any."""
    assert len(end.queue) == 0, "a request that never ends"
    assert sorted(end.free_qubits) == list(range(1, QUBITS + 1)), "a storage qubit has leaked"
    assert not end.device.qubits, "the device still holds something"
    assert end.machine.idle, "a round that never ends"
    assert not end.raws, "raw pairs that nobody will purify"
    assert not end.rounds.busy, "a purification that never ends"
    assert not end.machine.busy, "something is repeated for ever"


def one_run(seed: int) -> None:
    kept_back_s = random.Random(-1 - seed).choice((0.0, 0.0, 1e-3, 1e-2))
    aged = random.Random(-1e6 - seed).choice((None, None, Aged(0.5, 0.03)))
    spare = random.Random(-2e6 - seed).choice((0, 1, QUBITS - 1))
    world = World(seed, announce_period_s=kept_back_s, aged=aged, spare=spare)
    rng = random.Random(seed)
    asked = trouble(world, rng)
    world.clock.run_until(TROUBLE_S)
    world.faults, world.failing = Faults(), 0.0
    world.clock.run_until(TROUBLE_S + 5.0 + QUIET_S)
    check(world, asked)
    # And it still works.
    last = Create("link", 1000, "K", 4, 0.5, 2.0, "test", purify=rng.choice(("no", "auto")))
    for end in world.ends.values():
        end.ask(last, "alice")
    world.clock.run_until(TROUBLE_S + 5.0 + 2 * QUIET_S)
    served = [[g for g in end.given if g.request == 1000] for end in world.ends.values()]
    assert [len(each) for each in served] == [4, 4], "after the trouble it does not work"
    check(world, [*asked, 1000])


@pytest.mark.parametrize("chunk", range(-(-SEEDS // CHUNK)))
def test_whatever_happens(chunk: int) -> None:
    for seed in range(chunk * CHUNK, min(SEEDS, (chunk + 1) * CHUNK)):
        try:
            one_run(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
