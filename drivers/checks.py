"""What is checked before anything is sent, in the same words everywhere: options, settings, ranges.

Options are wrong with ValueError, as the configuration is read; settings and values with Refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from drivers.errors import Refused

Setter = tuple[type, Callable[[Any], Awaitable[None]]]
"""The type of a setting (float, bool, str, list or dict) and the method that applies it."""

_CALLED = {
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "a table",
}


def is_number(value: object, low: float, high: float) -> bool:
    """A number (not true or false) from `low` to `high`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def in_range(
    name: str, value: object, low: float, high: float, unit: str, about: Mapping[str, str]
) -> float:
    """The value as a number; raises Refused with the range unless it is one within it."""
    if not is_number(value, low, high):
        reason = f"{name} = {value!r}, accepted are {low:.10g} to {high:.10g} {unit}"
        raise Refused(reason.rstrip(), **about)
    return float(value)  # type: ignore[arg-type]


def known_options(driver: str, options: Mapping[str, Any], *known: str) -> None:
    """Raise ValueError for an option that the driver does not have."""
    if unknown := sorted(set(options) - set(known)):
        there_are = f"there are {', '.join(sorted(known))}" if known else "it has no options"
        raise ValueError(f"{driver}: unknown options {', '.join(unknown)}; {there_are}")


def number_option(
    options: Mapping[str, Any], key: str, default: float, low: float, high: float, unit: str
) -> float:
    """An option that is a number within a range; raises ValueError with it."""
    value = options.get(key, default)
    if not is_number(value, low, high):
        raise ValueError(f"{key} = {value!r}, expected {low:.10g} to {high:.10g} {unit}".rstrip())
    return float(value)


async def apply_in_order(
    settings: Mapping[str, Any], setters: Mapping[str, Setter], about: Mapping[str, str]
) -> None:
    """Apply the settings in the order of `setters`; raises Refused, naming the key.

    Unknown keys and wrong types are found before anything is sent.
    """
    if unknown := sorted(set(settings) - set(setters)):
        raise Refused(
            f"unknown settings {', '.join(unknown)}; there are {', '.join(setters)}", **about
        )
    for key, value in settings.items():
        kind = setters[key][0]
        right = is_number(value, float("-inf"), float("inf")) if kind is float else None
        if not (isinstance(value, kind) if right is None else right):
            raise Refused(f"{key} = {value!r}, expected {_CALLED[kind]}", **about)
    for key, (_, apply) in setters.items():
        if key in settings:
            await apply(settings[key])
