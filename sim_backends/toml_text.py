"""Writing tables as TOML text; Python reads TOML but does not write it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

__all__ = ["Value", "toml_text"]

Value: TypeAlias = "str | bool | int | float | Sequence[Value] | Mapping[str, Value]"
_BARE = re.compile(r"^[A-Za-z0-9_-]+$")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def toml_text(tables: Mapping[str, Value], comment: str = "") -> str:
    """The tables as a TOML document, the comment's lines first; tables in tables as headers."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    _write(lines, (), tables)
    return "\n".join(lines).strip("\n") + "\n"


def _write(lines: list[str], path: tuple[str, ...], table: Mapping[str, Value]) -> None:
    plain = {key: value for key, value in table.items() if not _is_section(path, value)}
    if path and plain:
        lines += ["", "[" + ".".join(_key(part) for part in path) + "]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if key not in plain and isinstance(value, Mapping):
            _write(lines, (*path, key), value)


def _is_section(path: tuple[str, ...], value: Value) -> bool:
    """Whether a table gets a header: those at the top, and those in them that hold tables or come
    second; deeper ones are written in line."""
    return isinstance(value, Mapping) and len(path) < 2


def _key(key: str) -> str:
    return key if _BARE.match(key) else _string(key)


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return "{ " + inside + " }" if inside else "{}"
    return "[" + ", ".join(_value(item) for item in value) + "]"


def _string(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'
