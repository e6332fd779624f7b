"""A package of one's own: what `qnodeos instrument new` writes works, installed, as it is."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from qnodeos.cli.instrument.new import rendered
from qnodeos.errors import UserError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugin"


def python(*arguments: str, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (*paths, ROOT)))
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=paths[0] if paths else ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_the_example_is_what_the_command_writes() -> None:
    there = {
        str(path.relative_to(EXAMPLE)): path.read_text()
        for path in EXAMPLE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }
    assert there == rendered("acme.dimmer")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new package, made by the command and installed by pip."""
    try:
        if int(version("setuptools").partition(".")[0]) < 77:
            raise PackageNotFoundError
    except PackageNotFoundError:
        pytest.skip("setuptools 77 is not installed; it is part of the extra `test`")
    made = tmp_path_factory.mktemp("made") / "package"
    new = python("-m", "qnodeos", "instrument", "new", "acme.dimmer", "--folder", str(made))
    assert new.returncode == 0, new.stderr
    place = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--target", str(place))
    pip = python("-m", "pip", "install", "--quiet", *options, str(made))
    assert pip.returncode == 0, pip.stderr
    return place


def test_an_installed_package_is_found_and_its_manifest_shown(installed: Path) -> None:
    listed = python("-m", "qnodeos", "instrument", "list", "--json", paths=(installed,))
    assert "acme.dimmer" in [each["driver"] for each in json.loads(listed.stdout)]
    shown = python(
        "-m", "qnodeos", "instrument", "show", "acme.dimmer", "--json", paths=(installed,)
    )
    assert json.loads(shown.stdout)["kind"] == "Attenuator"


def test_its_own_tests_pass_on_what_is_installed(installed: Path) -> None:
    run = python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
        str(EXAMPLE / "tests"),
        paths=(installed,),
    )
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout


def test_a_driver_that_breaks_the_contract_does_not_pass(installed: Path, tmp_path: Path) -> None:
    package = tmp_path / "qnodeos_acme_dimmer"
    package.mkdir()
    checked = 'in_range("attenuation_db", attenuation_db, 0.0, self._highest_db, "dB", about)'
    for name in ("__init__.py", "driver.py", "twin.py"):
        text = (installed / package.name / name).read_text()
        assert (checked in text) == (name == "driver.py")
        (package / name).write_text(text.replace(checked, "attenuation_db"))
    run = python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"),
        *("-k", "in_memory and refused"),
        str(EXAMPLE / "tests"),
        paths=(tmp_path,),
    )
    assert run.returncode == 1, run.stdout
    assert "expected Refused" in run.stdout


@pytest.mark.parametrize("name", ["dimmer", "Acme.dimmer", "acme.2x2", "../x.y", "acme."])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="no name for a driver"):
        rendered(name)
