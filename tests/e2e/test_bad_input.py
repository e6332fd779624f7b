"""What a person sees who gives the real command something it cannot use: one message, status 2."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qnodeos.keys import new_keys

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "two_nodes"

Edit = Callable[[Path], None]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for file in EXAMPLE.glob("*.toml"):
        shutil.copy(file, tmp_path)
    for name in ("alice", "bob", "station"):
        new_keys(name, tmp_path / "keys")
    return tmp_path


def refused(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "qnodeos", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stderr


def replace(old: str, new: str) -> Edit:
    def edit(file: Path) -> None:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(
            replace('peer = "bob"\ntagger', 'peer = "bob"\ntager'),
            ["alice.toml", "links.photonic", "tager", "tagger"],
            id="misspelt entry",
        ),
        pytest.param(
            replace("window_ps = 6000", 'window_ps = "wide"'),
            ["alice.toml", "links.photonic.window_ps", "wide", "a time"],
            id="wrong type",
        ),
        pytest.param(
            replace('driver = "toptica.dlcpro"', 'driver = "toptica.dlcpr"'),
            ["instruments.pump.driver", "toptica.dlcpr", "toptica.dlcpro"],
            id="unknown driver",
        ),
        pytest.param(
            replace('resource = "tcp://${LAB_HOST:-127.0.0.1}:7198"', 'resource = "tpc://pump"'),
            ["instruments.pump.resource", "tpc://pump", "tcp://"],
            id="wrong resource",
        ),
        pytest.param(
            replace("options = { counts_port = 7113 }", "options = { count_port = 7113 }"),
            ["instruments.detectors", "count_port"],
            id="unknown option of a driver",
        ),
        pytest.param(
            replace('secret_key = "keys/alice.key_secret"', 'secret_key = "keys/none"'),
            ["keys/none", "qnodeos keys new none"],
            id="no key",
        ),
        pytest.param(replace("[bus]", "[bus"), ["alice.toml", "line"], id="not TOML"),
    ],
)
def test_a_wrong_configuration(site: Path, edit: Edit, words: list[str]):
    edit(site / "alice.toml")
    said = refused("run", str(site / "alice.toml"))
    for word in words:
        assert word in said, said


def test_a_missing_configuration(site: Path):
    assert "nobody.toml" in refused("run", str(site / "nobody.toml"))


def test_a_secret_key_that_others_can_read(site: Path):
    (site / "keys" / "alice.key_secret").chmod(0o644)
    said = refused("run", str(site / "alice.toml"))
    assert "alice.key_secret" in said
    assert "0644" in said
    assert "chmod 600" in said


def test_a_port_in_use(site: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        replace(
            'listen = "tcp://${LAB_HOST:-127.0.0.1}:7101"', f'listen = "tcp://127.0.0.1:{port}"'
        )(site / "alice.toml")
        said = refused("run", str(site / "alice.toml"))
    assert f"127.0.0.1:{port}" in said
    assert "in use" in said


def test_a_lab_whose_port_is_in_use(site: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        replace("port = 7198", f"port = {port}")(site / "lab.toml")
        said = refused("sim", str(site / "lab.toml"))
    assert str(port) in said
    assert "alice-pump" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kill", "carol"], ["carol", "alice or bob or station"]),
        (["--kill", "bob", "--kill-at", "39"], ["--kill-at 39"]),
        (["--example", "nowhere"], ["nowhere"]),
        (["--json", "nowhere/report.json"], ["nowhere/report.json"]),
        (["--seconds", "1"], ["--seconds"]),
    ],
)
def test_a_demo_that_cannot_be(arguments: list[str], words: list[str]):
    said = refused("demo", *arguments)
    for word in words:
        assert word in said, said
