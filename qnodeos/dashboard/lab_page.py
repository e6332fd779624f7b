"""The simulated lab that a network is rehearsed with: what stands in it, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qnodeos.dashboard.frame import LAB, Board
from qnodeos.dashboard.markup import MISSING, Html, chip, joined, span, table, tag

Things = Mapping[str, Mapping[str, object]]
"""The fields of each thing of a section."""


class LabPage:
    """The page of the simulated lab."""

    path, title = LAB

    def __init__(self, board: Board):
        self._board = board
        board.lab.look()

    def fragments(self) -> dict[str, Html]:
        """What it is, what goes wrong now, and the values of each section."""
        self._board.lab.look()
        world = self._board.lab.world
        return {
            "title": self._title(),
            "faults": _card("What goes wrong", self._faults()) if world else joined(()),
            "sections": tag(
                "div", *(self._section(name) for name in self._sections), class_="grid"
            ),
        }

    def plots(self) -> dict[str, Any]:
        """None here."""
        return {}

    def whole(self) -> dict[str, Any]:
        """None here."""
        return {}

    @property
    def _sections(self) -> list[str]:
        values = [name for name, of in self._board.lab.world.items() if isinstance(of, dict)]
        return list(dict.fromkeys((*values, *self._board.lab.breakable)))

    def _title(self) -> Html:
        lab = self._board.lab
        if lab.world:
            word = chip(f"running for {span(lab.world['t_s'])}", "good")
        else:
            word = chip(
                "gone" if lab.problem else "not heard yet", "bad" if lab.problem else "idle"
            )
        note = (
            "What is changed here is changed in the lab at once, and asks for the token."
            if self._board.control.there
            else "This dashboard only shows. Start it with --token-file to change the lab."
        )
        return joined(
            (
                tag("div", tag("h1", self.title), word, class_="title"),
                tag(
                    "div",
                    tag("b", "This is the lab, not the nodes. "),
                    "What stands here is what the simulation has. No node knows any of it: a node "
                    f"has only what its instruments tell it. {note}",
                    class_="banner lab",
                ),
                tag("pre", lab.problem, class_="reason") if lab.problem else "",
            )
        )

    def _faults(self) -> Html:
        lab = self._board.lab
        rows = []
        for each in lab.world["faults"]:
            lasted_s = lab.world["t_s"] - each["began_s"]
            left = "until taken back"
            if each["for_s"] is not None:
                left = f"{span(max(0.0, each['for_s'] - lasted_s))} left"
            size = MISSING if each["size"] is None else f"{each['size']:g} {each['unit']}"
            row: list[object] = [
                tag("b", each["of"]),
                chip(each["fault"], "bad"),
                size,
                f"for {span(lasted_s)}, {left}",
            ]
            rows.append([*row, *self._button("Take back", "lab-end", each["n"])])
        head = ["Of", "What", "How much", "How long"]
        return table(
            [*head, *([""] if self._board.control.there else [])],
            rows,
            empty="Nothing goes wrong in the lab.",
        )

    def _section(self, name: str) -> Html:
        """Values with one column a thing; what has none is only named."""
        things: Things = self._board.lab.world.get(name, {})
        breakable = self._board.lab.breakable.get(name, {}).get("names", ())
        can_break = self._board.control.there and bool(breakable)
        title = name.capitalize()
        if not things:
            named = [
                tag("span", tag("b", thing), *self._break(f"{name}.{thing}"), class_="thing")
                for thing in breakable
            ]
            return _card(title, tag("div", *named, class_="things"))
        columns = {thing: _flat(of) for thing, of in things.items()}
        rows: list[list[object]] = [
            [
                tag("code", field),
                *(self._value(f"{name}.{thing}", field, of) for thing, of in columns.items()),
            ]
            for field in dict.fromkeys(field for of in columns.values() for field in of)
        ]
        if can_break:
            rows.append(["", *(joined(self._break(f"{name}.{thing}")) for thing in things)])
        return _card(title, tag("div", table(["", *things], rows, empty=""), class_="sheet"))

    def _value(self, thing: str, field: str, of: Mapping[str, object]) -> object:
        value = of.get(field)
        shown = MISSING if value is None else f"{value:g}" if type(value) is float else str(value)
        if field not in of or not self._board.control.there:
            return shown
        return tag("button", shown, class_="value", data_act="lab-set", data_of=f"{thing}.{field}")

    def _break(self, of: str) -> list[object]:
        return self._button("Break …", "lab-fault", of)

    def _button(self, text: str, act: str, of: object) -> list[object]:
        if not self._board.control.there:
            return []
        return [tag("button", text, data_act=act, data_of=of)]


def _flat(of: Mapping[str, object]) -> dict[str, object]:
    """A value that is a table has a field for each of its keys, as in `efficiency.alice`."""
    found: dict[str, object] = {}
    for field, value in of.items():
        if isinstance(value, Mapping):
            found |= {f"{field}.{key}": each for key, each in value.items()}
        else:
            found[field] = value
    return found


def _card(title: str, *content: object) -> Html:
    return tag("div", tag("h2", title), *content, class_="card")
