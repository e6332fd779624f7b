"""What was found when something was looked at, and what helps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: is it right, what was found, what helps.

    `wrong` keeps something from working; `note` is worth knowing.
    """

    state: State
    what: str
    found: str
    do: str = ""


def any_wrong(findings: Iterable[Finding]) -> bool:
    """Is there one that keeps something from working?"""
    return any(each.state == "wrong" for each in findings)
