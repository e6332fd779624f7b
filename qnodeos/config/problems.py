"""What is wrong with a configuration, entry by entry, in words an operator can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from qnodeos.config import links, models
from qnodeos.config.units import unit_of

_SENTENCE = re.compile(
    r"^(?:(?P<field>\w+)(?: and \w+)*: )?found (?P<found>.*?), expected (?P<expected>.*)$", re.S
)
_LINKS: dict[str, type[BaseModel]] = {
    "photonic": links.PhotonicLinkTable,
    "memory": links.MemoryLinkTable,
    "midpoint": links.MidpointTable,
}
_APPLICATIONS: dict[str, type[BaseModel]] = {
    "teleport": models.TeleportTable,
    "correlations": models.CorrelationsTable,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong entry: where it is in the tables, what is wrong with it and what to do."""

    where: tuple[str | int, ...]
    what: str
    found: str = ""
    expected: str = ""
    do: str = ""
    unknown: bool = False
    missing: bool = False


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""


def problems_of(error: ValidationError, raw: Mapping[str, Any]) -> list[Problem]:
    """Pydantic's findings in our words."""
    problems = [_problem(details, raw) for details in error.errors(include_url=False)]
    # A misspelt entry is one mistake, not an unknown one and a missing one.
    meant = {(*p.where[:-1], p.do[len("did you mean '") : -2]) for p in problems if p.unknown}
    return [p for p in problems if not (p.missing and p.where in meant)]


def _problem(details: ErrorDetails, raw: Mapping[str, Any]) -> Problem:
    where = _place(details["loc"])
    value = details["input"]
    context = details.get("ctx", {})
    match details["type"]:
        case "missing":
            table = ".".join(map(str, where[:-1]))
            return Problem(
                where,
                f"missing entry '{where[-1]}'",
                found="nothing",
                expected=f"{'[' + table + '] with ' if table else ''}an entry '{where[-1]}'",
                do=f"add {_example(where)}",
                missing=True,
            )
        case "extra_forbidden":
            known = _known_entries(where[:-1], raw)
            return Problem(
                where,
                f"unknown entry '{where[-1]}'",
                found=f"'{where[-1]}'",
                expected=f"one of {', '.join(known)}" if known else "",
                do=did_you_mean(str(where[-1]), known) or "remove the entry",
                unknown=True,
            )
        case "union_tag_invalid" | "union_tag_not_found":
            kind = value.get("kind") if isinstance(value, dict) else None
            return Problem(
                (*where, "kind"),
                "this link has no known kind",
                found=_shown(kind) if kind is not None else "no entry 'kind'",
                expected=f"one of {', '.join(_LINKS)}",
                do=did_you_mean(str(kind), _LINKS),
            )
        case "string_pattern_mismatch" if where[-1] == "[key]":
            return Problem(
                where[:-1],
                "this name cannot be used",
                found=f"'{value}'",
                expected="a small letter, then up to 31 small letters, digits, - or _",
                do="rename it, and everything that refers to it",
            )
        case "string_pattern_mismatch":
            return Problem(
                where,
                "this name cannot be used",
                found=_shown(value),
                expected="a small letter, then up to 31 small letters, digits, - or _",
                do="change the name",
            )
        case "value_error":
            return _own(where, str(context.get("error", details["msg"])))
        case _:
            expected = (
                details["msg"].removeprefix("Input should be ").replace("dictionary", "table")
            )
            unit = unit_of(str(where[-1]))
            number = unit and isinstance(value, int | float) and not isinstance(value, bool)
            return Problem(
                where,
                "this value cannot be used",
                found=f"{_shown(value)} {unit}" if number else _shown(value),
                expected=expected[:1].lower() + expected[1:] + (f" {unit}" if number else ""),
                do="correct the entry",
            )


def _own(where: tuple[str | int, ...], sentence: str) -> Problem:
    """A problem from a validator of ours, which says `[field: ]found ..., expected ...`."""
    match = _SENTENCE.match(sentence)
    if not match:
        return Problem(where, sentence)
    if match["field"]:
        where = (*where, match["field"])
    return Problem(
        where,
        "this value cannot be used",
        found=match["found"],
        expected=match["expected"],
        do="correct the entry",
    )


def _place(where: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Pydantic's location without the discriminator that it puts after a link's name."""
    if where[:1] == ("links",) and len(where) > 2 and where[2] in _LINKS:
        return where[:2] + where[3:]
    return where


def _known_entries(table: tuple[str | int, ...], raw: Mapping[str, Any]) -> list[str]:
    model: type[BaseModel] | None
    match table:
        case ():
            model = models.NodeConfig
        case ("wire", "peers", _):
            model = models.PeerTable
        case ("instruments", _):
            model = models.InstrumentTable
        case ("interlocks", _):
            model = models.InterlockTable
        case ("links", name):
            model = _LINKS.get(raw["links"][name].get("kind", ""))
        case ("links", name, str(part)):
            model = _table_in(_LINKS.get(raw["links"][name].get("kind", "")), part)
        case ("links", _, "guard", "self_test"):
            model = links.SelfTestTable
        case ("applications", str(name)):
            model = _APPLICATIONS.get(name)
        case (str(name),):
            annotation = models.NodeConfig.model_fields[name].annotation
            model = annotation if isinstance(annotation, type) else None
        case _:
            model = None
    return sorted(model.model_fields) if model else []


def _table_in(model: type[BaseModel] | None, part: str) -> type[BaseModel] | None:
    """The table of this name in another, which may be left out there."""
    field = model.model_fields.get(part) if model is not None else None
    for kind in (field.annotation, *get_args(field.annotation)) if field is not None else ():
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _example(where: tuple[str | int, ...]) -> str:
    *table, key = map(str, where)
    if len(table) == 0:
        return f"a table [{key}]"
    return f"`{key} = ...` under [{'.'.join(table)}]"


def _shown(value: Any) -> str:
    """A value as an operator wrote it, cut short, with its type in TOML's words."""
    kinds = {
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "float",
        dict: "table",
        list: "array",
    }
    text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{kinds.get(type(value), type(value).__name__)} {text}"
