import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnodeos import UserError, load_node
from qnodeos.config import MemoryLinkTable, MidpointTable, PhotonicLinkTable, schema

EXAMPLES = Path(__file__).parents[2] / "examples" / "two_nodes"
ALICE = (EXAMPLES / "alice.toml").read_text()


def write(folder: Path, text: str) -> Path:
    file = folder / "node.toml"
    file.write_text(text)
    return file


def changed(*replacements: tuple[str, str]) -> str:
    text = ALICE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def problem(folder: Path, text: str, environment: dict[str, str] | None = None) -> UserError:
    with pytest.raises(UserError) as caught:
        load_node(write(folder, text), environment=environment or {})
    assert str(folder / "node.toml") in caught.value.where
    assert len(str(caught.value).splitlines()) <= 4
    return caught.value


def line(text: str, start: str) -> str:
    number = next(n for n, row in enumerate(text.splitlines(), 1) if row.startswith(start))
    return f"line {number}:"


def test_the_examples_are_understood():
    alice = load_node(EXAMPLES / "alice.toml", environment={})
    assert (alice.node.name, alice.node.id) == ("alice", 1)
    assert alice.path == EXAMPLES / "alice.toml"
    assert alice.node.data_dir == EXAMPLES / "data/alice"
    assert alice.wire.secret_key == EXAMPLES / "keys/alice.key_secret"
    assert alice.wire.peers["bob"].public_key == EXAMPLES / "keys/bob.key"
    assert alice.instruments["tagger"].resource == f"serial://{EXAMPLES}/run/alice-tagger"
    assert alice.instruments["pump"].arm
    assert alice.instruments["pump"].settings == {"current_ma": 90.0, "emission": True}
    assert isinstance(alice.links["photonic"], PhotonicLinkTable)
    assert alice.links["photonic"].outcome_channels == (1, 2)
    assert isinstance(alice.links["memory"], MemoryLinkTable)
    assert alice.applications.teleport is not None
    assert alice.applications.teleport.role == "sender"
    bob = load_node(EXAMPLES / "bob.toml", environment={})
    assert bob.applications.teleport is not None
    assert bob.applications.teleport.role == "receiver"
    station = load_node(EXAMPLES / "station.toml", environment={})
    assert isinstance(station.links["memory"], MidpointTable)
    assert station.links["memory"].ends == ("alice", "bob")


def test_variables_are_filled_in_and_have_defaults():
    here = {"LAB_HOST": "10.0.0.5", "BROKER_URL": "mqtt://broker:1884"}
    alice = load_node(EXAMPLES / "alice.toml", environment=here)
    assert alice.wire.listen == "tcp://10.0.0.5:7101"
    assert alice.bus.url == "mqtt://broker:1884"
    assert load_node(EXAMPLES / "alice.toml", environment={}).bus.url == "mqtt://127.0.0.1:7183"


def test_a_missing_variable_is_named(tmp_path: Path):
    error = problem(tmp_path, changed(("${BROKER_URL:-mqtt://127.0.0.1:7183}", "${BROKER}")))
    assert "bus.url" in error.where
    assert "${BROKER}" in error.found
    assert "set BROKER" in error.do


@pytest.mark.parametrize("text", ["${", "${1}", "a ${unclosed"])
def test_a_broken_variable_is_told(tmp_path: Path, text: str):
    error = problem(tmp_path, changed(('"QM-A"', f'"{text}"')))
    assert "instruments.memory.serial" in error.where


def test_a_plain_dollar_brace_can_be_written(tmp_path: Path):
    config = load_node(write(tmp_path, changed(('"QM-A"', '"$${X}"'))), environment={})
    assert config.instruments["memory"].serial == "${X}"


