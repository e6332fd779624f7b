"""A program's EPR sockets: what it asks for, and what the far end's program asks for.

The creating end makes the request; the receiving end takes part as soon as its socket is open, and
its deliveries wait for `recv_epr`. Results are the ten integers a pair of the SDK.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from link_layer.messages import MeasuredBasis, Measuring, RequestKind
from link_layer.numberings import NETQASM_BELL_STATES
from qnodeos.measured import MeasuredPairs
from qnodeos.memory_link import MemoryLink
from qnodeos.pair import Pair
from qnodeos.process.expecting import Expecting
from qnodeos.process.memory import ProgramFault
from qnodeos.requests import Inbox

RESULT_CELLS = 10
ARGUMENTS = 20
BEST_EFFORT_PERCENT = 100
"""Every example program asks for 100 per cent, which no link gives: it stands for the best there
is, and the goodness that is reached is told with each pair."""

DEFAULT_WITHIN_S = 60.0
_KINDS: tuple[RequestKind, ...] = ("K", "M", "R")
_DRAWN: tuple[tuple[MeasuredBasis, ...], ...] = (("Z",), ("X", "Z"), ("X", "Y", "Z"))
_UNITS_S = (1e-6, 1e-3, 1.0)
_BASIS_NUMBERS = {"Z": 0, "X": 1, "Y": 2}


@dataclass(slots=True)
class EprSocket:
    """One socket of a program. `purpose` is what the two ends of a pair of sockets have in common,
    as the far end's requests name it; `ours` as our own do."""

    link: MemoryLink
    remote_node: int
    fidelity: float
    purpose: str
    ours: str
    inbox: Inbox[Any] | None = None
    expecting: Expecting | None = None
    waiting: deque[Any] = field(default_factory=deque)

    def open(self) -> None:
        """Take part in the far end's requests. Raises ProgramFault."""
        try:
            self.inbox = self.link.desk.accept(self.purpose)
        except ValueError as taken:
            raise ProgramFault(f"EPR socket: {taken}") from None
        self.inbox.taker = self.expecting
        if self.expecting is not None:
            share = self.expecting.holding.share
            self.link.shared.programs.opened(self.link.name, self._common, share)

    @property
    def _common(self) -> str:
        """The name of the pair of sockets at both ends: that which the leading end's has."""
        return self.ours if self.link.leads else self.purpose

    def close(self) -> None:
        """Take part no longer; what was not received is given up."""
        self.link.desk.leave(self.purpose)
        self.link.shared.programs.closed(self.link.name, self._common)
        for item in self.waiting:
            if isinstance(item, Pair):
                item.give_up("its program is over")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a `create_epr` asks for."""

    kind: RequestKind
    number: int
    wishes: dict[str, Any]


def wanted(arguments: Sequence[int | None], fidelity: float) -> Wanted:
    """From the argument array; undefined cells are 0. Raises ProgramFault."""
    if len(arguments) < ARGUMENTS:
        raise ProgramFault(f"{len(arguments)} arguments of create_epr, expected {ARGUMENTS}")
    values = [value or 0 for value in arguments]
    kind_number, number = values[0], values[1]
    if not 0 <= kind_number < len(_KINDS):
        raise ProgramFault(f"no type {kind_number} of pairs; there are 0 K, 1 M, 2 R")
    kind = _KINDS[kind_number]
    unit, time = values[5], values[6]
    if not 0 <= unit < len(_UNITS_S):
        raise ProgramFault(f"no time unit {unit}; there are 0 us, 1 ms, 2 s")
    within_s = time * _UNITS_S[unit] if time > 0 else DEFAULT_WITHIN_S
    wishes: dict[str, Any] = {
        "minimum_fidelity": fidelity,
        "within_s": within_s,
        "priority": values[7],
        "atomic": bool(values[8]),
        # The SDK corrects by the Bell state it is told, but of a second request in one subroutine
        # the wrong qubit (netqasm 2.3.0 sets the qubit's register to 0). Of Phi+ it corrects none.
        "corrected": True,
    }
    if kind != "K":
        wishes["near"] = _measuring(values[2], values[10:12], values[14:17])
    if kind == "M":
        wishes["far"] = _measuring(values[3], values[12:14], values[17:20])
    return Wanted(kind, number, wishes)


def _measuring(drawn: int, shares: Sequence[int], turns: Sequence[int]) -> Measuring:
    if not 0 <= drawn < len(_DRAWN):
        raise ProgramFault("the devices measure in X, Y and Z, not in the CHSH bases")
    bases = _DRAWN[drawn]
    if len(bases) > 1:
        first = [share / 255 for share in shares[: len(bases) - 1]]
        if not any(first):
            first = [1 / len(bases)] * (len(bases) - 1)
        return Measuring(bases, (*first, 1 - sum(first)))
    return Measuring((_basis(turns),), (1.0,))


def _basis(turns: Sequence[int]) -> MeasuredBasis:
    """The basis of a measurement in Z after turns about X, Y, X by n pi/16. Raises ProgramFault."""
    turned = tuple(turn % 32 for turn in turns)
    # The SDK's own: X is a turn by -pi/2 about Y, Y one by pi/2 about X.
    known: dict[tuple[int, ...], MeasuredBasis] = {
        (0, 0, 0): "Z",
        (0, 24, 0): "X",
        (8, 0, 0): "Y",
    }
    if turned not in known:
        angles = ", ".join(f"{turn * math.pi / 16:.3f}" for turn in turned)
        raise ProgramFault(f"pairs are measured in X, Y or Z, not after turns of {angles} rad")
    return known[turned]


def results(
    item: Pair | MeasuredPairs, socket: EprSocket, *, qubit: int, theirs: bool, create_id: int
) -> list[int]:
    """The ten integers of a pair. Sequences are cut to 31 bits, goodness is in per cent."""
    bell_state = NETQASM_BELL_STATES.number(item.bell_state)
    goodness = round(100 * item.fidelity)
    if isinstance(item, Pair):
        return [
            0,
            create_id,
            qubit,
            int(theirs),
            item.sequence & 0x7FFF_FFFF,
            0,
            socket.remote_node,
            goodness,
            0,
            bell_state,
        ]
    return [
        1,
        create_id,
        int(item.outcomes[0]),
        _BASIS_NUMBERS.get(item.basis, 0),
        int(theirs),
        int(item.pairs[0]) & 0x7FFF_FFFF,
        0,
        socket.remote_node,
        goodness,
        bell_state,
    ]
