"""A station whose host finds the heralds in its tagger's clicks, beside one whose device tells."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from qnodeos.checking.tables import meanings
from qnodeos.cli.rehearse import load
from qnodeos.config import ClicksTable, MidpointTable, load_node
from qnodeos.host_heralds import HostHeralds
from qnodeos.journal import read_journal
from qnodeos.measured import MeasuredPairs
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.rehearsal import Rehearsal
from sim_backends.heralding import HeraldOdds
from tests.qnodeos.test_hom import STATION, run, written

TRUTH = ("seed = 11\n", 'seed = 11\ntruth = "truth.jsonl"\n')
WIRED = ('2 = "station.2" }', '2 = "station.2", 3 = "station.3" }')
CLICKS = (
    'ends = ["alice", "bob"]\n[links.memory.hom]',
    """ends = ["alice", "bob"]
heralds = "host"
[links.memory.clicks]
tagger = "tagger"
sync = 3
port_a = [1]
port_b = [2]
window_ps = ["19.4 us", "19.6 us"]
apart_ps = "400 ns"
[links.memory.hom]""",
)
LONG = "t1_s = 1e3, t2_s = 1e3"
ENDS = tuple(
    (f"{end} = {{ qubits = 2, t1_s = 10.0, t2_s = 0.5", f"{end} = {{ qubits = 2, {LONG}")
    for end in ("alice", "bob")
)
MODES = tuple((old, f"{new}, attempt_modes = 10_000") for old, new in ENDS)
SINGLE_CLICKS = (
    (
        "visibility = 0.9\n",
        'visibility = 0.9\nscheme = "single_click"\n'
        "bright_population = { alice = 0.1, bob = 0.15 }\n",
    ),
    (", bin_ns = 400.0", ""),
    (
        CLICKS[0],
        CLICKS[1]
        .replace('"19.4 us", "19.6 us"', '"19.8 us", "20 us"')
        .replace('apart_ps = "400 ns"', "clicks = 1"),
    ),
    # Two photons interfere where two clicks herald.
    (STATION[STATION.index("[links.memory.hom]") : STATION.index("[instruments")], ""),
)
KINDS: dict[str, tuple[tuple[str, str], ...]] = {
    "hardware": (*ENDS, TRUTH),
    "host": (*ENDS, TRUTH, CLICKS, WIRED),
    "host, ends with modes": (*MODES, TRUTH, CLICKS, WIRED),
    "host, single clicks": (*ENDS, TRUTH, *SINGLE_CLICKS, WIRED),
}


HARDWARE_LATEST_MS = 1.0
HOST_LATEST_MS = 51.0
"""In virtual time: the tagger's batches are of 50 ms."""


def links(network: Rehearsal) -> tuple[MemoryLink, MemoryLink, Midpoint]:
    alice, bob, station = (
        network.nodes[name].links["memory"] for name in ("alice", "bob", "station")
    )
    assert isinstance(alice, MemoryLink)
    assert isinstance(bob, MemoryLink)
    assert isinstance(station, Midpoint)
    return alice, bob, station


