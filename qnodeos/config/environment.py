"""`${NAME}` and `${NAME:-default}` in the strings of a configuration; `$${` is a plain `${`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|(\$\{)")

Where = tuple[str | int, ...]


def substituted(
    value: Any, environment: Mapping[str, str], problem: Callable[[Where, str, str], None]
) -> Any:
    """The same tree, filled in; `problem(where, found, do)` is told of each that fails."""
    return _walk(value, (), environment, problem)


def _walk(
    value: Any,
    where: Where,
    environment: Mapping[str, str],
    problem: Callable[[Where, str, str], None],
) -> Any:
    if isinstance(value, dict):
        return {k: _walk(v, (*where, k), environment, problem) for k, v in value.items()}
    if isinstance(value, list):
        return [_walk(v, (*where, i), environment, problem) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def fill(match: re.Match[str]) -> str:
        escaped, name, default, stray = match.groups()
        if escaped:
            return "${"
        if stray:
            problem(where, value, "write ${NAME} or ${NAME:-default}, and $${ for a plain ${")
            return ""
        if name in environment:
            return environment[name]
        if default is None:
            problem(
                where,
                f"${{{name}}}, and no such environment variable",
                f"set {name}, or give a default: ${{{name}:-...}}",
            )
            return ""
        return str(default)

    return _VARIABLE.sub(fill, value)
