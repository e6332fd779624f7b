"""Rates of a photonic link over the last while."""

from __future__ import annotations

from collections import deque
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


class Rates:
    """Singles, coincidences and accidentals, as rates over the last spans."""

    def __init__(self) -> None:
        self._spans: deque[SpanCounts] = deque(maxlen=SPANS)

    def add(self, overlap: Overlap, matches: Matches) -> None:
        """Take in one span with what was found in it."""
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
        """Counts per second; nothing before the first span."""
        length_s = sum(span.length_s for span in self._spans)
        if length_s <= 0:
            return {}
        return {
            "singles_local_cps": sum(span.local for span in self._spans) / length_s,
            "singles_remote_cps": sum(span.remote for span in self._spans) / length_s,
            "coincidences_cps": sum(span.coincidences for span in self._spans) / length_s,
            "accidentals_cps": sum(span.accidentals for span in self._spans) / length_s,
        }
