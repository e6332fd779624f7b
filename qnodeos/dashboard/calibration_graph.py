"""The calibrations of a link as a drawing: an arrow leads from what has to be in spec first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qnodeos.dashboard.markup import Html, joined, si, span, tag
from qnodeos.dashboard.view import number

BOX = (188, 98)
GAP = (44, 34)
"""Between boxes, along the arrows and across them."""

MARGIN = 3
STATES = {"in spec": "good", "out of spec": "bad"}
"""All else is a warning: due, or not known yet."""


@dataclass(frozen=True, slots=True)
class ShownTask:
    """One calibration as a node tells it; `valid_s` and `due_s` are None before a good result."""

    name: str
    state: str
    depends: tuple[str, ...]
    value: str
    due_s: float | None
    valid_s: float | None


def tasks_of(told: Mapping[str, str]) -> list[ShownTask]:
    """What a node says of the calibrations of one link, in its order."""
    figures = dict(told)
    found = []
    for key, state in told.items():
        name = key.removesuffix("_state")
        if name == key:
            continue
        value, due_s = number(figures, f"{name}_value"), number(figures, f"{name}_due_s")
        age_s = number(figures, f"{name}_age_s")
        found.append(
            ShownTask(
                name,
                state,
                tuple(told.get(f"{name}_depends", "").split()),
                "" if value is None else _worded(value, told.get(f"{name}_unit", "")),
                due_s,
                None if due_s is None or age_s is None else due_s + age_s,
            )
        )
    return found


def calibration_graph(tasks: list[ShownTask]) -> Html:
    """The graph twice, of which a page shows one: along the line, and downwards for a phone."""
    return joined((_drawing(tasks, down=False), _drawing(tasks, down=True)))


def layers(tasks: list[ShownTask]) -> list[list[ShownTask]]:
    """Each task one layer after the last of what it depends on; a dependency that is not told of,
    and one in a circle, counts for nothing."""
    named = {task.name: task for task in tasks}

    def depth(task: ShownTask, above: frozenset[str]) -> int:
        known = [named[name] for name in task.depends if name in named and name not in above]
        return 1 + max((depth(each, above | {task.name}) for each in known), default=-1)

    at = {task.name: depth(task, frozenset({task.name})) for task in tasks}
    return [[t for t in tasks if at[t.name] == k] for k in range(max(at.values(), default=-1) + 1)]


def _drawing(tasks: list[ShownTask], *, down: bool) -> Html:
    rows = layers(tasks)
    most = max(len(row) for row in rows)
    along, across = (BOX[1] + GAP[1], BOX[0] + 16) if down else (BOX[0] + GAP[0], BOX[1] + 16)
    corners: dict[str, tuple[float, float]] = {}
    for k, row in enumerate(rows):
        for n, task in enumerate(row):
            beside = (n + (most - len(row)) / 2) * across
            corners[task.name] = (beside, k * along) if down else (k * along, beside)
    width = max(x for x, _ in corners.values()) + BOX[0] + 2 * MARGIN
    height = max(y for _, y in corners.values()) + BOX[1] + 2 * MARGIN
    arrows = [
        _arrow(corners[name], corners[task.name], down=down)
        for task in tasks
        for name in task.depends
        if name in corners
    ]
    return tag(
        "svg",
        *arrows,
        *(_box(task, *corners[task.name]) for task in tasks),
        class_="graph down" if down else "graph along",
        viewBox=f"{-MARGIN} {-MARGIN} {width:g} {height:g}",
        style=f"max-width: {width:g}px",
        role="img",
        aria_label="Calibrations, each after what it depends on",
    )


def _box(task: ShownTask, x: float, y: float) -> Html:
    wide, high = BOX
    left = 0.0
    if task.due_s is not None and task.valid_s:
        left = min(1.0, max(0.0, task.due_s / task.valid_s))
    lines = [
        tag("text", task.name, x=12, y=22, class_="name"),
        tag("text", task.state, x=12, y=41, class_="state"),
        tag("text", task.value or "no figure yet", x=12, y=60, class_="small"),
        tag("text", _validity(task), x=12, y=79, class_="small"),
        tag("rect", x=12, y=86, width=wide - 24, height=4, rx=2, class_="whole"),
        tag("rect", x=12, y=86, width=round((wide - 24) * left), height=4, rx=2, class_="left"),
    ]
    box = tag("rect", x=0, y=0, width=wide, height=high, rx=8, class_="box")
    return tag(
        "g",
        box,
        *lines,
        transform=f"translate({x:g} {y:g})",
        data_state=STATES.get(task.state, "warn"),
        data_task=task.name,
    )


def _arrow(start: tuple[float, float], end: tuple[float, float], *, down: bool) -> Html:
    """From the far side of one box to the near side of another, with its head."""
    wide, high = BOX
    if down:
        (x1, y1), (x2, y2) = (start[0] + wide / 2, start[1] + high), (end[0] + wide / 2, end[1])
        middle = (y1 + y2) / 2
        line = f"M{x1:g} {y1:g} C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2 - 8:g}"
        head = f"M{x2 - 5:g} {y2 - 9:g} L{x2:g} {y2 - 1:g} L{x2 + 5:g} {y2 - 9:g} Z"
    else:
        (x1, y1), (x2, y2) = (start[0] + wide, start[1] + high / 2), (end[0], end[1] + high / 2)
        middle = (x1 + x2) / 2
        line = f"M{x1:g} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} {x2 - 8:g} {y2:g}"
        head = f"M{x2 - 9:g} {y2 - 5:g} L{x2 - 1:g} {y2:g} L{x2 - 9:g} {y2 + 5:g} Z"
    return joined((tag("path", d=line, class_="arrow"), tag("path", d=head, class_="head")))


def _validity(task: ShownTask) -> str:
    if task.due_s is None:
        return "no good result yet"
    if task.due_s <= 0:
        return f"valid until {span(-task.due_s)} ago"
    return f"valid for {span(task.due_s)}"


def _worded(value: float, unit: str) -> str:
    return si(value * 1e-12, "s") if unit == "ps" else f"{value:.2g} {unit}".rstrip()
