"""`qnodeos sim presets` and `sim preset`: files that the lab and the nodes take."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnodeos.cli import app
from qnodeos.config import load_node
from qnodeos.errors import UserError
from qnodeos.keys import new_keys
from sim_backends.fast import mean_fidelity
from sim_backends.heralding import HeraldOdds
from sim_backends.lab import load_lab
from sim_backends.preset_files import load_preset, preset_names
from sim_backends.preset_lab import CannotBuild, preset_files
from sim_backends.preset_run import fast_link
from sim_backends.toml_text import toml_text
from sim_backends.truth import TruthLog
from sim_backends.world import World


def command(*arguments: str) -> None:
    app(["sim", *arguments], standalone_mode=False)


def test_the_list_names_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    command("presets")
    printed = capsys.readouterr().out
    for name in preset_names():
        assert name in printed
    assert printed.count("(data only)") == 5


@pytest.mark.parametrize("name", [n for n in preset_names() if load_preset(n).kind != "data"])
def test_lab_and_nodes_of_a_preset_load(name: str, tmp_path: Path) -> None:
    command("preset", name, "--out", str(tmp_path / "lab"))
    folder = tmp_path / "lab"
    lab = load_lab(folder / "lab.toml")
    World(lab, now_s=lambda: 0.0, truth=TruthLog(None))
    nodes = sorted(path.stem for path in folder.glob("*.toml") if path.stem != "lab")
    for node in nodes:
        new_keys(node, folder / "keys")
    for node in nodes:
        assert load_node(folder / f"{node}.toml").node.name == node
    assert nodes == (["alice", "bob"] if lab.sources else ["alice", "bob", "station"])


@pytest.mark.parametrize(
    ("name", "point"),
    [
        (name, point.name)
        for name in preset_names()
        for point in load_preset(name).points
        if load_preset(name).kind in ("double_click", "single_click", "rate_input")
        and not point.name.startswith("swapped")
    ],
)
def test_the_lab_has_the_rate_and_fidelity_of_the_fast_path(
    name: str, point: str, tmp_path: Path
) -> None:
    command("preset", name, "--out", str(tmp_path), "--point", point)
    midpoint = load_lab(tmp_path / "lab.toml").midpoints["station"]
    odds = HeraldOdds.of(midpoint)
    preset = load_preset(name)
    link = fast_link(preset, next(item for item in preset.points if item.name == point))
    rate_hz = odds.total / (midpoint.attempt_period_us * 1e-6)
    assert rate_hz == pytest.approx(link.odds.total / link.period_s, rel=1e-3)
    assert odds.fidelity == pytest.approx(mean_fidelity(link), abs=2e-3)


def test_nothing_is_overwritten_and_mistakes_are_told(tmp_path: Path) -> None:
    command("preset", "sr_2m_stephenson2020", "--out", str(tmp_path))
    with pytest.raises(UserError, match="the files are there already"):
        command("preset", "sr_2m_stephenson2020", "--out", str(tmp_path))
    with pytest.raises(UserError, match="no preset 'sr_3m'"):
        command("preset", "sr_3m", "--out", str(tmp_path))
    with pytest.raises(UserError, match=r"no point '7 km'[\s\S]*'6 km', '11 km'"):
        command("preset", "rb_33km_vanleent2022", "--point", "7 km", "--out", str(tmp_path))
    with pytest.raises(UserError, match="no lab can be made"):
        command("preset", "ieqnet", "--out", str(tmp_path))
    swapped = load_preset("nv_3node_pompili2021")
    with pytest.raises(CannotBuild, match="no rate at its point"):
        preset_files(swapped, swapped.points[2])


def test_a_lab_file_is_still_served_without_the_word(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the lab file cannot be used"):
        command(str(tmp_path / "none.toml"))
    with pytest.raises(UserError, match="the lab file cannot be used"):
        command("--quiet", str(tmp_path / "none.toml"))


keys = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8
)
plain = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12),
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_written_toml_reads_back(tables: dict[str, Any]) -> None:
    read = tomllib.loads(toml_text(tables, "of a test\n\nwith two lines"))
    assert without_empty(read) == without_empty(tables)


def without_empty(value: Any) -> Any:
    """A table that holds nothing needs no header."""
    if isinstance(value, dict):
        inside = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in inside.items() if item != {}}
    return value