async def correlator(network: Rehearsal, pairs: int) -> float:
    """The mean of <ZZ>, <XX> and -<YY> over so many pairs, corrected to Phi+; by their outcomes."""
    alice, bob, _ = links(network)
    taken: list[MeasuredPairs] = []

    async def take(inbox: Any) -> None:
        async for each in inbox:
            taken.append(each)

    taking = asyncio.create_task(take(bob.desk.accept("test")))
    basis = "XYZ"
    found = []
    for each in basis:
        asked = {"kind": "M", "number": pairs // 3, "minimum_fidelity": 0.5, "within_s": 600.0}
        in_basis: Any = {"near": measuring(each), "far": measuring(each), "purpose": "test"}
        mine = [item async for item in alice.desk.ask(**asked, **in_basis)]
        await asyncio.sleep(0.1)
        theirs = {int(item.pairs[0]): int(item.outcomes[0]) for item in taken}
        same = [theirs[int(item.pairs[0])] == int(item.outcomes[0]) for item in mine]
        found.append((2 * sum(same) / len(same) - 1) * (-1 if each == "Y" else 1))
    taking.cancel()
    return sum(found) / 3


def measuring(basis: Any) -> Any:
    from link_layer.messages import Measuring

    return Measuring((basis,))


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_the_same_whoever_heralds(tmp_path: Path, kind: str) -> None:
    """Each announced herald is one that the lab made, with its Bell state; F is the lab's."""

    async def body(network: Rehearsal) -> tuple[float, dict[str, Any], dict[str, Any]]:
        await network.lasts(3.0)
        found = await correlator(network, 240)
        alice, _, station = links(network)
        return found, dict(alice.status()), dict(station.status())

    found, alice, station = run(tmp_path, body, KINDS[kind])
    lab, _, _ = load(tmp_path, tmp_path / "out")
    expected = (4 * HeraldOdds.of(lab.midpoints["station"]).fidelity - 1) / 3
    assert abs(found - expected) < 4 * math.sqrt((1 - expected**2) / 240)
    assert "mismatches" not in alice
    assert alice.get("rounds_failed", 0) <= 2
    assert station.get("hardware_heralds_ignored", 0) >= 240 * ("host" in kind)
    print(kind, "herald to OK:", alice["ok_p50_ms"], "ms")
    assert alice["ok_p50_ms"] < (HARDWARE_LATEST_MS if kind == "hardware" else HOST_LATEST_MS)
    (file,) = (tmp_path / "out").rglob("truth.jsonl")
    made = {}
    for line in file.read_text().splitlines():
        told = json.loads(line)
        if told["kind"] == "herald":
            made[told["slot"]] = told["bell_state"]
    journal = read_journal(tmp_path / "out" / "alice" / "journal.sqlite")
    assert len(journal.pairs) >= 240
    assert all(pair.slot in made for pair in journal.pairs)
    tested = journal.of_kind("test-round")
    assert len(tested) > 10
    assert all(made[test.data["slot"]] == test.data["bell_state"] for test in tested)


def test_a_slot_that_the_ends_did_not_stop_in_is_a_mismatch_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = HostHeralds.started
    monkeypatch.setattr(HostHeralds, "started", lambda self, slot: started(self, slot + 1))

    async def body(network: Rehearsal) -> dict[str, Any]:
        await network.lasts(3.0)
        alice, bob, _ = links(network)
        bob.desk.accept("test")
        alice.desk.ask(kind="M", number=5, minimum_fidelity=0.5, within_s=20.0, purpose="test")
        await network.lasts(5.0)
        return dict(alice.status())

    said = run(tmp_path, body, KINDS["host"])
    assert said["mismatches_time"] >= 3
    assert said.get("delivered", 0) == 0


def test_a_tagger_that_is_away_stops_the_station_until_it_is_back(tmp_path: Path) -> None:
    async def body(network: Rehearsal) -> Any:
        await network.lasts(3.0)
        alice, bob, station = links(network)
        bob.desk.accept("test")
        network.bench.power_off("station-tagger")
        await network.lasts(5.0)
        inbox = alice.desk.ask(
            kind="M", number=20, minimum_fidelity=0.5, within_s=60.0, purpose="test"
        )
        await network.lasts(3.0)
        assert station.counters["not_ready"] > 0
        assert alice.counters["delivered"] == 0
        network.bench.power_on("station-tagger")
        async for _ in inbox:
            pass
        assert "mismatches" not in alice.status()
        return True

    assert run(tmp_path, body, KINDS["host"])


def test_what_the_table_means_and_what_it_cannot(tmp_path: Path) -> None:
    folder = written(tmp_path)
    file = folder / "station.toml"
    file.write_text(file.read_text().replace(*CLICKS))
    (says,) = (each.says for each in meanings(load_node(file)) if each.table == "links.memory")
    assert (
        "device attempts, and two clicks herald, found by this node in the tags of tagger, "
        "19.4 us to 19.6 us after those of channel 3." in says
    )
    table = {"tagger": "t", "sync": 3, "port_a": [1], "port_b": [2], "window_ps": [0, 100]}
    with pytest.raises(ValidationError, match="all different"):
        ClicksTable.model_validate(table | {"sync": 1, "apart_ps": 200})
    with pytest.raises(ValidationError, match="at least the length of the window"):
        ClicksTable.model_validate(table)
    with pytest.raises(ValidationError, match="expected none but for time bins"):
        ClicksTable.model_validate(table | {"clicks": 1, "apart_ps": 200})
    with pytest.raises(ValidationError, match="expected both or none"):
        MidpointTable.model_validate(
            {"kind": "midpoint", "ends": ["a", "b"], "device": "d", "heralds": "host"}
        )
