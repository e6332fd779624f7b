"""The nightly run of the link machine: it counts seeds, and a broken promise is a target missed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import egp
from benchmarks.__main__ import main


def test_so_many_seeds_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QNODEOS_EGP_FIRST", "50")
    monkeypatch.setattr(egp, "CHUNK", 2)
    monkeypatch.setenv("QNODEOS_EGP_SEEDS", "1")  # and put back as it was
    assert main(["egp", "--seeds", "3", "--json", str(tmp_path / "out.json")]) == 0
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["value"] for row in rows[:2]] == [3, 0]
    assert "3 of 3 seeds" in capsys.readouterr().err


def test_a_broken_promise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.link_layer import test_egp_property

    def broken(seed: int) -> None:
        if seed == 7:
            raise AssertionError("a pair is delivered twice")

    monkeypatch.setattr(test_egp_property, "one_run", broken)
    assert egp._broken((5, 9)) == ["seed 7: AssertionError: a pair is delivered twice"]


@pytest.mark.parametrize("asked", [["egp", "--seeds", "0"], ["sim", "--seeds", "5"]])
def test_seeds_of_nonsense_are_refused(asked: list[str]) -> None:
    assert main(asked) == 2


def test_it_runs_outside_of_pytest_too() -> None:
    """Where another package may be called `tests`."""
    command = [sys.executable, "-m", "benchmarks", "egp", "--seeds", "1"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stderr
