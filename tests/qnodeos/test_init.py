"""`qnodeos init`: what it writes can be used, and nothing that exists is overwritten."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qnodeos import UserError, load_node
from qnodeos.checking import draft
from qnodeos.cli import app
from qnodeos.cli.finding_instruments import found_instruments, instrument_at
from qnodeos.config import MemoryLinkTable, MidpointTable, PhotonicLinkTable
from tests.instruments.bench import on_its_mount
from tests.instruments.case import collect

PEERS = ("--peer", "bob=2@tcp://10.0.0.2:7101", "--peer", "station=3@tcp://10.0.0.3:7101")
RACK = (
    "--instrument", "tagger=sfifteen.tdc1@serial:///dev/ttyACM0",
    "--instrument", "analyzer=thorlabs.ell14@serial:///dev/ttyUSB0",
    "--instrument", "pump=toptica.dlcpro@tcp://10.0.0.9:1998",
    "--instrument", "nv=qnodeos.device@tcp://10.0.0.8:7000",
)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))


def init(*words: str) -> str:
    done = CliRunner().invoke(app, ["init", *words])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_a_node_with_everything_is_understood(tmp_path: Path):
    links = ("--link", "photonic:bob", "--link", "kept=memory:bob:station")
    said = init("--name", "alice", *PEERS, *RACK, *links)
    assert "4 instruments, 2 peers, 2 links" in said
    assert "keys/bob.key  is missing: copy it here" in said
    config = load_node(tmp_path / "alice.toml")
    photonic, kept = config.links["photonic"], config.links["kept"]
    assert isinstance(photonic, PhotonicLinkTable)
    assert (photonic.tagger, photonic.analyzer, photonic.window_ps) == ("tagger", "analyzer", 6000)
    assert isinstance(kept, MemoryLinkTable)
    assert (kept.device, kept.station) == ("nv", "station")
    assert not config.instruments["pump"].arm  # emission is somebody's own decision
    assert (tmp_path / "keys" / "alice.key_secret").stat().st_mode & 0o077 == 0


def test_two_nodes_and_a_station_can_start_once_keys_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Three files made by three people agree: in one folder, so that the keys are there."""
    # The usual one may be that of a node beside the tests.
    monkeypatch.setattr(draft, "METRICS_PORT", 20_011)
    nodes = {"alice": "1@tcp://127.0.0.1:7301", "bob": "2@tcp://127.0.0.1:7302"}
    nodes["station"] = "3@tcp://127.0.0.1:7303"
    links = {"alice": "memory:bob:station", "bob": "memory:alice:station"}
    links["station"] = "midpoint:alice:bob"
    for name, place in nodes.items():
        peers = [f"--peer={n}={p}" for n, p in nodes.items() if n != name]
        number, listen = place.split("@")
        device = "--instrument=device=qnodeos.device@tcp://10.0.0.8:7000"
        init("--name", name, "--id", number, "--listen", listen, *peers, device,
             "--link", links[name])  # fmt: skip
    assert isinstance(load_node("station.toml").links["memory"], MidpointTable)
    done = CliRunner().invoke(app, ["check", *(f"{name}.toml" for name in nodes)])
    assert done.exit_code == 0, done.output
    assert "alice, bob, station agree" in done.output


def test_a_rack_keeps_its_data_elsewhere(tmp_path: Path):
    init("--name", "alice", "--data-dir", "/var/lib/qnodeos/alice")
    assert load_node("alice.toml").node.data_dir == Path("/var/lib/qnodeos/alice")


def test_nothing_is_overwritten_and_keys_are_kept(tmp_path: Path):
    init("--name", "alice")
    key = (tmp_path / "keys" / "alice.key").read_text()
    with pytest.raises(UserError, match="there already"):
        init("--name", "alice")
    init("other.toml", "--name", "alice")
    assert (tmp_path / "keys" / "alice.key").read_text() == key


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "has no name"),
        (("--name", "Alice"), "name cannot be used"),
        (("--name", "alice", "--peer", "bob"), "no other node"),
        (("--name", "alice", "--peer", "bob=1@tcp://h:1"), "two nodes have the same id"),
        (("--name", "alice", "--instrument", "x"), "no instrument"),
        (("--name", "alice", "--instrument", "x=acme.none@tcp://h:1"), "no such driver"),
        (("--name", "alice", "--link", "photonic"), "no link"),
        (("--name", "alice", "--link", "photonic:bob"), "not told"),
        (("--name", "alice", "--link", "photonic:bob", *PEERS), "needs a TimeTagger"),
    ],
)
def test_words_that_make_no_node_leave_nothing_behind(
    tmp_path: Path, words: tuple[str, ...], says: str
):
    with pytest.raises(UserError, match=says):
        init(*words)
    assert list(tmp_path.glob("*")) == []
    assert list(tmp_path.glob(".*")) == []


async def test_an_instrument_is_found_by_its_identity(tmp_path: Path):
    async with on_its_mount(collect()["pm100d"], tmp_path) as meter:
        resource = next(iter(meter.resources.values()))
        found, silent = await found_instruments(
            [resource.removeprefix("tcp://")], here=False, quiet=True
        )
        told = await instrument_at(resource, "meter", set())
    assert silent == []
    (one,) = found
    assert (one.name, one.driver, one.serial) == ("power_meter", "thorlabs.pm100d", "P0031415")
    assert (told.name, told.driver, told.emits) == ("meter", "thorlabs.pm100d", False)


def test_a_person_at_a_terminal_is_asked(tmp_path: Path):
    answers = (
        "alice", "", "", "",  # name, number, address, broker
        "n", "",  # nothing is looked for here, no hosts
        "nv=qnodeos.device@tcp://10.0.0.8:7000", "oops", "",
        "bob=2@tcp://10.0.0.2:7101", "station=3@tcp://10.0.0.3:7101", "",
        "memory:bob:station", "",
    )  # fmt: skip
    master, slave = pty.openpty()
    os.write(master, ("\n".join(answers) + "\n").encode())
    done = subprocess.run(
        [sys.executable, "-m", "qnodeos", "init"],
        stdin=slave, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    os.close(master)
    os.close(slave)
    assert done.returncode == 0, done.stderr
    assert "found 'oops'" in done.stderr
    config = load_node(tmp_path / "alice.toml")
    assert (config.node.id, list(config.links), list(config.instruments)) == (1, ["memory"], ["nv"])
