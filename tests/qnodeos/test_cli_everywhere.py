"""What holds for every command: JSON for programs, completion for people, no colours in a pipe."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import typer.main
from typer.testing import CliRunner

from qnodeos.cli import app

WITHOUT = {
    "run", "broker", "dashboard", "sim serve", "instrument replay", "instrument record",
    "tags record", "tags play",  # they run
    "demo",  # writes its report to the file that --json names
    "config schema",  # is JSON
    "sim preset",  # writes files
    "keys new", "keys rotate", "keys accept", "keys revoke",  # they act on files
}  # fmt: skip


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")  # type: ignore[arg-type]
        else:
            yield prefix + name, command


ALL = dict(commands(typer.main.get_command(app)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(set(ALL) - WITHOUT))
def test_a_program_can_have_the_answer_as_json(name: str):
    options = {word for each in ALL[name].params for word in each.opts}
    assert "--json" in options, f"{name} has no --json; is it one that answers nothing?"


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_and_option_says_what_it_is_for(name: str):
    command = ALL[name]
    assert command.help
    for each in command.params:
        if not getattr(each, "hidden", False) and each.name != "help":
            assert getattr(each, "help", ""), f"{name}: {each.name}"


def test_words_are_completed_in_bash():
    called = "import sys; sys.argv = ['qnodeos']; from qnodeos.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", called],
        env={
            **os.environ,
            "_QNODEOS_COMPLETE": "complete_bash",
            "COMP_WORDS": "qnodeos instr",
            "COMP_CWORD": "1",
        },
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["instrument"]


def test_presets_as_json():
    done = CliRunner().invoke(app, ["sim", "presets", "--json"])
    rows = json.loads(done.stdout)
    assert len(rows) > 5
    assert all(each["preset"] and each["what"] for each in rows)
