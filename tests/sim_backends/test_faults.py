"""Faults: their course in time, what each does at its place, and what is refused."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_backends.bench import Bench
from sim_backends.changing import ChangeError, value_of
from sim_backends.faults.chance import drawn_faults
from sim_backends.faults.director import Director, direct
from sim_backends.faults.kinds import KINDS
from sim_backends.faults.network import NetworkFaults, ways
from sim_backends.faults.script import FaultConfig, load_faults
from sim_backends.faults.shapes import Shape
from sim_backends.lab import LabError, load_lab
from sim_backends.truth import TruthLog
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "lab.toml"
LAB = load_lab(EXAMPLE)


def fault(kind: str, of: str, **more: Any) -> FaultConfig:
    return FaultConfig.model_validate({"kind": kind, "of": of, **more})


def in_lab(
    scenario: Callable[[Bench, Director], Coroutine[Any, Any, None]],
    *script: FaultConfig,
    truth: Path | None = None,
) -> None:
    async def run() -> None:
        bench = Bench(LAB, TruthLog(truth), unix_s=asyncio.get_running_loop().time)
        life = asyncio.create_task(bench.run())
        director = direct(bench, script)
        director.start()
        try:
            await scenario(bench, director)
        finally:
            director.close()
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            bench.close()

    run_virtual(run(), limit_s=600.0)


def test_a_step_begins_and_ends_sharply() -> None:
    step = Shape("step", 5.0)
    assert [step.level(t) for t in (-0.1, 0.0, 4.9, 5.0)] == [0.0, 1.0, 1.0, 0.0]
    assert step.next_change_s(0.0) == 5.0
    assert Shape("step", math.inf).next_change_s(3.0) == math.inf


def test_a_ramp_rises_and_stays_a_pulse_comes_and_goes() -> None:
    ramp, pulse = Shape("ramp", 10.0, rise_s=4.0), Shape("pulse", 10.0)
    assert [ramp.level(t) for t in (1.0, 4.0, 9.0)] == [0.25, 1.0, 1.0]
    assert [pulse.level(t) for t in (0.0, 2.5, 5.0, 7.5)] == [0.0, 0.5, 1.0, 0.5]


@given(
    st.floats(0.01, 100.0), st.floats(0.05, 0.95), st.floats(0.1, 1000.0), st.floats(0.0, 1000.0)
)
def test_a_periodic_one_has_its_share_and_never_misses_an_edge(
    period_s: float, duty: float, for_s: float, since_s: float
) -> None:
    shape = Shape("periodic", for_s, period_s=period_s, duty=duty)
    after_s = shape.next_change_s(since_s)
    assert after_s > since_s
    if since_s < for_s:
        between = np.linspace(since_s, min(after_s, for_s), 12)[1:-1]
        assert len({shape.level(float(t)) for t in between}) == 1


def test_fibre_cut_and_dark_counts_are_seen_by_the_detectors() -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        world = bench.world
        for end in ("alice", "bob"):
            world.detectors[end].enabled = True
            world.detectors[end].bias_ua = [20.0, 20.0]
        world.lasers["pump"].current_set_ma = 90.0
        world.lasers["pump"].emission = True

        async def rate(end: str) -> int:
            before = sum(world.detectors[end].count_totals())
            await asyncio.sleep(1.0)
            return sum(world.detectors[end].count_totals()) - before

        whole = await rate("alice")
        number = director.begin(fault("cut", "channels.alice", for_s=1.0))
        assert await rate("alice") == pytest.approx(400, abs=100), "dark counts are left"
        await asyncio.sleep(0.1)
        assert not director.end(number), "it has ended by itself"
        assert await rate("alice") == pytest.approx(whole, rel=0.1)
        before = await rate("bob")
        director.begin(fault("darks", "detectors.bob", size=20.0, for_s=1.0))
        assert await rate("bob") - before == pytest.approx(19 * 600, rel=0.1)
        director.begin(fault("blinded", "detectors.bob", for_s=1.0))
        assert await rate("bob") < 20

    in_lab(scenario)


def test_two_faults_of_one_value_act_together_and_leave_it_as_it_was() -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        loss = "channels.alice.loss_db"
        director.begin(fault("cut", "channels.alice", size=10.0, for_s=3.0))
        director.begin(fault("cut", "channels.alice", size=5.0, for_s=1.0))
        assert value_of(bench.world, loss) == 21.0
        await asyncio.sleep(2.0)
        assert value_of(bench.world, loss) == 16.0
        director.physics.set(loss, 7.0, by="test")
        assert value_of(bench.world, loss) == 17.0
        await asyncio.sleep(2.0)
        assert value_of(bench.world, loss) == 7.0

    in_lab(scenario)


def test_a_ramp_is_gradual_and_the_truth_knows_onset_and_end(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"

    async def scenario(bench: Bench, director: Director) -> None:
        fidelity = "sources.crystal.fidelity"
        whole = value_of(bench.world, fidelity)
        seen = []
        for _ in range(14):
            await asyncio.sleep(1.0)
            seen.append(value_of(bench.world, fidelity))
        assert seen[0] == seen[-1] == whole
        fall = [whole - value for value in seen[2:6]]
        full = (whole - 0.25) * 0.4
        assert fall == pytest.approx([full * share for share in (0.25, 0.5, 0.75, 1.0)], rel=0.06)

    script = fault(
        "depolarised", "sources.crystal", at_s=2.0, for_s=10.0, shape="ramp", rise_s=4.0, size=0.4
    )
    in_lab(scenario, script, truth=truth)
    told = [
        record
        for record in map(json.loads, truth.read_text().splitlines())
        if record["kind"] == "fault"
    ]
    assert [(each["state"], round(each["t_s"], 3)) for each in told] == [("onset", 2), ("end", 12)]
    assert (
        told[0]
        | {
            "of": "sources.crystal",
            "fault": "depolarised",
            "place": "physics",
            "shape": "ramp",
            "rise_s": 4.0,
            "size": 0.4,
        }
        == told[0]
    )


def test_a_clock_jump_is_seen_in_the_tagger_counter() -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        tagger = bench.world.taggers["alice"]
        before_ps = tagger.counter_ps()
        director.begin(fault("clock-jump", "taggers.alice", size=2500.0))
        assert tagger.counter_ps() - before_ps == pytest.approx(2_500_000, abs=10)
        assert not director.acting

    in_lab(scenario)


def test_t2_collapse_and_crosstalk_act_on_stored_qubits() -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        memory = bench.world.memories["alice"]

        async def still_plus(wait_s: float, gates: int = 0) -> float:
            right = 0
            for _ in range(200):
                memory.initialise(1, "+")
                memory.initialise(2, "0")
                for _ in range(gates):
                    memory.gate("X", [2])
                await asyncio.sleep(wait_s)
                right += memory.measure(1, "X") == 0
                memory.release(2)
            return right / 200

        assert await still_plus(0.005) > 0.9
        director.begin(fault("t2-collapse", "memories.alice", size=1000.0, for_s=1e4))
        assert await still_plus(0.005) == pytest.approx(0.5, abs=0.15)
        director.end(1)
        director.begin(fault("crosstalk", "memories.alice", size=0.5))
        assert await still_plus(0.0, gates=8) == pytest.approx(0.5, abs=0.15)
        director.end(2)
        assert await still_plus(0.0, gates=8) > 0.9

    in_lab(scenario)


async def _answer(bench: Bench, wait_s: float = 0.5) -> bytes:
    """What the power meter says to a question on a new connection."""
    port = bench.memory("alice-power")
    try:
        await port.write(b"*IDN?\n")
        async with asyncio.timeout(wait_s):
            return await port.read()
    except (TimeoutError, ConnectionResetError):
        return b""
    finally:
        port.close()


def test_each_fault_of_a_line_is_felt_and_goes() -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        whole = await _answer(bench)
        assert whole.startswith(b"THORLABS")
        of = "instruments.alice-power"
        for kind in ("stall", "power-cycle", "delay"):
            director.begin(fault(kind, of, for_s=2.0))
            assert await _answer(bench) == b"", kind
            await asyncio.sleep(4.0)
            assert await _answer(bench) == whole, kind
        director.begin(fault("truncation", of, for_s=1.0, size=1.0))
        cut = await _answer(bench)
        assert cut
        assert whole.startswith(cut)
        assert cut != whole
        await asyncio.sleep(1.0)
        port = bench.memory("alice-power")
        director.begin(fault("garbage", of, for_s=1.0))
        await asyncio.sleep(2.0)
        assert len(await port.read()) == pytest.approx(2000, rel=0.2)
        director.begin(fault("half-open", of))
        await port.write(b"*IDN?\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await port.read()
        port = bench.memory("alice-power")
        director.begin(fault("drop", of))
        assert await port.read() == b""
        assert await _answer(bench) == whole

    in_lab(scenario)


def test_a_power_cycled_laser_is_dark_and_has_forgotten() -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        laser = bench.world.lasers["pump"]
        laser.current_set_ma, laser.emission = 90.0, True
        director.begin(fault("power-cycle", "instruments.alice-power", for_s=1.0))
        await asyncio.sleep(2.0)
        assert laser.power_mw > 0.0, "a power meter does not drive the laser"
        director.begin(fault("power-cycle", "instruments.alice-pump", for_s=1.0))
        assert laser.power_mw == 0.0
        await asyncio.sleep(2.0)
        port = bench.memory("alice-pump")
        await port.write(b"(param-ref 'laser1:dl:cc:enabled)\n")
        await asyncio.sleep(0.1)
        assert b"#f" in await port.read()

    in_lab(scenario)


def network(**sizes: float) -> NetworkFaults:
    made = NetworkFaults(np.random.default_rng(1))
    for number, (kind, size) in enumerate(sizes.items()):
        made.level(number, fault(kind, "network.alice-bob", size=size), 1.0)
    return made


def test_the_network_does_to_messages_what_its_faults_say() -> None:
    plain = NetworkFaults(np.random.default_rng(1)).carry("alice", "bob", b"x")
    assert plain == ((0.0002, b"x", True),)
    lossy = network(loss=0.3)
    arrived = sum(len(lossy.carry("alice", "bob", b"x")) for _ in range(2000))
    assert arrived == pytest.approx(1400, abs=5 * math.sqrt(2000 * 0.21))
    assert all(len(lossy.carry("alice", "carol", b"x")) == 1 for _ in range(50))
    assert network(delay=0.5).carry("bob", "alice", b"x")[0][0] == pytest.approx(0.5002)
    assert [c for _, c, _ in network(duplication=1.0).carry("alice", "bob", b"x")] == [b"x"] * 2
    late = [network(reordering=1.0).carry("alice", "bob", b"x")[0][0] for _ in range(3)]
    assert min(late) > 0.0002
    old = network(replay=1.0)
    old.carry("alice", "bob", b"first")
    assert [c for _, c, _ in old.carry("alice", "bob", b"second")] == [b"second", b"first"]
    copies = network(forgery=1.0).carry("alice", "bob", b"true")
    assert [real for _, _, real in copies] == [True, False]
    assert copies[1][1] != b"true"


def test_a_partition_may_be_one_way() -> None:
    made = NetworkFaults(np.random.default_rng(1))
    made.level(1, fault("partition", "network.alice>bob"), 1.0)
    assert made.carry("alice", "bob", b"x") == ()
    assert len(made.carry("bob", "alice", b"x")) == 1
    made.level(1, fault("partition", "network.alice>bob"), 0.0)
    assert len(made.carry("alice", "bob", b"x")) == 1


THINGS = {**LAB.things, "network": ways(["alice", "bob"])}


def test_faults_by_chance_follow_from_the_seed_and_can_all_be_brought_on() -> None:
    first = list(itertools.islice(drawn_faults(THINGS, seed=7, per_minute=600.0), 400))
    again = list(itertools.islice(drawn_faults(THINGS, seed=7, per_minute=600.0), 400))
    other = list(itertools.islice(drawn_faults(THINGS, seed=8, per_minute=600.0), 400))
    assert first == again != other
    many = itertools.islice(drawn_faults(THINGS, seed=7, per_minute=600.0), 4000)
    assert {(each.section, each.kind) for each in many} == set(KINDS)
    assert first[-1].at_s == pytest.approx(40.0, rel=0.3)

    async def scenario(bench: Bench, director: Director) -> None:
        await asyncio.sleep(70.0)
        assert not director.acting
        for section in ("channels", "detectors", "sources", "memories", "midpoints"):
            assert getattr(bench.world.config, section) == getattr(LAB, section), "all is as it was"
        assert (await _answer(bench)).startswith(b"THORLABS")

    in_lab(scenario, *first)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('kind = "cut"\nof = "channels.carol"', ["faults.0.of", "channels.carol", "channels.bob"]),
        ('kind = "cut"\nof = "lasers.pump"', ["of = 'lasers.pump'", "channels"]),
        ('kind = "break"\nof = "channels.bob"', ["kind = 'break'", "cut"]),
        ('kind = "cut"\nof = "channels.bob"\nsize = 900', ["size = 900", "0 to 200 dB more"]),
        ('kind = "stall"\nof = "instruments.alice-pump"\nsize = 1', ["size = 1", "remove it"]),
        (
            'kind = "stall"\nof = "instruments.alice-pump"\nshape = "pulse"\nfor_s = 1',
            ["shape = 'pulse'", "step or periodic"],
        ),
        ('kind = "cut"\nof = "channels.bob"\nshape = "ramp"', ["rise_s is missing"]),
        ('kind = "cut"\nof = "channels.bob"\nshape = "pulse"', ["for_s is missing"]),
        ('kind = "cut"\nof = "channels.bob"\nperiod_s = 1', ["period_s is of a periodic"]),
        ('kind = "cut"\nof = "channels.bob"\nat_s = -1', ["at_s", "-1"]),
        ('kind = "cut"\nof = "channels.bob"\nuntil = 1', ["until", "no such field"]),
    ],
)
def test_a_wrong_script_is_refused_in_one_message(
    tmp_path: Path, lines: str, words: list[str]
) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(f"[[faults]]\n{lines}\n")
    with pytest.raises(LabError) as caught:
        load_faults(path, THINGS)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("channels.alice.loss_db", -1.0, ["channels.alice.loss_db", "found -1.0"]),
        ("channels.carol.loss_db", 1.0, ["no 'carol'", "alice, bob"]),
        ("detectors.alice.channels", 4, ["'channels' cannot be changed", "efficiency"]),
        ("lab.seed", 4, ["nothing of this name"]),
        ("midpoints.station.efficiency", 0.1, ["alice, bob"]),
        ("memories.alice.t2_s", 100.0, ["t2_s <= 2 * t1_s"]),
    ],
)
def test_a_wrong_change_is_refused_in_one_message(path: str, value: Any, words: list[str]) -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        with pytest.raises(ChangeError) as caught:
            bench.change(path, value, by="test")
        for word in words:
            assert word in str(caught.value)

    in_lab(scenario)


def test_a_midpoint_can_be_made_better_while_it_attempts() -> None:
    async def scenario(bench: Bench, director: Director) -> None:
        world = bench.world
        bench.change("midpoints.station.efficiency.alice", 0.0, by="test")
        assert value_of(world, "midpoints.station.efficiency.alice") == 0.0
        bench.change("midpoints.station.dark_probability", 0.0, by="test")
        world.midpoints["station"].start()
        for end in ("alice", "bob"):
            world.memories[end].start()
        await asyncio.sleep(1.0)
        assert world.next_event_s() is None
        bench.change("midpoints.station.efficiency.alice", 0.5, by="test")
        due_s = world.next_event_s()
        assert due_s is not None
        assert 1.0 < due_s < 2.0
        await asyncio.sleep(1.0)
        assert world.memories["alice"].held() == [0]

    in_lab(scenario)


def test_the_page_on_the_lab_has_every_kind_and_an_example_that_loads(tmp_path: Path) -> None:
    page = (EXAMPLE.parents[2] / "docs" / "simulated-lab.md").read_text()
    rows = {
        line.split("`")[1].partition(".")[0]: line for line in page.splitlines() if "| `" in line
    }
    for section, word in KINDS:
        assert f"`{word}`" in rows[section], (section, word)
    example = page[page.index("    [[faults]]") : page.index("| of | kinds |")]
    (tmp_path / "faults.toml").write_text("\n".join(line[4:] for line in example.splitlines()))
    (one,) = load_faults(tmp_path / "faults.toml", THINGS)
    assert (one.kind, one.of, one.shape, one.full_size) == ("cut", "channels.alice", "ramp", 30.0)
