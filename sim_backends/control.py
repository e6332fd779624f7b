"""Changing a lab while it runs, by hand: one place for what console and HTTP offer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from sim_backends.changing import ChangeError, shown
from sim_backends.faults.director import Director
from sim_backends.faults.kinds import KINDS, PLACES, FaultKind, words_of
from sim_backends.faults.script import FaultConfig, Things
from sim_backends.lab_file import problem_of
from sim_backends.world import World

__all__ = ["HELP", "Control", "ControlError"]

_SECTIONS: Final[Mapping[str, str]] = {
    "fibre": "channels",
    "channel": "channels",
    "detector": "detectors",
    "source": "sources",
    "tagger": "taggers",
    "memory": "memories",
    "midpoint": "midpoints",
    "instrument": "instruments",
}

HELP: Final = """\
show [SECTION[.NAME]]           what stands in the lab, and the faults that act
set SECTION.NAME.FIELD VALUE    set sources.crystal.fidelity 0.9
fault THING NAME WHAT [SIZE] [SECONDS s]
                                fault fibre alice cut 5 s
                                fault detectors.bob darks 50 10 s
                                fault instrument alice-pump power-cycle 3 s
end NUMBER                      take a fault back
faults                          what can go wrong with what
help                            this"""


class ControlError(Exception):
    """What was asked cannot be done; the text says what was found and what was expected."""


class Control:
    """Looks at a lab and changes it; all raise ControlError."""

    def __init__(self, world: World, director: Director, things: Things) -> None:
        self._world = world
        self._director = director
        self._things = things

    def show(self, what: str = "") -> dict[str, Any]:
        """The lab's values, or those of a section, or of one thing; and the faults that act."""
        values: dict[str, Any] = shown(self._world)
        section, _, name = what.partition(".")
        if section:
            if section not in values or (name and name not in values[section]):
                known = sorted(values.get(section, values))
                raise ControlError(f"there is no {what!r}; there are {', '.join(known)}")
            values = {section: {name: values[section][name]} if name else values[section]}
        acting = [
            {
                "n": number,
                "fault": each.fault.kind,
                "of": each.fault.of,
                "size": each.fault.full_size if each.fault.what.unit else None,
                "unit": each.fault.what.unit,
                "began_s": each.began_s,
                "for_s": each.fault.for_s,
            }
            for number, each in self._director.numbered.items()
        ]
        return {"t_s": self._world.time_s(), **values, "faults": acting}

    def breakable(self) -> dict[str, Any]:
        """What can go wrong: by section the names of its things, and the kinds of their faults."""
        return {
            section: {
                "names": sorted(self._things[section]),
                "kinds": {kind: _told(KINDS[section, kind]) for kind in words_of(section)},
            }
            for section in PLACES
            if self._things.get(section)
        }

    def set(self, path: str, value: Any, *, by: str) -> dict[str, Any]:
        """Change one value from now on."""
        try:
            self._director.physics.set(path, value, by=by)
        except ChangeError as error:
            raise ControlError(str(error)) from error
        return {path: value}

    def fault(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Bring a fault on now; `table` has the fields of a `[[faults]]` table without `at_s`."""
        try:
            fault = FaultConfig.model_validate(dict(table))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ControlError(f"{where}: {problem_of(error)}".removeprefix(": ")) from error
        there = self._things.get(fault.section, ())
        if fault.name not in there:
            raise ControlError(
                f"of = {fault.of!r}, which is not there; there are "
                f"{', '.join(sorted(there)) or 'none'}"
            )
        return {"n": self._director.begin(fault)}

    def end(self, number: int) -> dict[str, Any]:
        """Take a fault back."""
        if not self._director.end(number):
            raise ControlError(f"no fault {number} acts")
        return {"ended": number}

    def command(self, line: str) -> str:
        """One line of the console, and what it answers."""
        word, *rest = line.split() or [""]
        match word:
            case "":
                return ""
            case "help":
                return HELP
            case "show" if len(rest) <= 1:
                return _in_lines(self.show(*rest))
            case "set" if len(rest) == 2:
                return _in_lines(self.set(rest[0], _value(rest[1]), by="console"))
            case "fault" if len(rest) >= 2:
                return _in_lines(self.fault(_fault_of(rest)))
            case "end" if len(rest) == 1 and rest[0].isdecimal():
                return _in_lines(self.end(int(rest[0])))
            case "faults":
                return "\n".join(
                    f"{section} {kind}: {what.what}"
                    + (f" ({what.size:g} {what.unit})" if what.unit else "")
                    for (section, kind), what in KINDS.items()
                )
        raise ControlError(f"found {line.strip()!r}; type help to see what is understood")


def _fault_of(words: list[str]) -> dict[str, Any]:
    """THING NAME WHAT or SECTION.NAME WHAT, then a size, then `5 s` for how long."""
    if "." in words[0]:
        of, kind, *rest = words
    elif len(words) >= 3:
        thing, name, kind, *rest = words
        of = f"{_SECTIONS.get(thing, thing)}.{name}"
    else:
        raise ControlError("expected fault THING NAME WHAT, as: fault fibre alice cut 5 s")
    table: dict[str, Any] = {"of": of, "kind": kind}
    if rest and (found := re.fullmatch(r"([0-9.eE+-]*)s", rest[-1])):
        rest.pop()
        table["for_s"] = _number(found[1] or (rest.pop() if rest else ""))
    if rest:
        table["size"] = _number(rest.pop(0))
    if rest:
        raise ControlError(f"found {' '.join(rest)!r} too much; as: fault fibre alice cut 20 5 s")
    return table


def _told(kind: FaultKind) -> dict[str, Any]:
    fields = ("what", "unit", "size", "least", "most", "once")
    return {field: getattr(kind, field) for field in fields}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ControlError(f"found {text!r}; expected a number") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _in_lines(found: Mapping[str, Any], before: str = "") -> str:
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines.append(_in_lines(value, f"{before}{key}."))
        else:
            lines.append(f"{before}{key} = {value}")
    return "\n".join(line for line in lines if line)
