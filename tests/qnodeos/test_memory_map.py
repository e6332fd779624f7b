"""Qubits that differ: what is made of their numbers, and what becomes of pairs stored in them."""

import asyncio
import functools
import json
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from drivers.devices import DeviceCapabilities, QubitNumbers
from link_layer.feu import Goodness
from link_layer.messages import PairHeld, Place
from qnodeos.memory import StoredPair
from qnodeos.memory_map import MemoryMap
from timing.loop import run_virtual


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs), limit_s=600)

    return run


def device(*numbers: QubitNumbers, period_s: float = 1e-5, **differs: Any) -> DeviceCapabilities:
    return DeviceCapabilities(
        "node", 3, period_s, "hardware", ("X",), 10.0, 1.0, 0.9, 0.0, 0.0, 0.0,
        qubit_numbers=numbers, **differs,
    )  # fmt: skip


def test_a_device_whose_qubits_are_alike_has_no_best_place() -> None:
    alike = MemoryMap(device())
    assert not alike.differs
    assert alike.place(2) is None
    assert alike.kept == 1.0


def test_attempts_take_the_phase_of_what_is_held() -> None:
    held = QubitNumbers(10.0, 2.0, attempts_1e=5e4)
    told = MemoryMap(device(held, held, held)).place(1)
    # 5e4 attempts of 10 us take 0.5 s.
    assert told is not None
    assert told.t2_s == pytest.approx(1 / (1 / 2.0 + 1 / 0.5))
    assert told.t1_s == 10.0
    still = MemoryMap(device(held, held, held, period_s=0.0)).place(1)
    assert still is not None
    assert still.t2_s == 2.0


def test_the_way_into_memory_is_a_move_and_a_correction() -> None:
    lossy = QubitNumbers(10.0, 1.0, efficiency=0.9)
    told = MemoryMap(
        device(lossy, lossy, QubitNumbers(10.0, 1.0), gate_errors={"move": 0.02, "X": 0.01})
    )
    assert told.place(1) == Place(10.0, 1.0, pytest.approx(0.98 * 0.9))
    assert told.place(1, "X") == Place(10.0, 1.0, pytest.approx(0.98 * 0.9 * 0.99))
    assert told.place(2, "Z") == Place(10.0, 1.0, pytest.approx(0.98))
    assert told.kept == pytest.approx(0.98 * 0.95)


def test_the_loss_of_a_place_is_the_sum_of_its_causes() -> None:
    numbers = QubitNumbers(math.inf, 1.0, efficiency=0.9)
    told = MemoryMap(device(numbers, numbers, numbers, crosstalk=((1, 2, 0.01),)))
    decayed = (1 - math.exp(-0.2)) / 2
    assert told.loss(1, {0}, 0.2) == pytest.approx(0.075 + decayed)
    assert told.loss(1, {0, 2}, 0.2) == pytest.approx(0.075 + decayed + 4 * 0.01)
    assert told.loss(2, {1}, 0.2) == told.loss(1, {2}, 0.2)


