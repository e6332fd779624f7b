"""Hong-Ou-Mandel interference at the station of a rehearsed link, through its tagger's bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from link_layer.hom import HomFigures
from qnodeos import UserError, load_node
from qnodeos.checking.tables import meanings
from qnodeos.cli.rehearse import load
from qnodeos.journal import read_journal
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.rehearsal import Rehearsal, rehearsal
from qnodeos.verify_methods import hom_method
from sim_backends.heralding import interference_visibility
from timing.loop import run_virtual

LAB = """
[lab]
seed = 11
[memories]
alice = { qubits = 2, t1_s = 10.0, t2_s = 0.5 }
bob = { qubits = 2, t1_s = 10.0, t2_s = 0.5 }
[midpoints.station]
ends = ["alice", "bob"]
attempt_period_us = 20.0
efficiency = { alice = 0.3, bob = 0.2 }
visibility = 0.9
dark_probability = 1e-4
photons = { lifetime_ns = 12.0, offset_ps = 2000.0 }
clicks = { window_ns = 200.0, bin_ns = 400.0 }
[taggers.station]
skew_ppm = 4.0
power_on_s = -3.0
inputs = { 1 = "station.1", 2 = "station.2" }
[instruments]
alice-memory = { type = "quantum-device", of = "memories.alice", port = 7131, serial = "QM-A" }
bob-memory = { type = "quantum-device", of = "memories.bob", port = 7132, serial = "QM-B" }
station-midpoint = { type = "quantum-device", of = "midpoints.station", port = 7133, serial = "B" }
station-tagger = { type = "tdc1", of = "taggers.station", pty = "station-tagger", serial = "T1" }
"""

NODE = """
[node]
name = "{name}"
id = {id}
data_dir = "data"
[wire]
listen = "tcp://127.0.0.1:710{id}"
secret_key = "{name}.key_secret"
[bus]
url = "mqtt://127.0.0.1:7183"
[instruments.device]
driver = "qnodeos.device"
resource = "tcp://127.0.0.1:713{id}"
[links.memory]
device = "device"
"""

PEER = """
[wire.peers.{name}]
id = {id}
address = "tcp://127.0.0.1:710{id}"
public_key = "{name}.key"
"""

END = """
kind = "memory"
peer = "{peer}"
station = "station"
minimum_useful_fidelity = 0.6
test_fraction = 0.1
"""

STATION = """
kind = "midpoint"
ends = ["alice", "bob"]
[links.memory.hom]
tagger = "tagger"
port_a = [1]
port_b = [2]
window_ps = "150 ns"
apart_ps = "400 ns"
[instruments.tagger]
driver = "sfifteen.tdc1"
resource = "serial://run/station-tagger"
settings = { level = "NIM" }
"""

IDS = {"alice": 1, "bob": 2, "station": 3}


def written(folder: Path) -> Path:
    """The three nodes' files and their lab."""
    (folder / "lab.toml").write_text(LAB)
    own = {"alice": END.format(peer="bob"), "bob": END.format(peer="alice"), "station": STATION}
    for name, number in IDS.items():
        peers = (PEER.format(name=each, id=IDS[each]) for each in IDS if each != name)
        text = NODE.format(name=name, id=number) + own[name] + "".join(peers)
        (folder / f"{name}.toml").write_text(text)
    return folder


BINS = ("bins", ())
POLARIZATION = (
    "polarization",
    (
        ("bin_ns = 400.0", "detectors = 4"),
        ('2 = "station.2" }', '2 = "station.2", 3 = "station.3", 4 = "station.4" }'),
        ("port_a = [1]", "port_a = [1, 2]"),
        ("port_b = [2]", "port_b = [3, 4]"),
        ('apart_ps = "400 ns"\n', ""),
    ),
)


def changed(folder: Path, changes: Sequence[tuple[str, str]]) -> None:
    """Each change is of the lab or of the station."""
    for old, new in changes:
        (file,) = (
            file
            for file in (folder / "lab.toml", folder / "station.toml")
            if old in file.read_text()
        )
        file.write_text(file.read_text().replace(old, new, 1))


def run(folder: Path, body: Callable[[Rehearsal], Awaitable[Any]], changes: Any = ()) -> Any:
    async def scenario() -> Any:
        changed(written(folder), changes)
        lab, nodes, _ = load(folder, folder / "out")
        async with rehearsal(lab, nodes) as network:
            return await body(network)

    return run_virtual(scenario())


async def measured(network: Rehearsal, coincidences: int, within_s: float) -> HomFigures:
    station = network.nodes["station"].links["memory"]
    assert isinstance(station, Midpoint)
    assert station.hom is not None
    return await station.hom.measure(coincidences, within_s, lambda share, text: None)


