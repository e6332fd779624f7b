"""A condition on the readings of an instrument, as `power_mw > 1.0 or temperature_c >= 35`."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_LIMIT = 500
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ACCEPTED = (
    "names of readings and numbers compared by < <= > >= == !=, joined by `and`, `or`, `not` and "
    "parentheses, as `power_mw > 1.0`"
)


@dataclass(frozen=True)
class Condition:
    """What was read from the text; `names` are the readings that it needs."""

    text: str
    names: frozenset[str]
    _tree: ast.expr

    def holds(self, readings: Mapping[str, Any]) -> bool | None:
        """True or False; None when that hangs on a reading that is not there or is no number."""
        return _holds(self._tree, readings)


def parse_condition(text: str) -> Condition:
    """The condition of a text; raises ValueError with a sentence. Nothing in it is ever run."""
    if len(text) > _LIMIT:
        raise ValueError(f"the condition has {len(text)} characters, at most are {_LIMIT}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{text!r} is no condition; accepted are {_ACCEPTED}") from error
    names: set[str] = set()
    try:
        _check(tree, names)
    except ValueError as error:
        raise ValueError(f"{error} in {text!r}; accepted are {_ACCEPTED}") from error
    if not names:
        raise ValueError(f"{text!r} names no reading; accepted are {_ACCEPTED}")
    return Condition(text, frozenset(names), tree)


def _check(node: ast.expr, names: set[str]) -> None:
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, names)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, names)
        case ast.Compare(left=left, ops=ops, comparators=right):
            for op in ops:
                if type(op) not in _COMPARE:
                    raise ValueError("found a comparison that is not known")
            for value in (left, *right):
                _check_value(value, names)
        case ast.Name(id=name):
            names.add(name)
        case _:
            raise ValueError(f"found {ast.unparse(node)!r}, which says neither yes nor no,")


def _check_value(node: ast.expr, names: set[str]) -> None:
    match node:
        case ast.Name(id=name):
            names.add(name)
        case ast.Constant(value=bool() | int() | float() | str()):
            pass
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            pass
        case _:
            raise ValueError(f"found {ast.unparse(node)!r}, expected a reading or a number,")


def _holds(node: ast.expr, readings: Mapping[str, Any]) -> bool | None:
    match node:
        case ast.BoolOp(op=op, values=values):
            decides = isinstance(op, ast.Or)  # one True decides an `or`, one False an `and`
            found = [_holds(value, readings) for value in values]
            if decides in found:
                return decides
            return None if None in found else not decides
        case ast.UnaryOp(operand=operand):
            inner = _holds(operand, readings)
            return None if inner is None else not inner
        case ast.Compare(left=left, ops=ops, comparators=right):
            values = [_value(each, readings) for each in (left, *right)]
            if any(each is None for each in values):
                return None
            try:
                pairs = zip(values, ops, values[1:], strict=False)
                return all(_COMPARE[type(op)](a, b) for a, op, b in pairs)
            except TypeError:
                return None
        case ast.Name(id=name):
            value = readings.get(name)
            return value if isinstance(value, bool) else None
    return None


def _value(node: ast.expr, readings: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            value = readings.get(name)
        case ast.Constant(value=value):
            pass
        case ast.UnaryOp(operand=ast.Constant(value=number)):
            value = -number  # type: ignore[operator]
        case _:
            return None
    return None if isinstance(value, float) and math.isnan(value) else value
