"""What goes to a rack PC beside the program: units, rules, and the script that installs them."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from drivers.plugin import driver_names, load_driver
from qnodeos.shipped import shipped

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = sorted((PACKAGING / "systemd").glob("*.service"))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_finds_nothing_wrong_but_the_program_that_is_not_installed_yet(
    unit: Path, tmp_path: Path
) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    text = unit.read_text().replace("/opt/qnodeos/bin/qnodeos", "/bin/true")
    (tmp_path / unit.name).write_text(text)
    found = run("systemd-analyze", "verify", "--man=no", tmp_path / unit.name)
    assert [line for line in found.stderr.splitlines() if unit.stem.rstrip("@") in line] == []


def test_a_stopped_node_leaves_its_guard_alive() -> None:
    assert "KillMode=process" in (PACKAGING / "systemd" / "qnodeos@.service").read_text()


def test_rules_of_udev_are_whole_lines_of_matches_and_assignments() -> None:
    rules = [
        line
        for line in (PACKAGING / "udev" / "60-qnodeos.rules").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert rules
    part = re.compile(r'[A-Z]+(\{\w+\})?(==|!=|\+=|=)"[^"]*"')
    for rule in rules:
        parts = [text.strip() for text in re.split(r",\s*", rule)]
        assert all(part.fullmatch(text) for text in parts), rule
        kinds = {match[2] for text in parts if (match := part.fullmatch(text))}
        assert "==" in kinds, f"matches every device: {rule}"
        assert kinds - {"==", "!="}, f"does nothing: {rule}"


def test_a_wheel_takes_along_what_people_need_beside_the_program() -> None:
    files = tomllib.loads((PACKAGING.parent / "pyproject.toml").read_text())
    for place, patterns in files["tool"]["setuptools"]["data-files"].items():
        name = place.removeprefix("share/qnodeos/")
        for pattern in patterns:
            assert list(PACKAGING.parent.glob(pattern)), pattern
            assert pattern.startswith(f"{name}/")
        assert shipped(name) == PACKAGING.parent / name
    assert shipped("nothing/of/this").is_relative_to(sys.prefix)


def test_the_rules_know_every_usb_vendor_that_a_driver_names() -> None:
    hints = " ".join(load_driver(name).manifest.udev_hint for name in driver_names())
    named = set(re.findall(r'idVendor}=="(\w+)"', hints))
    assert named
    rules = (PACKAGING / "udev" / "60-qnodeos.rules").read_text()
    known = {
        each for group in re.findall(r'idVendor}=="([^"]+)"', rules) for each in group.split("|")
    }
    assert named <= known


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--colour"], "is not an option"),
        (["--wheel"], "needs a value"),
        (["--root", "{folder}", "--wheel", "{folder}/missing.whl"], "there is no wheel"),
    ],
)
def test_the_script_says_what_is_wrong_and_changes_nothing(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    given = [text.format(folder=tmp_path) for text in arguments]
    found = run("bash", PACKAGING / "install.sh", *given)
    assert found.returncode == 2
    assert says in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_removing_leaves_configuration_and_data(tmp_path: Path) -> None:
    kept = tmp_path / "etc/qnodeos/alice.toml"
    program = tmp_path / "opt/qnodeos/bin/qnodeos"
    for path in (kept, program):
        path.parent.mkdir(parents=True)
        path.touch()
    found = run("bash", PACKAGING / "install.sh", "--root", tmp_path, "--remove")
    assert found.returncode == 0, found.stderr
    assert kept.exists()
    assert not program.exists()
