"""The two witnesses of a success at one end of a heralded link.

The end's own device says in which slot it stopped; the station says in which slot, with which Bell
state, under which sequence number. Only when both name the same slot is there a half to be used.
The far end is the third witness; `link_layer.egp_agreement` hears it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from link_layer.messages import Heralded

MismatchKind = Literal["time", "sequence", "state", "queue"]
"""What the witnesses disagree on: the slot, the station's count, the Bell state, or what the round
was for."""


class Mismatch(Exception):
    """The witnesses contradict each other; `kind` says on what."""

    def __init__(self, kind: MismatchKind, text: str):
        self.kind: MismatchKind = kind
        super().__init__(text)

    def counted(self, counters: Counter[str]) -> None:
        """Count it: all of them, and those of its kind."""
        counters["mismatches"] += 1
        counters[f"mismatches_{self.kind}"] += 1


@dataclass(slots=True)
class Round:
    """What is known of the current round at this end; each witness may come first."""

    number: int
    request: int
    device_slot: int | None = None
    heralded: Heralded | None = None

    def device(self, slot: int) -> None:
        """This end's device stopped in a slot; raises Mismatch."""
        self.device_slot = slot
        self._check()

    def station(self, heralded: Heralded) -> None:
        """The station's announcement; raises Mismatch."""
        if self.heralded is not None and self.heralded != heralded:
            raise Mismatch("sequence", "the station heralds two pairs in one round")
        self.heralded = heralded
        self._check()

    @property
    def held(self) -> Heralded | None:
        """The herald, once this end's device and the station agree: its half may be used."""
        return self.heralded if self.device_slot is not None else None

    def _check(self) -> None:
        station = self.heralded
        if station is not None and self.device_slot not in (None, station.slot):
            raise Mismatch(
                "time",
                f"this end's device stopped in slot {self.device_slot}, "
                f"the station heralds slot {station.slot}",
            )
