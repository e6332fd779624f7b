"""Rates of a photonic link over the last while."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from link_layer.matching import Matches
from qnodeos.status import Status
from timing.sync import Overlap
from timing.tags import PS_PER_S

SPANS = 50
"""Spans that the rates are over: some five seconds of light."""


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """What one span held."""

    length_s: float
    local: int
    remote: int
    coincidences: int
    accidentals: float


SILENT_S = 2.0
"""After so long without a span nothing is known of the light now."""


class Rates:
    """Singles, coincidences and accidentals, as rates over the last spans. `clock` is in
    seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._spans: deque[SpanCounts] = deque(maxlen=SPANS)
        self._clock = clock
        self.last_s = -math.inf
        """When the last span came, on that clock."""

    def add(self, overlap: Overlap, matches: Matches) -> None:
        """Take in one span with what was found in it."""
        self.last_s = self._clock()
        self._spans.append(
            SpanCounts(
                (overlap.stop_ps - overlap.start_ps) / PS_PER_S,
                len(overlap.local),
                len(overlap.remote),
                len(matches),
                matches.accidentals,
            )
        )

    def status(self) -> Status:
        """Counts per second; nothing where none are known of late."""
        length_s = sum(span.length_s for span in self._spans)
        if length_s <= 0 or self._clock() > self.last_s + SILENT_S:
            return {}
        return {
            "singles_local_cps": sum(span.local for span in self._spans) / length_s,
            "singles_remote_cps": sum(span.remote for span in self._spans) / length_s,
            "coincidences_cps": sum(span.coincidences for span in self._spans) / length_s,
            "accidentals_cps": sum(span.accidentals for span in self._spans) / length_s,
        }