@pytest.mark.parametrize(
    ("old", "new", "at", "where", "found", "expected", "do"),
    [
        ('resource = "tcp://${LAB_HOST:-127.0.0.1}:7198"', 'resorce = "x"', "resorce",
         "instruments.pump.resorce", "'resorce'", "resource", "did you mean 'resource'?"),
        ("[bus] ", "[buss] ", "[buss]", "buss", "'buss'", "bus", "did you mean 'bus'?"),
        ("[wire.peers.bob]\nid = 2", "[wire.peers.bob]\nid = '2'", "id = '2'",
         "wire.peers.bob.id", "string '2'", "integer", "correct"),
        ("id = 2", "id = 70000", "id = 70000", "wire.peers.bob.id", "70000", "65535", "correct"),
        ("id = 2", "id = 1", "[wire.peers.bob]", "wire.peers.bob.id", "the id of 'alice'",
         "an id of its own", "one id"),
        ('data_dir = "data/alice"', "", "[node]", "node.data_dir", "nothing", "data_dir",
         "add `data_dir = ...` under [node]"),
        ("arm = true", 'arm = "yes"', "arm =", "instruments.detectors.arm", "string 'yes'",
         "boolean", "correct"),
        ("tcp://${LAB_HOST:-127.0.0.1}:7198", "127.0.0.1:7198", 'resource = "127',
         "instruments.pump.resource", "127.0.0.1:7198", "tcp://HOST:PORT", "correct"),
        ("tcp://${LAB_HOST:-127.0.0.1}:7198", "tcp://127.0.0.1:99999", 'resource = "tcp://127',
         "instruments.pump.resource", "99999", "1 to 65535", "correct"),
        ("serial://run/alice-tagger", "serial://", 'resource = "serial://"',
         "instruments.tagger.resource", "names no port", "serial://PATH", "correct"),
        ("tcp://${LAB_HOST:-127.0.0.1}:7101", "tcp://127.0.0.1", "listen", "wire.listen",
         "tcp://127.0.0.1", "port", "correct"),
        ("${BROKER_URL:-mqtt://127.0.0.1:7183}", "http://x", "url", "bus.url", "http://x",
         "mqtt://", "correct"),
        ("tcp://${LAB_HOST:-127.0.0.1}:7102", "tcp://rack..lab:7102",
         'address = "tcp://rack',
         "wire.peers.bob.address", "'rack..lab'", "name of a host", "correct"),
        ('"toptica.dlcpro"', '"toptica.dlc"', 'driver = "toptica', "instruments.pump.driver",
         "'toptica.dlc'", "toptica.dlcpro", "did you mean 'toptica.dlcpro'?"),
        ('"toptica.dlcpro"', '"zzz"', 'driver = "zzz"', "instruments.pump.driver", "'zzz'",
         "toptica.dlcpro", "install the package"),
        ('analyzer = "analyzer"', 'analyzer = "analyser"', "analyzer =", "links.photonic.analyzer",
         "'analyser'", "analyzer", "did you mean 'analyzer'?"),
        ('peer = "bob"', 'peer = "carol"', "peer =", "links.photonic.peer", "'carol'",
         "bob, station", "[wire.peers.carol]"),
        ('station = "station"', 'station = "bob"', "station =", "links.memory.station",
         "'bob' for both", "heralds", "correct"),
        ('kind = "memory"', 'kind = "memroy"', 'kind = "memroy"', "links.memory.kind", "'memroy'",
         "photonic, memory, midpoint", "did you mean 'memory'?"),
        ("outcome_channels = [1, 2]", "outcome_channels = [1, 1]", "outcome_channels",
         "links.photonic.outcome_channels", "[1, 1]", "two different channels", "correct"),
        ("outcome_channels = [1, 2]", "outcome_channels = [1, 300]", "outcome_channels",
         "links.photonic.outcome_channels[1]", "300", "255", "correct"),
        ("PHI_PLUS", "PHI", "bell_state", "links.photonic.bell_state", "'PHI'", "PHI_PLUS",
         "correct"),
        ("test_fraction = 0.5", "test_fraction = 1.5", "test_fraction",
         "links.photonic.test_fraction", "1.5", "less than or equal to 1", "correct"),
        ("[applications.teleport]", "[applications.teleprot]", "[applications.teleprot]",
         "applications.teleprot", "'teleprot'", "teleport", "did you mean 'teleport'?"),
        ('role = "sender"\nlink = "memory"', 'role = "sender"\nlink = "photonic"',
         'link = "photonic"', "applications.teleport.link", "a photonic link", "memory", "correct"),
        ('role = "sender"\nlink = "memory"', 'role = "sender"\nlink = "memori"', 'link = "memori"',
         "applications.teleport.link", "'memori'", "memory", "did you mean 'memory'?"),
        ('role = "sender"', 'role = "receiver"', "pairs_per_request",
         "applications.teleport.pairs_per_request", "a value", "none", "correct"),
        ("pairs_per_request = 20\n", "", "[applications.teleport]",
         "applications.teleport.pairs_per_request", "nothing", "a value", "correct"),
        ('name = "alice"', 'name = "Alice!"', "name", "node.name", "Alice!", "small letter",
         "change"),
        ("[instruments.pump]", "[instruments.'the pump']", "[instruments.'the pump']",
         "instruments.the pump", "'the pump'", "small letter", "rename"),
        ("[wire.peers.bob]", "[wire.peers.alice]", "[wire.peers.alice]", "wire.peers.alice",
         "'alice'", "another node", "node.name"),
        ('"keys/alice.key_secret"', '""', "secret_key", "wire.secret_key", "empty path", "path",
         "correct"),
    ],
)  # fmt: skip
def test_a_wrong_entry_gives_one_message(
    tmp_path: Path, old: str, new: str, at: str, where: str, found: str, expected: str, do: str
):
    text = changed((old, new))
    error = problem(tmp_path, text)
    assert f": {where}" in error.where
    assert line(text, at) in error.where or "[wire.peers.bob]" in at
    assert found in error.found
    assert expected in error.expected
    assert do in error.do


