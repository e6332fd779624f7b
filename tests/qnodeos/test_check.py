"""`qnodeos check`: a node's file explained, and what stands in the way of starting it."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qnodeos.cli import app
from qnodeos.config import NodeConfig
from qnodeos.keys import new_keys

EXAMPLES = Path(__file__).parents[2] / "examples" / "two_nodes"
NAMES = ("alice", "bob", "station")

Edit = Callable[[str], str]


def folder(at: Path, **edits: Edit) -> Path:
    """The example's files with fresh keys; `edits` change the text of a node's file."""
    for name in NAMES:
        text = (EXAMPLES / f"{name}.toml").read_text()
        (at / f"{name}.toml").write_text(edits.get(name, str)(text))
        new_keys(name, at / "keys")
    return at


def swap(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return edit


def check(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def findings(*words: object) -> tuple[int, list[dict[str, str]]]:
    status, output = check("--json", *words)
    document: dict[str, Any] = json.loads(output)
    mine = [each for file in document["files"] for each in file.get("findings", [])]
    return status, mine + document["together"]


def wrong(found: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(each["what"], each["found"]) for each in found if each["state"] == "wrong"]


def test_a_node_that_can_start_is_explained(tmp_path: Path):
    status, output = check(folder(tmp_path) / "alice.toml")
    assert status == 0
    assert "node alice, can start" in output
    for said in (
        "[links.photonic]\n",
        "Tags within 6 ns are a coincidence",
        "current_ma = 90 mA",
        "gives open requests 5 s to end",
        "This end leads.",
        "heralded by station",
    ):
        assert said in output
    assert "\x1b" not in output  # no colours where there is no terminal


def test_every_table_of_a_file_is_explained(tmp_path: Path):
    more = """
