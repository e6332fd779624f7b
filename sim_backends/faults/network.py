"""Faults of the classical network: what becomes of each message between two of its ends.

`carry` has the shape of a road of `mem://` wires and buses; `sim_backends.faults.proxy` puts the
same between real sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from sim_backends.faults.script import FaultConfig

__all__ = ["NetworkFaults", "ways"]

_LATE_S = 0.05
_KEPT = 64

Arrivals = Sequence[tuple[float, bytes, bool]]
"""Each copy that arrives: after how many seconds, what is in it, whether it is the sender's."""


def ways(ends: Sequence[str]) -> list[str]:
    """All that a fault can be of: two ends, one way between two, all ways of one end, all."""
    pairs = [(one, other) for one in ends for other in ends if one != other]
    return [
        *(f"{one}-{other}" for one, other in pairs),
        *(f"{one}>{other}" for one, other in pairs),
        *ends,
        "all",
    ]


class NetworkFaults:
    """Decides message by message; without a fault each arrives once after `delay_s`, in order.

    delay: later by `size`. loss, duplication, reordering, replay, forgery: with probability `size`
    each message is lost, comes twice, is up to 50 ms later than those after it, is followed by an
    older one, is followed by a changed copy of it. partition: nothing gets through.
    """

    def __init__(self, rng: np.random.Generator, *, delay_s: float = 0.0002) -> None:
        self._rng = rng
        self._delay_s = delay_s
        self._acting: dict[int, tuple[FaultConfig, float]] = {}
        self._past: dict[tuple[str, str], deque[bytes]] = {}

    def level(self, number: int, fault: FaultConfig, level: float) -> None:
        """Let a fault be this strong from now on; 0 ends it."""
        if level > 0.0:
            self._acting[number] = (fault, level)
        else:
            self._acting.pop(number, None)

    def carry(self, sender: str, to: str, data: bytes) -> Arrivals:
        """What arrives of a message."""
        if not self._acting:
            return ((self._delay_s, data, True),)
        past = self._past.setdefault((sender, to), deque(maxlen=_KEPT))
        strength = self.strength(sender, to)
        arrivals: list[tuple[float, bytes, bool]] = []
        delay_s = self._delay_s + strength.get("delay", 0.0)
        if not self.happens(strength, "loss"):
            late_s = self._rng.uniform(0.0, _LATE_S) if self.happens(strength, "reordering") else 0
            arrivals.append((delay_s + late_s, data, True))
            if self.happens(strength, "duplication"):
                arrivals.append((delay_s + self._delay_s, data, True))
        if past and self.happens(strength, "replay"):
            arrivals.append((delay_s, past[int(self._rng.integers(len(past)))], True))
        if data and self.happens(strength, "forgery"):
            arrivals.append((delay_s, self.changed(data), False))
        past.append(data)
        return () if "partition" in strength else arrivals

    def strength(self, sender: str, to: str) -> dict[str, float]:
        """How strong each kind of fault is between two ends now."""
        found: dict[str, float] = {}
        names = (f"{sender}-{to}", f"{to}-{sender}", f"{sender}>{to}", sender, to, "all")
        for fault, level in self._acting.values():
            if fault.name in names:
                found[fault.kind] = max(found.get(fault.kind, 0.0), fault.full_size * level)
        return found

    def changed(self, data: bytes) -> bytes:
        """The same with one byte changed."""
        place = int(self._rng.integers(len(data)))
        other = data[place] ^ int(self._rng.integers(1, 256))
        return data[:place] + bytes((other,)) + data[place + 1 :]

    def happens(self, strength: dict[str, float], kind: str) -> bool:
        """Whether, by chance, a fault of this kind befalls a message."""
        return kind in strength and bool(self._rng.random() < strength[kind])
