"""A plain instrument of questions and answers from a user's file, in the format of pyvisa-sim.

What is understood of it (pyvisa-sim's documentation, "Defining the instruments"): `devices`, each
with `eom` (how questions and answers end), `error` (the answer to what is not known), `dialogues`
(`q`, `r`) and `properties` (`default`, `getter`, `setter` with `q`, `r`, `e`, and `specs` with
`type`, `min`, `max`, `valid`). `resources` are left alone: the lab file says where it is reached.
What is not understood is refused, not passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim_backends.lab_file import LabError

__all__ = ["BoxScript", "Property", "load_box"]

_EOM: Final = ("TCPIP SOCKET", "TCPIP INSTR", "ASRL INSTR", "USB INSTR", "GPIB INSTR")
_TYPES: Final[Mapping[str, type]] = {"int": int, "float": float, "str": str}
_FIELD: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Property:
    """A value that can be asked for and set. `setter` has one group, the value; `form` writes it.

    `reply` answers a setting, `refusal` one that the specs do not allow; None: nothing is said.
    """

    default: int | float | str
    getter: str | None
    form: str
    setter: re.Pattern[str] | None
    reply: str | None
    refusal: str | None
    kind: type
    least: float | None
    most: float | None
    valid: tuple[int | float | str, ...]

    def taken(self, text: str) -> int | float | str:
        """The value in a setting's text; raises ValueError for one that is not allowed."""
        value: int | float | str = self.kind(text)
        if self.valid and value not in self.valid:
            raise ValueError
        if isinstance(value, int | float) and not (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
        ):
            raise ValueError
        return value


@dataclass(frozen=True, slots=True)
class BoxScript:
    """One device of such a file."""

    ends_question: str
    ends_answer: str
    error: str | None
    dialogues: Mapping[str, str | None]
    properties: Mapping[str, Property]


def load_box(path: Path, device: str = "") -> BoxScript:
    """A device of the file, which may be left unnamed where there is one. Raises LabError."""
    try:
        import yaml
    except ImportError:
        raise LabError(
            path, "", "needs the Python package PyYAML: pip install 'qnodeos[sim]'"
        ) from None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise LabError(path, "", f"cannot be read ({reason}); expected a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabError(path, "", f"not valid YAML: {' '.join(str(error).split())}") from error
    devices = _table(_table(content, path, "").get("devices"), path, "devices")
    if not device and len(devices) == 1:
        device = str(next(iter(devices)))
    if device not in devices:
        raise LabError(
            path,
            "devices",
            f"found {', '.join(map(str, devices)) or 'none'}; expected "
            + (repr(device) if device else "`device` of the instrument to name one of them"),
        )
    return _Reader(path, f"devices.{device}").box(devices[device])


@dataclass(frozen=True, slots=True)
class _Reader:
    path: Path
    where: str

    def box(self, content: Any) -> BoxScript:
        table = _table(content, self.path, self.where)
        known = {"eom", "error", "dialogues", "properties"}
        self._only(table, known, self.where)
        question, answer = self._ends(table.get("eom"))
        error = table.get("error")
        if error is not None and not isinstance(error, str):
            raise self._wrong("error", error, "a text, as ERROR")
        properties = _table(table.get("properties") or {}, self.path, f"{self.where}.properties")
        return BoxScript(
            question,
            answer,
            error,
            dict(self._dialogue(each, i) for i, each in enumerate(table.get("dialogues") or [])),
            {str(name): self._property(str(name), each) for name, each in properties.items()},
        )

    def _ends(self, eom: Any) -> tuple[str, str]:
        if eom is None:
            return "\n", "\n"
        table = _table(eom, self.path, f"{self.where}.eom")
        for kind in _EOM:
            if kind in table:
                ends = _table(table[kind], self.path, f"{self.where}.eom.{kind}")
                question, answer = ends.get("q"), ends.get("r")
                if not isinstance(question, str) or not question or not isinstance(answer, str):
                    raise self._wrong(f"eom.{kind}", ends, 'q and r, as "\\r\\n"')
                return question, answer
        raise self._wrong("eom", list(table), f"one of {', '.join(_EOM)}")

    def _dialogue(self, content: Any, index: int) -> tuple[str, str | None]:
        where = f"dialogues.{index}"
        table = _table(content, self.path, f"{self.where}.{where}")
        self._only(table, {"q", "r"}, f"{self.where}.{where}")
        if not isinstance(table.get("q"), str):
            raise self._wrong(f"{where}.q", table.get("q"), "the text of a question")
        return table["q"], _answer(table.get("r"))

    def _property(self, name: str, content: Any) -> Property:
        where = f"properties.{name}"
        table = _table(content, self.path, f"{self.where}.{where}")
        self._only(table, {"default", "getter", "setter", "specs"}, f"{self.where}.{where}")
        part = {
            key: _table(table.get(key) or {}, self.path, f"{self.where}.{where}.{key}")
            for key in ("getter", "setter", "specs")
        }
        for key, known in (
            ("getter", {"q", "r"}),
            ("setter", {"q", "r", "e"}),
            ("specs", {"type", "min", "max", "valid"}),
        ):
            self._only(part[key], known, f"{self.where}.{where}.{key}")
        specs, setter = part["specs"], part["setter"].get("q")
        default = table.get("default")
        if not isinstance(default, int | float | str):
            raise self._wrong(f"{where}.default", default, "a number or a text")
        kind = specs.get("type", type(default).__name__)
        if kind not in _TYPES:
            raise self._wrong(f"{where}.specs.type", kind, "int, float or str")
        form = str(part["getter"].get("r", "{}"))
        made = Property(
            default=_TYPES[kind](default),
            getter=part["getter"].get("q"),
            form=form,
            setter=None if setter is None else self._pattern(str(setter), where),
            reply=_answer(part["setter"].get("r")),
            refusal=_answer(part["setter"].get("e")),
            kind=_TYPES[kind],
            least=specs.get("min"),
            most=specs.get("max"),
            valid=tuple(specs.get("valid") or ()),
        )
        try:
            form.format(made.default)
        except (ValueError, IndexError, KeyError) as error:
            raise self._wrong(f"{where}.getter.r", form, f"a format of one value ({error})") from (
                error
            )
        return made

    def _pattern(self, text: str, where: str) -> re.Pattern[str]:
        fields = _FIELD.findall(text)
        if len(fields) != 1:
            raise self._wrong(f"{where}.setter.q", text, "one field for the value, as {:.2f}")
        before, after = text.split(fields[0])
        return re.compile(f"{re.escape(before)}(.+?){re.escape(after)}")

    def _only(self, table: Mapping[str, Any], known: set[str], where: str) -> None:
        for key in table:
            if key not in known:
                raise LabError(
                    self.path,
                    f"{where}.{key}",
                    f"is not understood here; understood are {', '.join(sorted(known))}",
                )

    def _wrong(self, where: str, found: Any, expected: str) -> LabError:
        return LabError(self.path, f"{self.where}.{where}", f"found {found!r}; expected {expected}")


def _table(content: Any, path: Path, where: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise LabError(path, where, f"found {content!r}; expected a table")
    return content


def _answer(content: Any) -> str | None:
    return None if content is None else str(content)
