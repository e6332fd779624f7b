"""A node's figures in the words of the Homie 5 convention (homieiot.github.io/specification).

A property without a value is one whose topic is empty, so an empty text is written as one zero
byte.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

Value = float | int | bool | str | dict[str, Any] | list[Any]

NO_VALUE = ""
"""On a topic: nothing is known, the broker forgets it."""

EMPTY = "\0"
"""On a topic: a text without letters."""

_UNITS = {
    "hz": "Hz",
    "khz": "kHz",
    "mhz": "MHz",
    "ghz": "GHz",
    "cps": "1/s",
    "per-s": "1/s",
    "ps": "ps",
    "ns": "ns",
    "us": "µs",
    "ms": "ms",
    "s": "s",
    "nm": "nm",
    "um": "µm",
    "mm": "mm",
    "km": "km",
    "nw": "nW",
    "uw": "µW",
    "mw": "mW",
    "dbm": "dBm",
    "db": "dB",
    "ua": "µA",
    "ma": "mA",
    "mv": "mV",
    "v": "V",
    "celsius": "°C",
    "c": "°C",
    "deg": "°",
    "percent": "%",
    "mb": "MB",
    "gb": "GB",
}
"""By the end of a name: names have their units in them."""


def topic_part(name: str) -> str:
    """A name as Homie allows it in a topic: small letters, digits and hyphens between them."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-") or "unnamed"


def value_text(value: Value) -> str:
    """A value as Homie writes it: true and false, plain numbers, text, JSON.

    A number that is none (nan, inf) is `NO_VALUE`.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or EMPTY
    if isinstance(value, float):
        return repr(value).replace("+", "") if math.isfinite(value) else NO_VALUE
    if isinstance(value, int):
        return repr(value)
    return json.dumps(value)


def text_of(told: str) -> str:
    """What stands on a topic as text for people."""
    return "" if told == EMPTY else told


def datatype(value: Value) -> str:
    """Homie's name of the kind of a value."""
    kinds = {bool: "boolean", int: "integer", float: "float", str: "string"}
    return kinds.get(type(value), "json")


def unit(name: str) -> str:
    """The unit that a property's name ends in, or ""."""
    _, *words = name.split("-")
    return _UNITS.get("-".join(words[-2:]), "") or _UNITS.get("".join(words[-1:]), "")


def description(node: str, groups: Mapping[str, Mapping[str, str]]) -> str:
    """The `$description` of a node: datatypes by group and property, with the units of the numbers.

    Its version is another whenever anything else in it is.
    """
    told = {
        "homie": "5.0",
        "name": node,
        "nodes": {
            group: {"properties": {name: _property(name, kind) for name, kind in names.items()}}
            for group, names in groups.items()
        },
    }
    return json.dumps(told | {"version": zlib.crc32(json.dumps(told).encode())})


def _property(name: str, kind: str) -> dict[str, str]:
    found = unit(name) if kind in ("integer", "float") else ""
    return {"datatype": kind} | ({"unit": found} if found else {})
