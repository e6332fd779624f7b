"""Hong-Ou-Mandel interference at a station, from its tagger's tags while it serves."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cext.pair_histograms import PairHistograms
from drivers.devices import TimeTagger
from link_layer.hom import HomCounts, HomFigures, HomSettings, hom_figures
from qnodeos.config import HomTable
from qnodeos.context import NodeContext
from qnodeos.errors import UserError
from qnodeos.status import Status
from timing.tags import TagBatch

Histograms = NDArray[np.int64]
"""Counts of all pairs of channels; shape (pairs, bins)."""


class HomWatch:
    """Counts coincidences behind the beam splitter for as long as the station runs.

    Its figures are over the last `over_s` to twice that. Nobody is told when an attempt begins:
    the clicks' differences in time are enough, and do not care for the tagger's clock.
    """

    def __init__(
        self,
        link: str,
        table: HomTable,
        context: NodeContext,
    ):
        self.settings = HomSettings((table.port_a, table.port_b), table.window_ps, table.apart_ps)
        self._link, self._table, self._context = link, table, context
        self._rng = np.random.default_rng(context.rng.getrandbits(64))
        self._marks: deque[tuple[float, Histograms]] = deque(maxlen=2)
        self._begin()
        self._before, self._counting = self._total, self._new()
        self._news = asyncio.Event()
        self._known: tuple[Histograms, HomFigures | None] | None = None

    def status(self) -> Status:
        """The visibility with its error, and the coincidences that it rests on."""
        recent = self._recent()
        if self._known is None or not np.array_equal(self._known[0], recent):
            self._known = recent, self._figures(recent)
        figures = self._known[1]
        counts = self._counts(recent)
        told: Status = {"hom_coincidences": counts.coincidences}
        if figures is not None:
            told |= {
                "hom_visibility": figures.visibility,
                "hom_visibility_error": figures.error,
                "hom_visibility_low": figures.low,
                "hom_visibility_high": figures.high,
            }
        return told

    def histogram(self) -> dict[str, Any]:
        """Coincidences over the clicks' difference: of the same mode, and of different modes.

        Time bins are in one histogram, whose peaks beside the middle are the different ones.
        """
        recent, settings = self._recent(), self.settings
        same = recent if settings.apart_ps else recent[:2]
        different = recent[:0] if settings.apart_ps else recent[2:]
        return {
            "low_ps": settings.low_ps,
            "bin_ps": settings.bin_ps,
            "window_ps": settings.window_ps,
            "apart_ps": settings.apart_ps,
            "counts": same.sum(axis=0).tolist(),
            "different": different.sum(axis=0).tolist() if len(different) else None,
        }

    async def measure(
        self, coincidences: int, within_s: float, progress: Callable[[float, str], None]
    ) -> HomFigures:
        """The visibility from so many coincidences on from now, or those of the time that it may
        take. Raises UserError where they do not carry one."""
        before = self._total
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        found = 0
        while found < coincidences and (left_s := until_s - loop.time()) > 0:
            self._news.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._news.wait()
            except TimeoutError:
                break
            if before.shape != self._total.shape:  # another tagger, which counts from nothing
                before = np.zeros_like(self._total)
            found = self._counts(self._total - before).coincidences
            progress(min(1.0, found / coincidences), f"{found} of {coincidences} coincidences")
        figures = self._figures(self._total - before)
        if figures is None:
            raise UserError(
                "too few coincidences for a visibility",
                where=f"link {self._link}",
                found=f"{found} in {within_s:g} s",
                expected="photons of both ends at the station's tagger",
                do="see that the link attempts (somebody asks for pairs), and that port_a, port_b, "
                "window_ps and apart_ps are those of the station",
            )
        return figures

    def _begin(self) -> None:
        """Nothing is counted yet."""
        self._total: Histograms = np.zeros((len(self.settings.pairs), self.settings.bins), np.int64)
        self._marks.append((self._context.clock(), self._total))
        self._marks.append(self._marks[-1])

    def begin(self, tagger: TimeTagger) -> None:
        """A stream begins."""
        settings = replace(self.settings, resolution_ps=tagger.resolution_ps)
        if settings != self.settings:
            self.settings = settings
            self._begin()
        self._before = self._total
        self._counting = self._new()

    def take(self, batch: TagBatch) -> None:
        """Count a batch."""
        self._counting.push(batch.time_ps, batch.channel)
        self._total = self._before + self._counting.counts
        self._news.set()
        now_s = self._context.clock()
        if now_s >= self._marks[-1][0] + self._table.over_s:
            self._marks.append((now_s, self._total))

    def _new(self) -> PairHistograms:
        settings = self.settings
        return PairHistograms(settings.pairs, settings.low_ps, settings.bin_ps, settings.bins)

    def _recent(self) -> Histograms:
        return self._total - self._marks[0][1]

    def _counts(self, histograms: Histograms) -> HomCounts:
        return self.settings.counts(dict(zip(self.settings.pairs, histograms, strict=True)))

    def _figures(self, histograms: Histograms) -> HomFigures | None:
        return hom_figures(self._counts(histograms), self._rng)
