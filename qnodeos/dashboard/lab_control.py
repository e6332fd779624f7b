"""What an operator may do to a simulated lab from the dashboard."""

from __future__ import annotations

import json
from collections.abc import Mapping

from qnodeos.dashboard.control import Act, Field, Question
from qnodeos.dashboard.lab import Lab
from qnodeos.errors import UserError

WHERE = "in the simulated lab"


def lab_acts(lab: Lab) -> Mapping[str, Act]:
    """Change a value, let something break, take a fault back."""

    async def change(path: str, answers: Mapping[str, str]) -> str:
        return await lab.set(path, _value(answers["value"]))

    async def break_(of: str, answers: Mapping[str, str]) -> str:
        size, for_s = _number(answers, "size"), _number(answers, "for_s")
        return await lab.fault(of, answers["kind"], size, for_s)

    async def end(number: str, answers: Mapping[str, str]) -> str:
        return await lab.end(int(number))

    return {
        "lab-set": Act(lambda path: _change(lab, path), change),
        "lab-fault": Act(lambda of: _break(lab, of), break_),
        "lab-end": Act(lambda n: Question(f"Take this fault {WHERE} back", _fault(lab, n)), end),
    }


def _change(lab: Lab, path: str) -> Question:
    value: object = lab.world
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    now = value if isinstance(value, str) else json.dumps(value)
    return Question(f"Change this {WHERE}", path, (Field("value", "Value", now),))


def _break(lab: Lab, of: str) -> Question:
    kinds = lab.breakable.get(of.partition(".")[0], {}).get("kinds", {})
    fields = (
        Field("kind", "What", next(iter(kinds), ""), {n: _words(n, k) for n, k in kinds.items()}),
        Field("size", "How much (empty: as usual)", ""),
        Field("for_s", "Seconds (empty: until taken back)", ""),
    )
    return Question(f"Let this go wrong {WHERE}", of, fields)


def _words(name: str, kind: Mapping[str, object]) -> str:
    """A kind of fault with its size: "cut: the fibre is cut (150, 0 to 200 dB more)"."""
    text = f"{name}: {kind['what']}"
    if kind["unit"]:
        text += f" ({kind['size']:g}, {kind['least']:g} to {kind['most']:g} {kind['unit']})"
    return text


def _fault(lab: Lab, number: str) -> str:
    acting = lab.world.get("faults", ())
    words = (f"{each['fault']} of {each['of']}" for each in acting if str(each["n"]) == number)
    return next(words, f"fault {number}")


def _value(text: str) -> object:
    """As the lab's console takes it: JSON, or else a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _number(answers: Mapping[str, str], name: str) -> float | None:
    text = answers[name].strip()
    try:
        return float(text) if text else None
    except ValueError as error:
        what = "how much" if name == "size" else "the seconds"
        raise UserError(f"{what} is no number", found=text, expected="such as 2.5") from error
