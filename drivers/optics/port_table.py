"""The `connections` table of a switch's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.errors import Refused


def port_table(table: Mapping[Any, Any], about: Mapping[str, str]) -> dict[int, int]:
    """A table of inputs, as texts or numbers, to outputs; raises Refused."""
    made = {}
    for key, value in table.items():
        if not str(key).isdecimal() or isinstance(value, bool) or not isinstance(value, int):
            raise Refused(f"connections has {key!r} = {value!r}, expected port numbers", **about)
        made[int(key)] = value
    return made
