"""Quantities as people write them, `"1.2 ns"` or `"5 mW"`, in entries whose names tell the unit.

A bare number keeps meaning what the entry's name says: `window_ps = 6000` and `window_ps = "6 ns"`
are the same. Conversion is exact decimal arithmetic, so that "1.2 ns" is 1200 ps and not nearly.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

_TEXT = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ°%/]+)\s*")
_MARK = "x-unit"
_SAME = str.maketrans({"µ": "u", "μ": "u"})
_PREFIXES = {
    "f": Decimal("1e-15"),
    "p": Decimal("1e-12"),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "c": Decimal("1e-2"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
}
_TIMES = {"min": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_BASES = {
    "time": ("s", "f p n u m"),
    "frequency": ("Hz", "m k M G T"),
    "power": ("W", "f p n u m"),
    "length": ("m", "p n u m c k"),
    "current": ("A", "n u m"),
    "voltage": ("V", "u m k"),
    "rate": ("cps", "k M"),
    "temperature": ("C", ""),
    "decibels": ("dB", ""),
    "power level": ("dBm", ""),
    "fraction": ("ppm", ""),
    "data rate": ("B/s", "k M G"),
    "data size": ("B", "k M G T"),
}
UNITS: dict[str, tuple[str, Decimal]] = {
    prefix + base: (quantity, _PREFIXES[prefix])
    for quantity, (base, prefixes) in _BASES.items()
    for prefix in ("", *prefixes.split())
} | {unit: ("time", seconds) for unit, seconds in _TIMES.items()}
"""Every unit that is understood: its quantity, and its size in that quantity's base unit."""

_ALSO = {"°C": "C", "degC": "C", "sec": "s", "hz": "Hz", "counts/s": "cps", "kcounts/s": "kcps"}
_SUFFIXES = {unit.lower(): unit for unit in UNITS if unit not in ("m", "A", "d", "B", "mHz")} | {
    "bytes_per_s": "B/s"
}
"""The unit at the end of an entry's name, `current_ma`. No entry is in mHz, and `_a`, `_b`, `_d`,
`_m` are as likely a label as a unit."""


def unit_of(name: str) -> str:
    """The unit that an entry's name ends with, `"ps"` for `window_ps`; "" where it tells none."""
    for words in (3, 1):
        parts = name.rsplit("_", words)
        if len(parts) == words + 1 and (unit := _SUFFIXES.get("_".join(parts[1:]))):
            return unit
    return ""


def read(text: str, unit: str) -> Decimal:
    """The quantity in the text, in the unit. Raises ValueError with `found ..., expected ...`."""
    quantity, size = UNITS[unit]
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"found string '{text}', expected {_wanted(unit)}")
    number, written = Decimal(match[1].replace("_", "")), match[2].translate(_SAME)
    written = _ALSO.get(written, written)
    if written not in UNITS:
        raise ValueError(f"found '{text}' in a unit that is not known, expected {_wanted(unit)}")
    its_quantity, its_size = UNITS[written]
    if {its_quantity, quantity} == {"power", "power level"}:
        return _level(number * its_size) if quantity == "power level" else _power(number) / size
    if its_quantity != quantity:
        raise ValueError(f"found '{text}', a {its_quantity}, expected {_wanted(unit)}")
    return number * its_size / size


def shown(value: float, unit: str) -> str:
    """A value of the unit as it is best read: `shown(1200, "ps")` is "1.2 ns"."""
    quantity, size = UNITS[unit]
    base, prefixes = _BASES[quantity]
    # Wavelengths stay in the unit that the field gives them in.
    if not prefixes or value == 0 or quantity == "length":
        return f"{value:g} {unit}"
    whole = Decimal(repr(value)) * size
    if quantity == "time" and abs(whole) >= 120:
        for longer in ("d", "h", "min"):
            if abs(whole) >= 2 * _TIMES[longer]:
                return f"{float(whole / _TIMES[longer]):.6g} {longer}"
    fitting = [p for p in ("", *prefixes.split()) if _PREFIXES[p] <= abs(whole)]
    prefix = max(fitting or prefixes.split()[:1], key=lambda p: _PREFIXES[p])
    return f"{float(whole / _PREFIXES[prefix]):.10g} {prefix}{base}"


