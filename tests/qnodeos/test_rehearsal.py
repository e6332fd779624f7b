"""The two-node example in one process and virtual time: it works, heals, and repeats itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from qnodeos import UserError, load_node
from qnodeos.cli.rehearse import load
from qnodeos.journal import read_journal
from qnodeos.rehearsal import EPOCH_UNIX_S, Rehearsal, Transcript, rehearsal
from qnodeos.runtime import Node
from sim_backends.faults.script import FaultConfig
from sim_backends.lab import LabError
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes"
MINUTE = """
[[faults]]
kind = "reordering"
of = "network.all"
at_s = 5.0
for_s = 30.0
size = 0.2
[[faults]]
kind = "loss"
of = "network.alice-bob"
at_s = 10.0
for_s = 10.0
size = 0.2
[[faults]]
kind = "power-cycle"
of = "instruments.bob-tagger"
at_s = 22.0
for_s = 2.0
[[faults]]
kind = "cut"
of = "channels.bob"
at_s = 30.0
for_s = 4.0
shape = "ramp"
rise_s = 2.0
[[faults]]
kind = "garbage"
of = "instruments.alice-memory"
at_s = 36.0
for_s = 1.0
[[faults]]
kind = "partition"
of = "network.bob"
at_s = 40.0
for_s = 4.0
"""


def run(folder: Path, body: Callable[[Rehearsal], Awaitable[Any]], **options: Any) -> Any:
    async def scenario() -> Any:
        lab, nodes, _ = load(EXAMPLE, folder)
        async with rehearsal(lab, nodes, **options) as network:
            return await body(network)

    return run_virtual(scenario())


def fault(kind: str, of: str, **more: Any) -> FaultConfig:
    return FaultConfig.model_validate({"kind": kind, "of": of, **more})


def told(folder: Path, node: str, kind: str) -> list[tuple[float, dict[str, Any]]]:
    """What a journal has of a kind, with the seconds since the start."""
    events = read_journal(folder / node / "journal.sqlite").of_kind(kind)
    return [(event.time_s - EPOCH_UNIX_S, event.data) for event in events]


@pytest.mark.timeout(600)
def test_two_runs_of_a_minute_with_faults_say_the_same_on_every_wire(tmp_path: Path) -> None:
    """In processes of their own with hashes of their own, as sets must not decide anything."""
    (tmp_path / "faults.toml").write_text(MINUTE)
    runs = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "qnodeos", "rehearse", str(EXAMPLE)),
                *("--seconds", "60", "--faults", str(tmp_path / "faults.toml")),
                *("--output", str(tmp_path / hashes)),
            ],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            cwd=EXAMPLE.parents[1],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for hashes in ("1", "2")
    ]
    for each in runs:
        assert each.communicate(timeout=500)[1] == ""
        assert each.returncode == 0
    first, second = (
        json.loads((tmp_path / hashes / "report.json").read_text()) for hashes in ("1", "2")
    )
    wires = {name.split(" ")[0] for name in first["digests"]}
    assert {"wire", "bus", "alice-tagger", "bob-memory", "station-midpoint"} <= wires
    assert len(first["digests"]) == 22
    assert first == second
    truths = [(tmp_path / hashes / "truth.jsonl").read_bytes() for hashes in ("1", "2")]
    assert truths[0] == truths[1]
    for node in first["nodes"].values():
        assert set(node["instruments"].values()) == {"online"}
        assert set(node["peers"].values()) == {"up"}
    alice = first["nodes"]["alice"]["links"]
    assert alice["photonic"]["clock"] == "tracking"
    assert alice["photonic"]["fidelity"] == pytest.approx(
        0.965, abs=5 * alice["photonic"]["fidelity_error"]
    )
    assert alice["memory"]["delivered"] > 200


def test_another_seed_says_something_else(tmp_path: Path) -> None:
    digests = []
    for seed in (1, 1, 2):
        folder = tmp_path / str(len(digests))

        async def scenario(seed: int = seed, folder: Path = folder) -> dict[str, str]:
            lab, nodes, _ = load(EXAMPLE, folder, seed=seed)
            transcript = Transcript(asyncio.get_running_loop().time)
            async with rehearsal(lab, nodes, tap=transcript) as network:
                await network.lasts(2.0)
            return transcript.digests()

        digests.append(run_virtual(scenario()))
    assert digests[0] == digests[1]
    differ = {name for name in digests[0] if digests[0][name] != digests[2].get(name)}
    assert {"alice-memory port", "bob-tagger pty", "wire alice-bob"} <= differ


def test_a_partition_and_a_power_cycle_are_noticed_and_healed(tmp_path: Path) -> None:
    async def body(network: Rehearsal) -> None:
        await network.lasts(18.0)
        assert network.nodes["alice"].wire.peers["bob"].state == "up"
        assert network.bench.world.lasers["pump"].power_mw > 5.0

    run(
        tmp_path,
        body,
        faults=[
            fault("partition", "network.alice-bob", at_s=4.0, for_s=3.0),
            fault("power-cycle", "instruments.alice-pump", at_s=10.0, for_s=2.0),
        ],
    )
    peers = [
        (at, data["state"]) for at, data in told(tmp_path, "alice", "peer") if data["peer"] == "bob"
    ]
    assert [state for _, state in peers] == ["up", "lost", "up"]
    assert 4.0 < peers[1][0] < 6.0
    assert 7.0 < peers[2][0] < 8.0
    pump = [
        (at, data["state"])
        for at, data in told(tmp_path, "alice", "instrument")
        if data["name"] == "pump" and 10.0 <= at < 18.0
    ]
    assert pump[0][1] == "degraded"
    assert pump[0][0] < 11.0
    assert pump[-1][1] == "online"
    assert pump[-1][0] < 14.0


def test_a_stopped_node_leaves_the_laser_dark_and_comes_back(tmp_path: Path) -> None:
    async def body(network: Rehearsal) -> None:
        laser = network.bench.world.lasers["pump"]
        await network.lasts(3.0)
        assert laser.power_mw > 5.0
        await network.stop("alice")
        assert laser.power_mw == 0.0
        assert network.broker.retained["homie/5/alice/$state"] == b"disconnected"
        await asyncio.sleep(0.01)
        assert network.nodes["bob"].wire.peers["alice"].reason == "its connection was closed"
        first = network.nodes["alice"].wire.boot
        network.start("alice")
        await network.lasts(4.0)
        assert network.nodes["alice"].wire.boot != first
        assert network.nodes["bob"].wire.peers["alice"].state == "up"
        assert laser.power_mw > 5.0

    run(tmp_path, body)


def test_a_peer_that_floods_raises_an_alarm_and_is_served_again_afterwards(tmp_path: Path) -> None:
    async def body(network: Rehearsal) -> None:
        await network.lasts(3.0)
        alice, bob = network.nodes["alice"], network.nodes["bob"]
        for _ in range(150):
            bob.wire._carrier.send("alice", b"nonsense")  # what no node of ours would send
        await network.lasts(3.0)
        assert "held off for 10 s: again and again" in alice.bus.alarms["peer-bob"]
        assert bob.wire.peers["alice"].state == alice.wire.peers["bob"].state == "lost"
        assert alice.wire.peers["station"].state == "up"
        figures = alice.exported()["peer-bob"]()
        assert (figures["up"], figures["held_off"]) == (False, 1)
        assert figures["malformed"] < 150  # nothing of it was read any more
        await network.lasts(9.0)
        assert "peer-bob" not in alice.bus.alarms
        assert bob.wire.peers["alice"].state == alice.wire.peers["bob"].state == "up"
        assert alice.links["memory"].ready

    run(tmp_path, body)
    alarms = [(data["key"], data["text"]) for _, data in told(tmp_path, "alice", "alarm")]
    alarms = [text for key, text in alarms if key == "peer-bob"]
    assert len(alarms) == 3
    assert alarms[-1] == ""


def test_a_broker_that_restarts_is_told_all_again(tmp_path: Path) -> None:
    async def body(network: Rehearsal) -> None:
        await network.lasts(2.0)
        network.broker.stop()
        await network.lasts(2.0)
        assert not network.nodes["bob"].bus.connected
        assert not network.broker.retained
        network.broker.start()
        await network.lasts(6.0)
        assert network.broker.retained["homie/5/bob/$state"] == b"ready"
        assert network.broker.retained["homie/5/bob/instrument-tagger/state"] == b"online"

    run(tmp_path, body)


def test_what_is_not_in_the_lab_is_named(tmp_path: Path) -> None:
    for file in EXAMPLE.glob("*.toml"):
        text = file.read_text().replace("run/alice-tagger", "run/somewhere")
        (tmp_path / file.name).write_text(text)

    async def scenario() -> None:
        lab, nodes, _ = load(tmp_path, tmp_path / "out")
        async with rehearsal(lab, nodes):
            pass

    with pytest.raises(UserError) as caught:
        run_virtual(scenario())
    assert "instruments.tagger.resource" in str(caught.value)
    assert "run/somewhere" in str(caught.value)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "there is no lab"),
        ({"lab.toml": "[lab]\nseed = 1\n"}, "there is no node"),
    ],
)
def test_an_incomplete_folder_is_named(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words):
        load(tmp_path, tmp_path / "out")


def test_a_fault_of_a_network_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "faults.toml").write_text('[[faults]]\nkind = "loss"\nof = "network.alice-carol"\n')
    with pytest.raises(LabError, match="alice-carol"):
        load(EXAMPLE, tmp_path / "out", faults=tmp_path / "faults.toml")


def test_memory_addresses_are_refused_outside_of_a_rehearsal(tmp_path: Path) -> None:
    text = (EXAMPLE / "station.toml").read_text()
    text = text.replace("${BROKER_URL:-mqtt://127.0.0.1:7183}", "mem://bus")
    (tmp_path / "station.toml").write_text(text)
    config = load_node(tmp_path / "station.toml")

    async def scenario() -> None:
        Node(config)

    with pytest.raises(UserError, match="qnodeos rehearse"):
        run_virtual(scenario())
