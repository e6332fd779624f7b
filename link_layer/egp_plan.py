"""What the link machine asks of its surroundings, and what is to become of a heralded half.

The machine neither waits nor reads a clock: it is told what happened and when, and calls these
methods, all of which return at once. The results of device orders come back by calls of their own,
never from inside the order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from link_layer.messages import Attempt, Heralded, MeasuredBasis, Message, PairHeld, Place
from link_layer.queue import Request
from link_layer.states import Pauli


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the half of a round: kept in a storage qubit, or measured in a basis.

    `corrects`: this end turns the pair into Phi+; `as_phi_plus`: one of the two does. `discloses`:
    the outcome is told to the far end. `test`: the round only tests the link; `ages_in`: in this
    storage qubit until it is measured.
    """

    qubit: int | None = None
    basis: MeasuredBasis | None = None
    corrects: bool = False
    as_phi_plus: bool = False
    discloses: bool = False
    test: bool = False
    ages_in: int | None = None


@dataclass(slots=True)
class Half:
    """This end's half of a heralded pair until the far end has said that it has the other.

    Instants are seconds on the node's own clock. `outcome` is as read, `age_s` since its herald,
    `said` our word to the far
    end, repeated from `repeat_s` on until `until_s`.
    """

    attempt: Attempt
    plan: Plan
    heralded: Heralded
    herald_s: float
    outcome: int | None = None
    age_s: float = 0.0
    said: PairHeld | None = None
    repeat_s: float = 0.0
    repeats: int = 0
    until_s: float = 0.0
    place: Place | None = None


class LinkDevicePort(Protocol):
    """The device of one end, for one link.

    `done` is called with the outcome, if there is one, and the instant. An order that fails is told
    to the machine by `device_failed` instead.
    """

    def start(self, bright_population: float | None) -> None:
        """Attempt until a herald; heralds of earlier attempts are not told.

        With a bright population, unless that is None: then as the last time.
        """
        ...

    def stop(self) -> None:
        """Attempt no longer, and free the communication qubit."""
        ...

    def joint_from(self, slot: int) -> None:
        """The station took part from this slot on in the attempts that led to the last herald."""
        ...

    def gate(self, gate: Pauli, done: Callable[[float], None]) -> None:
        """A gate on the communication qubit."""
        ...

    def move(self, qubit: int, done: Callable[[float], None]) -> None:
        """From the communication qubit into a storage qubit."""
        ...

    def measure(self, basis: MeasuredBasis, done: Callable[[int, float], None]) -> None:
        """Measure the communication qubit."""
        ...

    def read(
        self, qubit: int, done: Callable[[int, float], None], basis: MeasuredBasis = "Z"
    ) -> None:
        """Measure a storage qubit, which frees it."""
        ...


class EndPort(Protocol):
    """Everything else that one end of a link needs."""

    @property
    def device(self) -> LinkDevicePort:
        """The device of this end."""
        ...

    def to_peer(self, message: Message) -> None:
        """Send to the far end; it may get lost."""
        ...

    def to_station(self, message: Message) -> None:
        """Send to the station; it may get lost."""
        ...

    def missing(self) -> str:
        """Why no round can begin now; "" if one can."""
        ...

    def busy(self, request: Request | None) -> str:
        """Why the device cannot be had for a round now; "" if it can. It is asked for by this, with
        what the request has to say for itself."""
        ...

    def bright_population(self, request: Request) -> float | None:
        """With which a round for a request is attempted; None where that is no choice."""
        ...

    def raw(self, request: Request) -> bool:
        """The next pair of a request is one of two that are to be purified."""
        ...

    def in_work(self, request: Request) -> int:
        """Pairs of a request that are being made of two."""
        ...

    def storage(self) -> bool:
        """Some request may find a storage qubit; if not, none is looked at one by one."""
        ...

    def no_room(self, request: Request | None) -> str:
        """Why no storage qubit can be had for one more pair of a request; "" if one can. None: for
        a half that only tests the link."""
        ...

    def allocate(self, request: Request | None) -> int | None:
        """A storage qubit for a pair of a request, or None."""
        ...

    def place(self, half: Half) -> Place | None:
        """Where a half lies that is stored, or was, and what the way there has cost; see
        PairHeld."""
        ...

    def free(self, qubit: int) -> None:
        """Give up what a storage qubit holds, and the qubit."""
        ...

    def corrected(self, herald_s: float, now_s: float) -> bool:
        """A correction is done; False if it came too late for the pair to be of use."""
        ...

    def tested(self, half: Half, far: PairHeld) -> None:
        """Both ends have measured a test round and disclosed the outcomes."""
        ...

    def deliver(self, half: Half, request: Request, far: PairHeld) -> None:
        """Both ends have agreed; the half is the application's."""
        ...

    def told_and_lost(self, half: Half, reason: str) -> None:
        """A half is given up after the far end was told of it, which may have used its own."""
        ...

    def void(self, sequence: int, reason: str) -> None:
        """The far end has lost its half of a pair that was delivered here."""
        ...

    def refuse_attempt(self, attempt: Attempt) -> None:
        """The far end attempts for a request that is not open here."""
        ...