def test_several_mistakes_are_one_message_with_the_first_in_the_file(tmp_path: Path):
    error = problem(
        tmp_path, changed(("id = 1", "id = -1"), ("window_ps = 6000", "window_ps = 'wide'"))
    )
    assert "node.id" in error.where
    assert "1 more wrong entry: links.photonic.window_ps (line " in error.do


def test_a_password_is_not_shown(tmp_path: Path):
    error = problem(
        tmp_path, changed(("${BROKER_URL:-mqtt://127.0.0.1:7183}", "mqt://me:hunter2@broker"))
    )
    assert "hunter2" not in str(error)


def test_not_toml_is_told_with_the_line(tmp_path: Path):
    error = problem(tmp_path, changed(('name = "alice"', "name = alice")))
    assert "line 4" in error.found


def test_the_file_of_a_lab_is_recognised(tmp_path: Path):
    error = problem(tmp_path, (EXAMPLES / "lab.toml").read_text())
    assert "qnodeos sim" in error.do


@pytest.mark.parametrize("text", ["", "# nothing\n", "node = 3\n"])
def test_an_empty_or_flat_file_lacks_its_tables(tmp_path: Path, text: str):
    assert "node" in problem(tmp_path, text).where


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(UserError, match="no such configuration file"):
        load_node(tmp_path / "absent.toml")
    with pytest.raises(UserError, match="is a directory"):
        load_node(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\x00\xff\xfe")
    with pytest.raises(UserError, match="not a text file") as caught:
        load_node(binary)
    assert "0xff at offset 1" in caught.value.found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path):
    file = write(tmp_path, ALICE)
    file.chmod(0)
    with pytest.raises(UserError, match="cannot be read"):
        load_node(file)


def test_visa_strings_and_absolute_ports_stay_as_they_are(tmp_path: Path):
    text = changed(
        ("serial://run/alice-tagger", "ASRL/dev/ttyUSB0::INSTR"),
        ("serial://run/alice-analyzer", "serial:///dev/ttyUSB1?baud=9600"),
        ("tcp://${LAB_HOST:-127.0.0.1}:7125", "TCPIP::10.0.0.3::5025::SOCKET"),
    )
    config = load_node(write(tmp_path, text), environment={})
    assert config.instruments["tagger"].resource == "ASRL/dev/ttyUSB0::INSTR"
    assert config.instruments["analyzer"].resource == "serial:///dev/ttyUSB1?baud=9600"
    assert config.instruments["power_meter"].resource == "TCPIP::10.0.0.3::5025::SOCKET"


SECOND = """
[links.second]
kind = "midpoint"
ends = ["bob", "station"]
device = "memory"
[links.second.hom]
tagger = "tagger"
port_a = [1]
port_b = [2]
window_ps = "1 ns"
apart_ps = "10 ns"
"""


def test_a_tagger_has_one_reader(tmp_path: Path):
    """The drivers refuse a second stream, so one of the two would never see a tag."""
    error = problem(tmp_path, ALICE + SECOND)
    assert "links.second.hom.tagger" in error.where
    assert "'tagger', which links.photonic.tagger has" in error.found
    other = SECOND.replace('tagger = "tagger"', 'tagger = "another"')
    more = '[instruments.another]\ndriver = "sfifteen.tdc1"\nresource = "serial://run/b"\n'
    load_node(write(tmp_path, ALICE + other + more), environment={})


def test_the_schema_describes_every_table():
    text = json.dumps(schema())
    for word in (
        "outcome_channels",
        "minimum_useful_fidelity",
        "public_key",
        "additionalProperties",
    ):
        assert word in text


@given(st.text(max_size=200))
def test_no_text_gives_anything_but_a_config_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
):
    file = tmp_path_factory.getbasetemp() / "fuzz.toml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UserError):
        load_node(file, environment={})


@given(st.integers(0, len(ALICE) - 1), st.sampled_from(["", "=", "[", '"', "\n", "x", "-9", "${"]))
def test_a_damaged_file_is_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, at: int, what: str
):
    file = tmp_path_factory.getbasetemp() / "damaged.toml"
    file.write_text(ALICE[:at] + what + ALICE[at + 1 :])
    with contextlib.suppress(UserError):
        assert load_node(file, environment={}).path == file


def test_the_commands(tmp_path: Path):
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qnodeos", "config", *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    bad = command("check", str(write(tmp_path, changed(("id = 2", "id = true")))))
    assert bad.returncode == 2
    assert "wire.peers.bob.id: this value cannot be used" in bad.stdout
    assert bad.stderr == ""
    assert json.loads(command("schema").stdout)["title"] == "qnodeos node configuration"
