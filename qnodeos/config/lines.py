"""At which line of a TOML text an entry stands; the standard library's reader does not tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")


def line_of(text: str, where: Sequence[str | int]) -> int | None:
    """Line (from 1) of the entry, or of the innermost table or array around it; best effort."""
    known: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            known.setdefault(table, number)
        elif key := _KEY.match(line):
            known.setdefault(table + _parts(key[1]), number)
    wanted = tuple(part for part in where if isinstance(part, str))
    for length in range(len(wanted), 0, -1):
        if found := known.get(wanted[:length]):
            return found
        inside = [n for at, n in known.items() if at[:length] == wanted[:length]]
        if inside:
            return min(inside)
    return None


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))
