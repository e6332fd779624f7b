"""Numbers that other people's software gives to error codes and Bell states, never to be mixed.

Three numberings of errors and two of Bell states are in use. Each is an object of its own, so that
a number cannot be read without saying whose it is.
"""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

from link_layer.messages import ErrorCode
from link_layer.states import BellState

Member = TypeVar("Member", bound=enum.Enum)


class Numbering(Generic[Member]):
    """One numbering; `nearest` says what stands for a member that it has no number for."""

    def __init__(
        self, name: str, numbers: dict[Member, int], nearest: dict[Member, Member] | None = None
    ):
        self.name = name
        self._numbers = numbers
        self._members = {number: member for member, number in numbers.items()}
        self._nearest = nearest or {}

    def number(self, member: Member) -> int:
        """The number; raises ValueError where there is none, not even of something near."""
        found = self._numbers.get(self._nearest.get(member, member))
        if found is None:
            raise ValueError(f"{self.name} has no number for {member.name}")
        return found

    def member(self, number: int) -> Member:
        """What a number means; raises ValueError."""
        found = self._members.get(number)
        if found is None:
            known = ", ".join(f"{n} {m.name}" for n, m in sorted(self._members.items()))
            raise ValueError(f"{self.name} has no number {number}; it has {known}")
        return found


DRAFT_ERRORS = Numbering(
    "draft-dahlberg-ll-quantum-03",
    {
        ErrorCode.UNSUPPORTED: 1,
        ErrorCode.CREATE: 2,
        ErrorCode.REJECTED: 3,
        ErrorCode.OTHER: 4,
        ErrorCode.EXPIRED: 5,
        ErrorCode.TIMEOUT: 6,
    },
    {
        # The draft refuses for both reasons with UNSUPP, and knows no cancellation.
        ErrorCode.NO_TIME: ErrorCode.UNSUPPORTED,
        ErrorCode.NO_RESOURCES: ErrorCode.UNSUPPORTED,
        ErrorCode.CANCELLED: ErrorCode.OTHER,
    },
)

_QLINK = {
    ErrorCode.UNSUPPORTED: 0,
    ErrorCode.NO_TIME: 1,
    ErrorCode.NO_RESOURCES: 2,
    ErrorCode.TIMEOUT: 3,
    ErrorCode.REJECTED: 4,
    ErrorCode.OTHER: 5,
    ErrorCode.EXPIRED: 6,
    ErrorCode.CREATE: 7,
}
_CANCELLED_IS_OTHER = {ErrorCode.CANCELLED: ErrorCode.OTHER}

QLINK_ERRORS = Numbering("qlink-interface 1.0", _QLINK, _CANCELLED_IS_OTHER)
SIMULATION_ERRORS = Numbering(
    "QLinkLayerSimulations",
    {code: number + 40 for code, number in _QLINK.items()},
    _CANCELLED_IS_OTHER,
)

QLINK_BELL_STATES = Numbering(
    "qlink-interface 1.0",
    {
        BellState.PHI_PLUS: 0,
        BellState.PHI_MINUS: 1,
        BellState.PSI_PLUS: 2,
        BellState.PSI_MINUS: 3,
    },
)
NETQASM_BELL_STATES = Numbering(
    "netqasm 2.3",
    {
        BellState.PHI_PLUS: 0,
        BellState.PSI_PLUS: 1,
        BellState.PSI_MINUS: 2,
        BellState.PHI_MINUS: 3,
    },
)
