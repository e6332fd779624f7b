"""Slots of a network schedule: the same part of every period, on network time.

All nodes count from the same epoch, so that two of them know without a word whose slot is on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlotPattern:
    """[offset, offset + length) of every period, picoseconds on network time.

    A slot may run over the end of its period. Raises ValueError for one that is no part of it.
    """

    period_ps: int
    offset_ps: int
    length_ps: int

    def __post_init__(self) -> None:
        if not 0 < self.length_ps <= self.period_ps:
            raise ValueError(
                f"a slot of {self.length_ps} ps: expected a part of its period, {self.period_ps} ps"
            )
        if not 0 <= self.offset_ps < self.period_ps:
            raise ValueError(
                f"a slot at {self.offset_ps} ps: expected an offset in its period of "
                f"{self.period_ps} ps"
            )

    def left_ps(self, now_ps: int) -> int:
        """How long the slot that is on goes on; 0 if none is."""
        return max(0, self.length_ps - self._into_ps(now_ps))

    def until_ps(self, now_ps: int) -> int:
        """How long until the next begins; 0 if one is on."""
        into_ps = self._into_ps(now_ps)
        return 0 if into_ps < self.length_ps else self.period_ps - into_ps

    def _into_ps(self, now_ps: int) -> int:
        return (now_ps - self.offset_ps) % self.period_ps