def shown_entry(name: str, value: Any) -> str:
    """An entry as `check` shows it: with its unit where the name tells one."""
    unit = unit_of(name)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown_entry(name, each) for each in value) + "]"
    if not unit or isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return shown(value, unit)


def in_named_units(table: dict[str, Any]) -> dict[str, Any]:
    """Entries of a driver, `current_ma = "90 mA"`, as the numbers that it takes.

    What is text and no quantity stays: the driver says what it thinks of it. Raises ValueError for
    a quantity of another kind, as `current_ma = "5 mW"`.
    """
    return {name: _named(name, value) for name, value in table.items()}


def _named(name: str, value: Any) -> Any:
    unit = unit_of(name)
    if unit and isinstance(value, list):
        return [_named(name, each) for each in value]
    if not unit or not isinstance(value, str) or not _TEXT.fullmatch(value):
        return value
    try:
        number = read(value, unit)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return int(number) if number == number.to_integral_value() else float(number)


def _reader(unit: str, whole: bool) -> BeforeValidator:
    def reading(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        number = read(value, unit)
        if not whole:
            return float(number)
        if number != number.to_integral_value():
            raise ValueError(f"found '{value}', expected a whole number of {unit}")
        return int(number)

    return BeforeValidator(reading)


def _unit(unit: str) -> FieldInfo:
    # A mark that `with_units` takes out again: a schema of a validator's own would lose the bounds.
    mark: FieldInfo = Field(json_schema_extra={_MARK: unit})
    return mark


def with_units(schema: Any) -> Any:
    """A JSON schema in which a quantity is a number, with its bounds, or a text with a unit."""
    if isinstance(schema, list):
        return [with_units(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: with_units(value) for key, value in schema.items()}
    unit = found.pop(_MARK, None)
    if unit is None:
        return found
    kept = {key: found.pop(key) for key in ("title", "default", "description") if key in found}
    quantity = UNITS[unit][0]
    fitting = [name for name, (kind, _) in UNITS.items() if kind == quantity]
    pattern = rf"^\s*[+-]?[0-9._eE+-]+\s*({'|'.join(fitting)})\s*$"
    about = f"a {quantity} with its unit; a bare number is in {unit}"
    text = {"type": "string", "pattern": pattern, "description": about}
    return {**kept, "anyOf": [found, text]}


def _wanted(unit: str) -> str:
    base = _BASES[UNITS[unit][0]][0]
    other = {"s": '"1.2 ns"', "Hz": '"10 MHz"', "W": '"5 mW"'}.get(base, f'"1 {base}"')
    return f"a {UNITS[unit][0]}: a number in {unit}, or text with a unit as {other}"


def _level(watts: Decimal) -> Decimal:
    if watts <= 0:
        raise ValueError(f"found {watts} W, expected a power above zero, as dBm has no zero")
    return 10 * (watts * 1000).log10()


def _power(dbm: Decimal) -> Decimal:
    return Decimal(10) ** (dbm / 10) / 1000


Picoseconds = Annotated[int, _reader("ps", whole=True), _unit("ps")]
"""An `int` of picoseconds."""
PicosecondsFloat = Annotated[float, _reader("ps", whole=False), _unit("ps")]
"""Picoseconds with a fraction."""
Milliseconds = Annotated[float, _reader("ms", whole=False), _unit("ms")]
"""Milliseconds."""
Millivolts = Annotated[float, _reader("mV", whole=False), _unit("mV")]
"""Millivolts."""
Milliwatts = Annotated[float, _reader("mW", whole=False), _unit("mW")]
"""Milliwatts."""
Seconds = Annotated[float, _reader("s", whole=False), _unit("s")]
"""Seconds."""
Hours = Annotated[float, _reader("h", whole=False), _unit("h")]
"""Hours."""
Days = Annotated[float, _reader("d", whole=False), _unit("d")]
"""Days."""
Megabytes = Annotated[int, _reader("MB", whole=True), _unit("MB")]
"""Megabytes, 10^6 bytes."""
Gigabytes = Annotated[float, _reader("GB", whole=False), _unit("GB")]
"""Gigabytes, 10^9 bytes."""
BytesPerSecond = Annotated[int, _reader("B/s", whole=True), _unit("B/s")]
"""Bytes a second."""
