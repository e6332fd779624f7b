"""The peak of pairs near where it is expected, in as little light as it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cext.histogram import difference_histogram
from timing.clock import ClockModel
from timing.peak import Floats, log_tail
from timing.shapes import PeakFit, ShapeTable, fit_peak
from timing.tags import TimesPs


@dataclass(frozen=True, slots=True)
class FoundPeak:
    """A peak, relative to the line `about`; its instant is the middle of [start, stop), remote.

    `counts` and `centres_ps` are the histogram it was found in, of `singles` tags (local, remote).
    """

    fit: PeakFit
    about: ClockModel
    start_ps: int
    stop_ps: int
    counts: Floats
    centres_ps: Floats
    singles: tuple[int, int]

    @property
    def at_ps(self) -> int:
        """The instant it stands for."""
        return (self.start_ps + self.stop_ps) // 2


class PeakFinder:
    """Adds spans up about one line until the peak is more than chance.

    `log_chance` is the logarithm of the probability at which a peak is believed. What was added up
    is dropped when it has lasted `longest_ps`, since the clock has moved meanwhile.
    """

    def __init__(self, log_chance: float):
        self._log_chance = log_chance
        self._about: ClockModel | None = None
        self._low_ps = self._bin_ps = self._bins = 0
        self._counts: Floats = np.zeros(0)
        self._chance = 0.0
        self._start_ps = self._stop_ps = 0
        self._singles = (0, 0)

    @property
    def waiting_ps(self) -> int:
        """How long the spans added up so far last."""
        return 0 if self._about is None else self._stop_ps - self._start_ps

    def drop(self) -> None:
        """Forget what was added up."""
        self._about = None

    def add(
        self,
        local_ps: TimesPs,
        remote_ps: TimesPs,
        span: tuple[int, int],
        about: ClockModel,
        half_ps: float,
        table: ShapeTable,
        longest_ps: float,
    ) -> FoundPeak | None:
        """Take in one span, [start, stop) remote; the peak in all since the last one, if it shows.

        `about` is the line to look about, `half_ps` how far.
        """
        start_ps, stop_ps = span
        if self._about is not None and stop_ps - self._start_ps > longest_ps:
            self._about = None
        if self._about is None:
            self._begin(start_ps, about, half_ps, table)
        assert self._about is not None
        mapped_ps = self._about.to_local(remote_ps)
        counts = difference_histogram(mapped_ps, local_ps, self._low_ps, self._bin_ps, self._bins)
        self._counts += counts
        self._stop_ps = stop_ps
        self._singles = (self._singles[0] + len(local_ps), self._singles[1] + len(remote_ps))
        if len(local_ps) and len(remote_ps):
            # Light that fills only part of the span is denser there.
            lit_ps = min(_length(local_ps), _length(remote_ps))
            self._chance += len(local_ps) * len(remote_ps) / max(1, lit_ps) * self._bin_ps
        found = self._look(table)
        if found is not None:
            self._about = None
        return found

    def _begin(self, start_ps: int, about: ClockModel, half_ps: float, table: ShapeTable) -> None:
        self._about, self._start_ps = about, start_ps
        self._bin_ps = max(1, int(table.shape.rms_ps / 8))
        self._bins = 2 * math.ceil(half_ps / self._bin_ps)
        self._low_ps = -(self._bins // 2) * self._bin_ps
        self._counts = np.zeros(self._bins)
        self._chance, self._singles = 0.0, (0, 0)

    def _look(self, table: ShapeTable) -> FoundPeak | None:
        assert self._about is not None
        counts, bins = self._counts, self._bins
        total = float(counts.sum())
        if total < 3:
            return None
        wide = min(bins, max(1, round(3 * table.shape.rms_ps / self._bin_ps)))
        running = np.concatenate(([0.0], np.cumsum(counts)))
        boxes = running[wide:] - running[:-wide]
        at = int(np.argmax(boxes))
        best = float(boxes[at])
        # The singles give the chance of accidental pairs; the rest of the window may show more.
        by_window = (total - best) / max(1, bins - wide) * wide
        chance = max(self._chance * wide, by_window)
        if math.log(bins) + log_tail(best, chance) > self._log_chance:
            return None
        centres = self._low_ps + (np.arange(bins, dtype=np.float64) + 0.5) * self._bin_ps - 0.5
        near = slice(max(0, at + wide // 2 - 64), at + wide // 2 + 64)
        fit = fit_peak(centres[near], counts[near], table, float(centres[at : at + wide].mean()))
        if fit is None:
            return None
        return FoundPeak(
            fit, self._about, self._start_ps, self._stop_ps, counts, centres, self._singles
        )


def _length(times_ps: TimesPs) -> int:
    return int(times_ps[-1] - times_ps[0]) if len(times_ps) else 0