[metrics]
listen = "tcp://127.0.0.1:7998"
[journal]
keep_days = 30.0
[record]
keep_gb = 100.0
[processes]
listen = "tcp://127.0.0.1:7999"
[interlocks.power]
when = "power_mw > 12.0"
of = "power_meter"
makes_safe = ["pump"]
[links.memory.targets]
fidelity = 0.9
[links.memory.verify]
[links.memory.schedule]
period_ms = "20 ms"
length_ms = "5 ms"
"""
    file = folder(tmp_path, alice=lambda text: text + more) / "alice.toml"
    _, output = check("--elsewhere", file)
    named = {f"[{each}]" for each in ("node", "wire", "bus", *NodeConfig.model_fields) if each
             not in ("instruments", "interlocks", "links", "applications")}  # fmt: skip
    named |= {"[wire.peers.bob]", "[instruments.pump]", "[interlocks.power]", "[links.memory]"}
    assert {table for table in named if output.count(f"  {table}\n") != 1} == set()
    for said in (
        "Promised: fidelity = 0.9.",
        "It attempts only for 5 ms of each 20 ms, 0 ms after its begin.",
        "The oldest go beyond 100 GB.",
        "everything else for 30.",
        "While power_meter reads power_mw > 12.0, or reads nothing, pump is held safe",
    ):
        assert said in output


def test_keys_that_are_not_there_are_wrong_unless_the_node_is_for_elsewhere(tmp_path: Path):
    file = folder(tmp_path) / "alice.toml"
    (tmp_path / "keys" / "bob.key").unlink()
    status, found = findings(file)
    assert status == 1
    assert [where for where, _ in wrong(found)] == ["wire.peers.bob.public_key"]
    assert findings("--elsewhere", file)[0] == 0


def test_a_key_copied_to_the_wrong_place_is_told(tmp_path: Path):
    file = folder(tmp_path) / "alice.toml"
    (tmp_path / "keys" / "bob.key").write_text((tmp_path / "keys" / "station.key").read_text())
    status, found = findings(file)
    assert status == 1
    assert "is bob's key" in wrong(found)[0][1]


def test_a_port_that_somebody_has_is_told(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        edit = swap("}:7101", f"}}:{port}")
        status, found = findings(folder(tmp_path, alice=edit) / "alice.toml")
    assert status == 1
    ((where, what),) = wrong(found)
    assert where == "wire.listen"
    assert str(port) in what


def test_an_address_of_another_machine_cannot_be_listened_at(tmp_path: Path):
    edit = swap("${LAB_HOST:-127.0.0.1}:7101", "192.0.2.1:7101")
    _, found = findings(folder(tmp_path, alice=edit) / "alice.toml")
    assert [where for where, _ in wrong(found)] == ["wire.listen"]


def test_two_services_on_one_port_are_told(tmp_path: Path):
    metrics = '[metrics]\nlisten = "tcp://127.0.0.1:7101"\n\n[bus]'
    _, found = findings(folder(tmp_path, alice=swap("[bus]", metrics)) / "alice.toml")
    assert wrong(found) == [("metrics.listen", "tcp://127.0.0.1:7101, the port of wire.listen")]


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ('tagger = "tagger"', 'tagger = "pump"', "links.photonic.tagger", "a TimeTagger is needed"),
        ('device = "memory"', 'device = "pump"', "links.memory.device", "QuantumDevice is needed"),
        ("{ counts_port = 7113 }", "{ port = 3 }", "instruments.detectors", "port"),
        ('resource = "tcp://${LAB_HOST:-127.0.0.1}:7198"', 'resource = "serial:///dev/ttyS0"',
         "instruments.pump", "works on tcp"),
    ],
)  # fmt: skip
def test_what_the_node_would_refuse_is_told_before(
    tmp_path: Path, old: str, new: str, where: str, what: str
):
    status, found = findings("--elsewhere", folder(tmp_path, alice=swap(old, new)) / "alice.toml")
    assert status == 1
    assert any(where == w and what in text for w, text in wrong(found)), found


def test_a_laser_that_nothing_arms_is_worth_a_note(tmp_path: Path):
    edit = swap("arm = true                       #", "#")
    status, found = findings(folder(tmp_path, alice=edit) / "alice.toml")
    assert status == 0
    assert any(
        each["what"] == "instruments.pump" and "safe state" in each["found"] for each in found
    )


def test_all_that_is_wrong_with_a_file_is_told_at_once(tmp_path: Path):
    def edit(text: str) -> str:
        return text.replace("id = 1", "id = -1").replace("window_ps = 6000", "window_ps = 'wide'")

    file = folder(tmp_path, alice=edit) / "alice.toml"
    status, output = check(file)
    assert status == 2
    assert "refused, 2 entries to mend" in output
    assert "line 5, node.id" in output
    assert "links.photonic.window_ps" in output
    status, output = check("--json", file)
    assert status == 2
    (told,) = json.loads(output)["files"]
    assert [each["entry"] for each in told["refused"]] == ["node.id", "links.photonic.window_ps"]


def test_the_files_of_a_network_agree(tmp_path: Path):
    at = folder(tmp_path)
    status, output = check("-q", *(at / f"{name}.toml" for name in NAMES))
    assert status == 0
    assert "together: alice, bob, station agree" in output


@pytest.mark.parametrize(
    ("name", "old", "new", "state", "where"),
    [
        ("bob", "[wire.peers.alice]\nid = 1", "[wire.peers.alice]\nid = 7", "wrong",
         "bob: wire.peers.alice.id"),
        ("bob", "}:7101", "}:7999", "note", "bob: wire.peers.alice.address"),
        ("bob", "keys/alice.key", "keys/station.key", "wrong", "bob: wire.peers.alice.public_key"),
        ("bob", "window_ps = 6000", "window_ps = '8 ns'", "note",
         "alice: links.photonic.window_ps"),
        ("bob", "minimum_useful_fidelity", "bright_state = {}\nminimum_useful_fidelity", "wrong",
         "alice: links.memory.bright_state"),
        ("bob", "[links.photonic] ", "[links.light] ", "wrong", "alice: links.photonic"),
        ("station", "[links.memory]", "[links.middle]", "wrong", "alice: links.memory.station"),
        ("bob", 'role = "receiver"\nlink = "photonic"', 'link = "photonic"\npairs_per_request = 1'
         "\nfidelity = 0.9", "wrong", "bob: applications.correlations"),
        ("bob", 'name = "bob"\nid = 2', 'name = "bob"\nid = 9', "wrong",
         "alice: wire.peers.bob.id"),
        ("bob", "${BROKER_URL:-mqtt://127.0.0.1:7183}", "mqtt://elsewhere", "note", "bus.url"),
    ],
)  # fmt: skip
def test_files_that_contradict_each_other_are_told(
    tmp_path: Path, name: str, old: str, new: str, state: str, where: str
):
    edits = {name: swap(old, new)}
    if new.startswith("[links.light]"):
        edits["bob"] = lambda text: text.replace(old, new).replace(
            'link = "photonic"', 'link = "light"'
        )
    at = folder(tmp_path, **edits)
    status, found = findings("--elsewhere", *(at / f"{each}.toml" for each in NAMES))
    assert any((each["state"], each["what"]) == (state, where) for each in found), found
    assert status == bool(wrong(found))


def test_nodes_of_one_computer_have_ports_for_figures_of_their_own(tmp_path: Path):
    same = '\n[metrics]\nlisten = "tcp://127.0.0.1:9464"\n'
    edits = {each: lambda text: text + same for each in ("alice", "bob")}
    at = folder(tmp_path, **edits)
    files = [at / f"{each}.toml" for each in NAMES]
    _, found = findings("--elsewhere", *files)
    assert [what for what, _ in wrong(found)] == ["metrics.listen"]
    for file in files[:2]:  # each on a rack of its own
        near, far = 'address = "tcp://${LAB_HOST:-127.0.0.1}', 'address = "tcp://192.0.2.9'
        file.write_text(file.read_text().replace(near, far))
    _, found = findings("--elsewhere", *files)
    assert "metrics.listen" not in [what for what, _ in wrong(found)]


def test_peers_and_broker_are_reached_when_that_is_asked(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as there, socket.create_server(("", 0)) as gone:
        port, closed = there.getsockname()[1], gone.getsockname()[1]
        gone.close()

        def edit(text: str) -> str:
            return text.replace("}:7102", f"}}:{port}").replace("}:7103", f"}}:{closed}")

        _, found = findings("--reach", folder(tmp_path, alice=edit) / "alice.toml")
    told = {each["what"]: each["state"] for each in found}
    assert told["wire.peers.bob"] == "ok"
    assert told["wire.peers.station"] == "note"
