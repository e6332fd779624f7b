"""What an operator is told when something they gave cannot be used.

QnodeosError
└── UserError     a file, an argument or the machine has to change; one message, exit status 2

Trouble with an instrument is in `drivers.errors`.
"""

from __future__ import annotations

from typing import ClassVar


class QnodeosError(Exception):
    """Base of what the node OS itself raises on purpose."""


class UserError(QnodeosError):
    """One readable message of one to four lines: what, where, found and expected, what to do.

    `what` is a short sentence without a full stop; the other parts may be empty.
    """

    exit_status: ClassVar[int] = 2

    def __init__(
        self, what: str, *, where: str = "", found: str = "", expected: str = "", do: str = ""
    ):
        self.what = what
        self.where = where
        self.found = found
        self.expected = expected
        self.do = do
        super().__init__(what)

    def __str__(self) -> str:
        compared = [
            f"{label} {text}"
            for label, text in (("found", self.found), ("expected", self.expected))
            if text
        ]
        lines = [self.what]
        if self.where:
            lines.append(f"  at {self.where}")
        if compared:
            lines.append("  " + ", ".join(compared))
        if self.do:
            lines.append(f"  {self.do}")
        return "\n".join(lines)


def first_of(problem: BaseException) -> BaseException:
    """The first plain exception of a group, as task groups wrap them; else the exception itself."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem
