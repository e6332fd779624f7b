"""Where a run of the demo keeps its things: a folder of its own, made anew, never overwritten."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from qnodeos.errors import UserError
from qnodeos.keys import new_keys
from qnodeos.shipped import shipped

NODES = ("alice", "bob", "station")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of one run, with everything a person may want to look at afterwards."""

    folder: Path

    @property
    def lab(self) -> Path:
        """The simulated lab's configuration."""
        return self.folder / "lab.toml"

    @property
    def truth(self) -> Path:
        """What really happened, by the simulator."""
        return self.folder / "data" / "truth.jsonl"

    def node(self, name: str) -> Path:
        """A node's configuration."""
        return self.folder / f"{name}.toml"

    def journal(self, name: str) -> Path:
        """A node's journal."""
        return self.folder / "data" / name / "journal.sqlite"

    def log(self, name: str) -> Path:
        """What a process printed."""
        return self.folder / "logs" / f"{name}.log"


def example_folder() -> Path:
    """The two-node example; raises UserError where there is none."""
    folder = shipped("examples/two_nodes")
    if not (folder / "lab.toml").is_file():
        raise UserError(
            "the two-node example is not here",
            where=str(folder),
            expected="a checkout or a wheel of qnodeos, which brings it along",
            do="give its folder with --example DIR",
        )
    return folder


def prepare(example: Path, output: Path | None, nodes: tuple[str, ...] = NODES) -> Layout:
    """Copy the example to a new folder and make the nodes' keys there."""
    if not example.is_dir():
        raise UserError("no such example", where=str(example), expected="a folder with lab.toml")
    missing = [name for name in ("lab", *nodes) if not (example / f"{name}.toml").is_file()]
    if missing:
        raise UserError(
            "this example is not complete",
            where=str(example),
            expected=", ".join(f"{name}.toml" for name in missing),
        )
    folder = fresh_folder(output, Path("demo-output"))
    try:
        (folder / "logs").mkdir(parents=True)
        for name in ("lab", *nodes):
            shutil.copyfile(example / f"{name}.toml", folder / f"{name}.toml")
        for name in nodes:
            new_keys(name, folder / "keys")
    except OSError as error:
        raise UserError(
            "the output folder cannot be written",
            where=str(folder),
            found=error.strerror or str(error),
            do="choose another one with --output DIR",
        ) from error
    return Layout(folder.resolve())


def fresh_folder(output: Path | None, parent: Path) -> Path:
    """A new or empty folder, by default the next run of `parent`; raises UserError."""
    folder = output or _next_folder(parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(
                "the output folder is not empty",
                where=str(folder),
                expected="a folder that is new or empty",
                do="choose another one with --output DIR",
            )
    except OSError as error:
        raise UserError(
            "the output folder cannot be written",
            where=str(folder),
            found=error.strerror or str(error),
            do="choose another one with --output DIR",
        ) from error
    return folder.resolve()


def _next_folder(parent: Path) -> Path:
    number = 1
    while (parent / f"run-{number:03d}").exists():
        number += 1
    return parent / f"run-{number:03d}"
