"""Memory modes labelled by attempt: a multimode device keeps the last ones until told which."""

from __future__ import annotations

from collections.abc import Callable

from sim_backends.device_fault import MODE_GONE, DeviceFault
from sim_backends.held_states import Bloch
from sim_backends.midpoint import Attempts
from sim_backends.register import QubitKey, QubitRegister

__all__ = ["LabelledModes"]


class LabelledModes:
    """Which attempts of one device are still in its `count` modes, and what they hold.

    A mode is taken over by the attempt `count` later, whether or not it was given up before.
    `forget` drops what the register has under a key. Only successes are in the register: other
    attempts left their emitter maximally mixed, which is put there when one is kept.
    """

    def __init__(
        self,
        device: str,
        count: int,
        attempts: Attempts,
        member: str,
        register: QubitRegister,
        forget: Callable[[QubitKey], None],
    ) -> None:
        self.count = count
        self._device = device
        self._attempts = attempts
        self._member = member
        self._register = register
        self._forget = forget
        self._given_up: set[int] = set()

    def key(self, slot: int) -> QubitKey:
        """Where the register has the half of an attempt; qubits have numbers from 0 up."""
        return self._device, -1 - slot

    def __len__(self) -> int:
        self.let_overwritten_go()
        return sum(len(span) for span in self._window()) - len(self._given_up)

    def take(self, slot: int) -> QubitKey:
        """Free the mode of this attempt; returns the key of its half, for the caller to rename.

        Raises DeviceFault.
        """
        self._check(slot)
        self._given_up.add(slot)
        key = self.key(slot)
        if not self._register.holds(key):
            mixed = Bloch(0.0, 0.0, 0.0)
            self._register.add([key], mixed, (slot + 1) * self._attempts.period_s)
        return key

    def release(self, slot: int) -> None:
        """Give up the half of this attempt. Raises DeviceFault."""
        self._check(slot)
        self._given_up.add(slot)
        self._forget(self.key(slot))

    def release_all(self) -> None:
        """Give up the halves of all attempts."""
        for span in self._window():
            self._given_up.update(span)
        for slot in self._entangled():
            self._forget(self.key(slot))

    def let_overwritten_go(self) -> None:
        """Forget what later attempts have taken the modes of."""
        spans = self._window()
        self._given_up = {slot for slot in self._given_up if _within(slot, spans)}
        for slot in self._entangled():
            if not _within(slot, spans):
                self._forget(self.key(slot))

    def _check(self, slot: int) -> None:
        self.let_overwritten_go()
        if slot in self._given_up or not _within(slot, self._window()):
            raise DeviceFault(
                MODE_GONE,
                f"no mode of slot {slot}: no attempt then, given up, or one of {self.count} later "
                "attempts has its place",
            )

    def _entangled(self) -> list[int]:
        return [-1 - key[1] for key in self._register.keys_of(self._device) if key[1] < 0]

    def _window(self) -> list[range]:
        return self._attempts.latest(self._member, self.count)


def _within(slot: int, spans: list[range]) -> bool:
    return any(slot in span for span in spans)
