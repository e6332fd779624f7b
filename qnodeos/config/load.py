"""Reads a node's file and either understands all of it or says what is wrong, in one message."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from drivers.plugin import driver_names
from qnodeos.config.environment import Where, substituted
from qnodeos.config.lines import line_of
from qnodeos.config.models import NodeConfig
from qnodeos.config.problems import Problem, problems_of
from qnodeos.config.references import reference_problems
from qnodeos.config.units import with_units
from qnodeos.errors import UserError


@dataclass(frozen=True, slots=True)
class Placed:
    """A problem and where it is in the file: `line` from 1, 0 where it is not known."""

    line: int
    entry: str
    problem: Problem


class ConfigError(UserError):
    """A node's file that cannot be used; `problems` has all of it, in the order of the file.

    As text it is the first problem, and how many more there are.
    """

    def __init__(self, file: Path, text: str, problems: Sequence[Problem]):
        self.file = file
        self.problems = sorted(
            (Placed(line_of(text, p.where) or 0, _dotted(p.where), p) for p in problems),
            key=lambda placed: placed.line,
        )
        first, *rest = self.problems
        do = first.problem.do
        if rest:
            named = ", ".join(f"{p.entry}{f' (line {p.line})' if p.line else ''}" for p in rest[:4])
            do += f" ({len(rest)} more wrong {'entry' if len(rest) == 1 else 'entries'}: {named}"
            do += ", ...)" if len(rest) > 4 else ")"
        super().__init__(
            first.problem.what,
            where=f"{file}{f', line {first.line}' if first.line else ''}: {first.entry}",
            found=first.problem.found,
            expected=first.problem.expected,
            do=do.strip(),
        )


def load_node(path: str | Path, *, environment: Mapping[str, str] | None = None) -> NodeConfig:
    """The configuration in this file, with absolute paths; raises UserError, which is a ConfigError
    where it is about entries.

    `environment` fills in `${NAME}`; without it that of the process.
    """
    file = Path(path).expanduser().absolute()
    text = read_text(file)
    raw = parse(text, file)
    if "lab" in raw and "node" not in raw:
        raise UserError(
            "this is the file of a simulated lab, not of a node",
            where=str(file),
            found="a table [lab]",
            expected="a table [node]",
            do=f"serve the lab with `qnodeos sim {path}`, or give a node's file",
        )
    problems: list[Problem] = []

    def unfilled(where: Where, found: str, do: str) -> None:
        problems.append(
            Problem(where, "a variable cannot be filled in", found, "a variable that is set", do)
        )

    filled = substituted(raw, os.environ if environment is None else environment, unfilled)
    if problems:
        raise ConfigError(file, text, problems)
    try:
        config = NodeConfig.model_validate(filled, context={"folder": file.parent})
    except ValidationError as error:
        raise ConfigError(file, text, problems_of(error, filled)) from None
    if problems := reference_problems(config, driver_names()):
        raise ConfigError(file, text, problems)
    config._path = file
    return config


def schema() -> dict[str, Any]:
    """The JSON schema of a node's file, for editors and other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **with_units(NodeConfig.model_json_schema()),
        "title": "qnodeos node configuration",
    }


def read_text(file: Path) -> str:
    """The text of a configuration file; raises UserError where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            "there is no such configuration file",
            where=str(file),
            expected="a TOML file such as examples/two_nodes/alice.toml",
            do="check the path",
        ) from None
    except IsADirectoryError:
        inside = sorted(p.name for p in file.glob("*.toml"))
        raise UserError(
            "the configuration is a directory",
            where=str(file),
            found=f"a directory with {', '.join(inside[:5])}" if inside else "a directory",
            expected="a TOML file",
            do="name the file in it",
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(
            "the configuration is not a text file",
            where=str(file),
            found=f"byte 0x{error.object[error.start]:02x} at offset {error.start}",
            expected="TOML, which is UTF-8 text",
            do="give the node's TOML file",
        ) from None
    except OSError as error:
        raise UserError(
            "the configuration file cannot be read",
            where=str(file),
            found=f"{error.strerror}",
            expected="a TOML file that this user may read",
            do=f"check its permissions: ls -l {file}",
        ) from None


def parse(text: str, file: Path) -> dict[str, Any]:
    """The tables of a TOML text; raises UserError with the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            "the configuration is not valid TOML",
            where=str(file),
            found=str(error),
            expected="TOML (https://toml.io)",
            do="correct the line; strings need quotes, and every table appears once",
        ) from None


def _dotted(where: Where) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
