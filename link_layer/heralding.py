"""One round of a heralded link, from the three witnesses of a success to a pair both ends own.

The end's own device says in which slot it stopped; the station says in which slot, with which Bell
state, under which sequence number; the far end says which pair it holds. Only when all three name
the same slot, sequence and Bell state is there a pair. Any contradiction drops it.
"""

from __future__ import annotations

from dataclasses import dataclass

from link_layer.messages import Heralded, PairHeld, TestOutcome
from link_layer.states import BellState


class Mismatch(Exception):
    """Two witnesses contradict each other about a pair."""


@dataclass(slots=True)
class Round:
    """What is known of the current round at this end; each witness may come first."""

    number: int
    request: int
    device_slot: int | None = None
    heralded: Heralded | None = None
    far_end: PairHeld | TestOutcome | None = None

    def device(self, slot: int) -> None:
        """This end's device stopped in a slot; raises Mismatch."""
        self.device_slot = slot
        self._check()

    def station(self, heralded: Heralded) -> None:
        """The station's announcement; raises Mismatch."""
        if self.heralded is not None and self.heralded != heralded:
            raise Mismatch("the station heralds two pairs in one round")
        self.heralded = heralded
        self._check()

    def peer(self, held: PairHeld | TestOutcome) -> None:
        """The far end's word; raises Mismatch."""
        self.far_end = held
        self._check()

    @property
    def held(self) -> Heralded | None:
        """The herald, once this end's device and the station agree: its half may be used."""
        return self.heralded if self.device_slot is not None else None

    @property
    def agreed(self) -> PairHeld | TestOutcome | None:
        """The far end's word, once all three witnesses have spoken and none contradicts."""
        return self.far_end if self.held is not None else None

    def _check(self) -> None:
        station, far_end = self.heralded, self.far_end
        if station is not None and self.device_slot not in (None, station.slot):
            raise Mismatch(
                f"this end's device stopped in slot {self.device_slot}, "
                f"the station heralds slot {station.slot}"
            )
        if station is not None and far_end is not None:
            mine = (station.sequence, station.slot, station.bell_state)
            theirs = (far_end.sequence, far_end.slot, far_end.bell_state)
            if mine != theirs:
                raise Mismatch(f"the station says {_named(*mine)}, the far end {_named(*theirs)}")


def _named(sequence: int, slot: int, bell_state: BellState) -> str:
    return f"pair {sequence} in slot {slot} as {bell_state.name}"
