"""Which requests a memory link takes: those it can serve, as well as they ask, in their time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from link_layer.messages import Create, ErrorCode, Measuring
from link_layer.purify import Recipe
from link_layer.queue import RequestQueue
from link_layer.served_rate import Rate, ServedRate, too_late, too_wide
from link_layer.states import shrunk_fidelity
from qnodeos.memory import QuantumMemory
from qnodeos.memory_quality import MemoryQuality
from qnodeos.purifying import HELD_TOGETHER, Purifier

KEEP_FREE_QUBITS = 1
"""Storage qubits that the network leaves to applications, which need one to teleport from."""


class Admission:
    """The decision at one end; both ends make it. `missing` says what a request would wait for in
    vain."""

    def __init__(
        self,
        link: str,
        *,
        clock: Callable[[], float],
        queue: RequestQueue,
        served: ServedRate,
        quality: MemoryQuality,
        purifier: Purifier,
        memory: Callable[[], QuantumMemory | None],
        missing: Callable[[], str],
    ):
        self._link, self._clock, self._queue = link, clock, queue
        self._served, self._quality, self._purifier = served, quality, purifier
        self._memory, self._missing = memory, missing

    def refusal(self, create: Create) -> tuple[ErrorCode, str] | None:
        """Why a request is not taken, with the figures; None if it is."""
        link = f"link {self._link}"
        if not all(map(_measurable, (create.near, create.far))):
            text = f"{link} measures in Z, X and Y; its devices turn by no other angle"
            return ErrorCode.UNSUPPORTED, text
        if text := self._missing():
            return ErrorCode.NO_RESOURCES, f"{link} is not ready: {text}"
        if text := self.not_as_good(create):
            return ErrorCode.UNSUPPORTED, text
        if text := self._without_room(create):
            return ErrorCode.NO_RESOURCES, f"{link}: {text}"
        ahead, each = self._queue.load(create.priority), self._purifier.raw_per_pair(create)
        if text := too_late(create, ahead, self.rate(create.priority), each):
            self._served.refused(self._clock())
            return ErrorCode.NO_TIME, f"{link}: {text}"
        return None

    def not_as_good(self, create: Create) -> str:
        """Why the link's pairs cannot have the fidelity that is asked; "" if they can."""
        recipe, wanted = self._purifier.choice(create), create.minimum_fidelity
        if isinstance(recipe, str):
            return f"link {self._link}: {recipe}"
        highest = shrunk_fidelity(self._quality.highest, self._quality.kept_for(create))
        if recipe is None and wanted > highest:
            return f"fidelity {wanted:.3f} is asked, link {self._link} gives {highest:.3f} at most"
        return ""

    def rate(self, priority: int) -> Rate | None:
        """How fast the link serves requests of a priority; None while that is not known."""
        now_s = self._clock()
        rate = self._served.rate(now_s)
        if rate is None:
            return None
        taken_per_s, at_once = self._queue.taken(priority, now_s)
        return replace(rate, taken_per_s=taken_per_s, taken_at_once=at_once)

    def _without_room(self, create: Create) -> str:
        """Why its pairs can never be there at once; "" if they can."""
        memory = self._memory()
        room = memory.capacity - KEEP_FREE_QUBITS if memory is not None else 0
        pairs_per_s = self._served.pairs_per_s(self._clock())
        if isinstance(self._purifier.choice(create), Recipe):
            if room < HELD_TOGETHER:
                held = f"purification holds {HELD_TOGETHER} pairs at once"
                return f"{held}, memory has room for {room}"
            if pairs_per_s is not None:
                pairs_per_s /= self._purifier.raw_per_pair(create)
        together = create.kind == "K" and (not create.consecutive or create.window_s is not None)
        return too_wide(create.number, create.window_s, together, room, pairs_per_s)


def _measurable(measuring: Measuring | None) -> bool:
    """A device of the open device protocol can measure so."""
    if measuring is None:
        return True
    return set(measuring.bases) <= {"X", "Y", "Z"} and not any(measuring.turned_rad)
