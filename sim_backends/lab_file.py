"""Reading a TOML file into a checked model, with one clear message when it is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

__all__ = ["LabError", "build", "expand", "problem_of", "read_toml"]

ModelT = TypeVar("ModelT", bound=BaseModel)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class LabError(Exception):
    """The lab file is wrong: the message names the file, the field, what was found and expected."""

    def __init__(self, path: Path, where: str, problem: str) -> None:
        self.path, self.where, self.problem = path, where, problem
        super().__init__(": ".join(part for part in (str(path), where, problem) if part))


def read_toml(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The tables of a TOML file with environment variables filled in. Raises LabError."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise LabError(path, "", f"cannot be read ({reason}); expected a lab file") from error
    except UnicodeDecodeError as error:
        raise LabError(path, "", f"byte {error.start} is not UTF-8; expected TOML text") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LabError(path, "", f"not valid TOML: {error}") from error
    return {key: expand(value, path, key, environ) for key, value in tables.items()}


def expand(value: Any, path: Path, where: str, environ: Mapping[str, str]) -> Any:
    """Fill `${NAME}` and `${NAME:-default}` into every string of a TOML value. Raises LabError."""
    if isinstance(value, dict):
        return {key: expand(item, path, f"{where}.{key}", environ) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, path, f"{where}[{i}]", environ) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        # As in a shell: with ":-" an empty variable counts as unset.
        if default is not None:
            return environ.get(name) or default
        if name not in environ:
            raise LabError(
                path,
                where,
                f"the environment variable {name} is not set; set it, or write "
                f"${{{name}:-default}}",
            )
        return environ[name]

    return _VARIABLE.sub(fill, value)


def build(model: type[ModelT], tables: dict[str, Any], path: Path) -> ModelT:
    """Check tables against a model. Raises LabError for the first thing that is wrong."""
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise LabError(path, where, _problem(dict(first))) from error


def problem_of(error: ValidationError) -> str:
    """What was found and what was expected, of the first thing that is wrong."""
    return _problem(dict(error.errors(include_url=False)[0]))


def _problem(error: dict[str, Any]) -> str:
    kind, message = error["type"], error["msg"]
    if kind == "missing":
        return "is missing; expected a value"
    if kind == "extra_forbidden":
        return f"found {_short(error['input'])}, but there is no such field; check its spelling"
    if kind == "value_error":
        return str(message).removeprefix("Value error, ")
    expected = re.sub(r"^(Input|String|Value) should (be|have) ", "", message)
    expected = re.sub(r"^(Input|String|Value) should ", "to ", expected)
    return f"found {_short(error['input'])}; expected {expected}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
