"""Fenced blocks of a page that are marked to be run, by a comment on the line before.

`<!-- run -->` once; `<!-- run until it works -->` again and again, as it waits for something;
`<!-- in the background -->` beside what follows; `<!-- file: NAME -->` becomes a file.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

DOCS = Path(__file__).parents[2] / "docs"
LIMIT_S = 90.0
AGAIN_S = 1.0

_BLOCK = re.compile(
    r"^<!-- (run|run until it works|in the background|file: (\S+)) -->\n```\w+\n(.*?)^```",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """One block: how it is run, and its text."""

    how: str
    name: str
    text: str


def blocks(page: str) -> list[Block]:
    """The marked blocks of a page, in order."""
    found = _BLOCK.findall((DOCS / page).read_text())
    return [Block("file" if name else how, name, text) for how, name, text in found]


def run_page(page: str, folder: Path) -> str:
    """Do what the page says in this folder; all that it printed. Raises AssertionError."""
    environment = _environment(folder)
    printed, beside = "", []
    try:
        for block in blocks(page):
            if block.how == "file":
                (folder / block.name).write_text(block.text)
            elif block.how == "in the background":
                with (folder / f"background-{len(beside)}.log").open("wb") as log:
                    beside.append(_beside(block.text.strip(), folder, environment, log))
            else:
                again = block.how == "run until it works"
                printed += _ran(block.text, folder, environment, again)
    finally:
        for process in reversed(beside):
            process.send_signal(signal.SIGINT)
        try:
            for process in beside:
                process.wait(60)
        finally:
            for process in beside:
                process.kill()
    return printed


def _beside(
    text: str, folder: Path, environment: dict[str, str], log: BinaryIO
) -> subprocess.Popen[bytes]:
    command = ["bash", "-ec", f"exec {text}"]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def _ran(text: str, folder: Path, environment: dict[str, str], again: bool) -> str:
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        done = subprocess.run(
            ["bash", "-ec", text],
            cwd=folder, env=environment,
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout
        if not again or time.monotonic() > deadline_s:
            raise AssertionError(
                f"{text}\nended with {done.returncode}\n{done.stdout}{done.stderr}"
            )
        time.sleep(AGAIN_S)


def _environment(folder: Path) -> dict[str, str]:
    """`qnodeos` and `python` are those of this checkout."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name, arguments in (("qnodeos", "-m qnodeos "), ("python", "")):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(DOCS.parent),
        "XDG_RUNTIME_DIR": str(folder / "runtime"),
        "COLUMNS": "160",
    }