@pytest.mark.parametrize(
    "differs",
    [
        {"qubit_numbers": (QubitNumbers(1.0, 1.0),)},
        {"qubit_numbers": (QubitNumbers(1.0, 3.0),) * 3},
        {"crosstalk": ((0, 3, 0.1),)},
        {"crosstalk": ((1, 1, 0.1),)},
    ],
)
def test_numbers_that_no_device_can_have_are_refused(differs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|exceeds|crosstalk"):
        MemoryMap(
            DeviceCapabilities(
                "node", 3, 1e-5, "hardware", ("X",), 10.0, 1.0, 0.9, 0.0, 0.0, 0.0, **differs
            )
        )


T2_S = {1: 0.2, 2: 1.5, 3: 0.4, 4: 0.9}
DIFFERS = "\n".join(f"[memories.alice.modes.{q}]\nt2_s = {t2_s}" for q, t2_s in T2_S.items())


async def held(net: Any, number: int) -> tuple[list[StoredPair], list[StoredPair]]:
    """So many pairs as they lie in memory at alice and at bob, in the order they were made."""
    far = aiter(net.link("bob").desk.accept("test"))
    ours = aiter(net.ask("alice", number=number, consecutive=False))
    for _ in range(number):
        await anext(ours)
        await anext(far)
    near, other = (
        sorted(net.link(end).memory.pairs, key=lambda pair: pair.sequence)
        for end in ("alice", "bob")
    )
    assert len(near) == len(other) == number
    return near, other


def life_s(pair: StoredPair) -> float:
    return pair.deadline_s - pair.heralded_s


@on_virtual_time
async def test_each_pair_is_of_use_as_long_as_its_own_qubit(network: Any, tmp_path: Path) -> None:
    """At both ends, as the far end is told T1 and T2 of the qubit; three are kept, one is left."""
    async with network(tmp_path, differs=DIFFERS) as net:
        pairs = await held(net, 3)
        assert [near.qubit for near in pairs[0]] == [2, 4, 3]
        least = net.link("alice").quality.minimum
        for near, other in zip(*pairs, strict=True):
            t2_s = T2_S[near.qubit]
            assert near.coherences[0].t2_s == t2_s
            assert other.coherences == near.coherences[::-1]
            assert life_s(near) == pytest.approx(life_s(other))
            # Dephasing from F to the least that is of use, rates of both halves added.
            rates_hz = 1 / t2_s + 1 / 2.0
            expected_s = math.log((2 * near.fidelity - 1) / (2 * least - 1)) / rates_hz
            assert life_s(near) == pytest.approx(expected_s, rel=0.05)
        told = [
            (to, message.place) for _, to, message in net.wire.sent if isinstance(message, PairHeld)
        ]
    places = {Place(100.0, T2_S[qubit]) for qubit in (2, 3, 4)}
    assert {place for to, place in told if to == "bob"} == places
    assert {place for to, place in told if to == "alice"} == {None}


@on_virtual_time
async def test_switching_is_taken_off_the_time_of_use(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, differs="switching_time_us = 3000.0") as net:
        (near,), (other,) = await held(net, 1)
        assert life_s(other) - life_s(near) == pytest.approx(3e-3)


@on_virtual_time
async def test_halves_are_kept_apart_where_gates_disturb_neighbours(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, differs="crosstalk = 0.02") as net:
        near, _ = await held(net, 2)
        assert [pair.qubit for pair in near] == [2, 4]


@on_virtual_time
async def test_stored_pairs_are_as_good_as_said(network: Any, tmp_path: Path) -> None:
    """The lab's truth at the first use of each, after a while in qubits that differ."""
    differs = "\n".join(
        f"[memories.alice.modes.{q}]\nt2_s = {t2_s}\nefficiency = {1.0 - 0.04 * q}"
        for q, t2_s in T2_S.items()
    )
    said: dict[int, tuple[int, Goodness]] = {}
    async with network(
        tmp_path, differs=differs, truth=True, gate_error=0.03, test_fraction=0.5
    ) as net:
        far = aiter(net.link("bob").desk.accept("test"))
        ours = aiter(net.ask("alice", number=600, within_s=500, corrected=False))
        held: list[Any] = []
        while len(said) < 600:
            held.append((await anext(ours), await anext(far)))
            if len(held) < 3:
                continue
            await asyncio.sleep(0.05)
            places = {pair.slot: pair.qubit for pair in net.link("alice").memory.pairs}
            now_s = net.link("alice")._context.clock()
            for pair, other in held:
                said[pair.slot] = places[pair.slot], pair.good_at(now_s)
                await pair.measure()
                await other.measure()
            held.clear()
    lines = map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines())
    true = {line["slot"]: line["fidelity"] for line in lines if line["kind"] == "pair_fidelity"}
    mean: dict[int, list[float]] = {}
    for slot, (qubit, good) in list(said.items())[300:]:  # when the link is known well
        assert good.low < true[slot] < good.high
        mean.setdefault(qubit, []).append(good.fidelity - true[slot])
    assert set(mean) == {1, 2, 4}
    # What is not known of the link is the same for all; how each qubit loses is told exactly.
    apart = [sum(each) / len(each) for each in mean.values()]
    assert max(apart) - min(apart) < 0.004