@pytest.mark.parametrize(("modes", "changes"), [BINS, POLARIZATION])
def test_a_station_measures_how_alike_its_photons_are(
    tmp_path: Path, modes: str, changes: Any
) -> None:
    async def body(network: Rehearsal) -> tuple[HomFigures, Any, Any]:
        await network.lasts(3.0)
        desk = network.nodes["alice"].links["memory"].desk  # type: ignore[union-attr]
        ask = {"minimum_fidelity": 0.5, "within_s": 60.0, "purpose": "test"}
        taken = network.nodes["bob"].links["memory"].desk.accept("test")  # type: ignore[union-attr]
        inbox = desk.ask(kind="M", number=3000, **ask)
        session: Any = SimpleNamespace(parts=network.nodes["station"].parts)
        answer = await hom_method(
            session, lambda share, text: None, link="memory", coincidences=300
        )
        with pytest.raises(UserError, match="no tagger sees"):
            await hom_method(session, lambda share, text: None, link="photonic")
        found = await measured(network, 600, 60.0)
        desk.cancel(inbox)
        assert taken is not None
        await network.stop("station")
        (kept,) = read_journal(tmp_path / "out" / "station" / "journal.sqlite").results
        assert (kept.app, kept.data) == ("verify:memory", answer)
        assert abs(answer["hom"][0] - found.visibility) < 5 * answer["hom"][1]
        station = network.nodes["station"].links["memory"]
        assert isinstance(station, Midpoint)
        return found, station.status(), station.histogram()

    found, status, histogram = run(tmp_path, body, changes)
    lab, _, _ = load(tmp_path, tmp_path / "out")
    truth = interference_visibility(lab.midpoints["station"])
    assert found.coincidences >= 600
    assert abs(found.visibility - truth) < 4 * found.error
    assert 0.0 < found.error < 0.05
    assert found.accidentals > 0
    assert status["hom_coincidences"] >= 600
    assert status["hom_visibility"] == pytest.approx(truth, abs=4 * status["hom_visibility_error"])
    assert status["tags"] > 0
    counts, middle = histogram["counts"], len(histogram["counts"]) // 2
    if modes == "polarization":
        assert sum(histogram["different"]) > 2 * sum(counts)
        return
    bins = histogram["apart_ps"] // histogram["bin_ps"]
    beside = sum(counts[middle + bins - 10 : middle + bins + 10])
    # One of two peaks: half of the pairs in different modes; without interference it would be 0.5.
    assert beside > 1.5 * sum(counts[middle - 10 : middle + 10])


CALIBRATION = """
[links.memory.calibration]
tasks = {{ interference = [] }}
rounds = 4000
look_s = "60 s"
least_visibility = {least}
"""


@pytest.mark.parametrize(("least", "good"), [(0.7, True), (0.97, False)])
def test_the_leading_end_is_told_how_alike_the_photons_are_and_judges(
    tmp_path: Path, least: float, good: bool
) -> None:
    """The calibration `interference`: the station measures, the leading end has it in spec."""

    async def body(network: Rehearsal) -> tuple[Any, str]:
        link = network.nodes["alice"].links["memory"]
        calibrated = network.nodes["alice"].exported()["calibration-memory"]
        async with asyncio.timeout(120.0):
            while calibrated()["interference_state"] not in ("in spec", "out of spec"):
                await network.lasts(1.0)
        assert isinstance(link, MemoryLink)
        assert link.ready is good
        return calibrated(), link.missing() or link.unfit

    async def scenario() -> Any:
        folder = written(tmp_path)
        changed(folder, BINS[1])
        file = folder / "alice.toml"
        file.write_text(file.read_text() + CALIBRATION.format(least=least))
        lab, nodes, _ = load(folder, folder / "out")
        async with rehearsal(lab, nodes) as network:
            found = await body(network)
        return found, interference_visibility(lab.midpoints["station"])

    (figures, unfit), truth = run_virtual(scenario(), limit_s=300)
    assert figures["interference_value"] == pytest.approx(truth, abs=0.05)
    assert figures["in_spec"] is good
    assert figures["interference_state"] == ("in spec" if good else "out of spec")
    assert ("interference" in unfit) is not good


def test_without_attempts_there_is_nothing_to_say(tmp_path: Path) -> None:
    async def body(network: Rehearsal) -> Any:
        await network.lasts(3.0)
        for node in ("alice", "bob"):
            await network.stop(node)
        with pytest.raises(UserError, match="too few coincidences") as caught:
            await measured(network, 600, 5.0)
        return caught.value

    assert "somebody asks for pairs" in str(run(tmp_path, body))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"400 ns"', '"100 ns"', "at least twice window_ps"),
        ('"150 ns"', '"1 ns"', "at most 100 times window_ps"),
        ("port_b = [2]", "port_b = [1]", "all different"),
        ("port_b = [2]", "port_b = [2, 3]", "as many channels"),
        ('tagger = "tagger"', 'tagger = "tager"', "did you mean 'tagger'"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    file = written(tmp_path) / "station.toml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(UserError, match=says):
        load_node(file)


def test_the_table_is_told_in_words(tmp_path: Path) -> None:
    said = {
        each.table: each.says for each in meanings(load_node(written(tmp_path) / "station.toml"))
    }
    assert "Hong-Ou-Mandel" in said["links.memory"]
    assert "400 ns" in said["links.memory"]
