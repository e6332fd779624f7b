from pathlib import Path

import pytest

from sim_backends.lab import LabError, load_lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "lab.toml"


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The example with one thing changed."""
    text = EXAMPLE.read_text()
    assert old in text
    path = tmp_path / "lab.toml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_example_is_read_with_its_paths_beside_it() -> None:
    lab = load_lab(EXAMPLE)
    assert lab.lab.run_dir == EXAMPLE.parent / "run"
    assert lab.lab.truth == EXAMPLE.parent / "data" / "truth.jsonl"
    assert lab.taggers["bob"].inputs == {1: "bob.1", 2: "bob.2"}
    instrument = lab.instruments["station-midpoint"]
    assert (instrument.of_section, instrument.of_name) == ("midpoints", "station")


def test_environment_fills_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_HOST", raising=False)
    assert load_lab(EXAMPLE).lab.host == "127.0.0.1"
    monkeypatch.setenv("LAB_HOST", "192.0.2.7")
    assert load_lab(EXAMPLE).lab.host == "192.0.2.7"
    monkeypatch.delenv("NO_SUCH_HOST", raising=False)
    path = changed(tmp_path, "${LAB_HOST:-127.0.0.1}", "${NO_SUCH_HOST}")
    with pytest.raises(LabError, match=r"lab\.toml: lab\.host: .*NO_SUCH_HOST is not set"):
        load_lab(path)


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("efficiency = 0.80", "efficiency = 1.8", "detectors.alice.efficiency", "found 1.8"),
        ("efficiency = 0.80", "efficiency = nan", "detectors.alice.efficiency", "nan"),
        ("seed = 1935", "sede = 1", "lab.seed", "missing"),
        ("slope_mw_per_ma = 0.2", "slope = 0.2", "lasers.pump.slope_mw_per_ma", "missing"),
        ("length_km = 0.0", "length_km = 0.0\nlenght = 1", "channels.alice.lenght", "spelling"),
        ("t2_s = 0.5", "t2_s = 50.0", "memories.alice", "t2_s <= 2 * t1_s"),
        ("efficiency = { alice", "efficiency = { carol", "midpoints.station", "'carol'"),
        ('pump = "pump"', 'pump = "laser"', "sources.crystal.pump", "'laser'"),
        ('ends = ["alice", "bob"]', 'ends = ["alice", "eve"]', "sources.crystal.ends", "'eve'"),
        ('2 = "alice.2"', '2 = "alice.3"', "taggers.alice.inputs.2", "alice.1 to alice.2"),
        ('2 = "alice.2"', '2 = "carol.1"', "taggers.alice.inputs.2", "'carol'"),
        ('of = "lasers.pump", port = 7125', 'of = "lasers.x", port = 7125', ".of", "'x'"),
        ('of = "taggers.alice"', 'of = "lasers.pump"', "alice-tagger", "taggers.<name>"),
        ("port = 7112, counts_port", "counts_port", "alice-detectors", "port is missing"),
        ("port = 7125", "port = 7198", "alice-power.port", "alice-pump"),
        ("port = 7125", "port = 71250", "alice-power.port", "71250"),
        ('pty = "bob-tagger"', 'pty = "alice-tagger"', "bob-tagger.pty", "alice-tagger"),
        ('pty = "bob-tagger"', 'pty = "../bob"', "bob-tagger.pty", "'../bob'"),
        ('type = "pm100d"', 'type = "pm101"', "alice-power.type", "'pm101'"),
        ("channels = 2", "channels = 1", "detectors.alice.channels", "at least 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, where: str, says: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(LabError) as caught:
        load_lab(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert where in caught.value.where
    assert says in message
    assert "\n" not in message


def test_broken_and_missing_files(tmp_path: Path) -> None:
    path = changed(tmp_path, "[lasers.pump]", "[lasers.pump")
    with pytest.raises(LabError, match=r"not valid TOML: .*line 10"):
        load_lab(path)
    with pytest.raises(LabError, match=r"nowhere\.toml: cannot be read \(No such file"):
        load_lab(tmp_path / "nowhere.toml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LabError, match="not UTF-8"):
        load_lab(path)


def test_one_memory_may_be_an_end_of_several_midpoints(tmp_path: Path) -> None:
    second = """[midpoints.other]
ends = ["alice", "bob"]
attempt_period_us = 20.0
efficiency = { alice = 0.05, bob = 0.05 }
visibility = 0.92

[midpoints.station]"""
    path = changed(tmp_path, "[midpoints.station]", second)
    assert list(load_lab(path).midpoints) == ["other", "station"]
