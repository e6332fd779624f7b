"""The following end of a photonic link: reports its time stamps, discloses outcomes of tests."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict

import numpy as np
from numpy.typing import NDArray

from drivers.errors import InstrumentProblem
from link_layer.messages import (
    Basis,
    BasisTurned,
    ClockReport,
    LinkQuality,
    MatchReport,
    Message,
    TagReport,
    TagUse,
    TestOutcomes,
    TurnBasis,
)
from qnodeos.analysis import TURNING, TurningAnalyzer
from qnodeos.config import PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.exchange import TagExchange
from qnodeos.measured import MeasuredPairs
from qnodeos.requests import Desk
from qnodeos.status import Status
from timing.tags import PS_PER_S, TagBatch, joined

REPORTS_KEPT = 400
"""Reports that may still be matched: some twenty seconds of them."""

REPORT_PS = PS_PER_S // 10
"""Batches are gathered into reports of about this length: each message costs some 200 bytes."""

REPORT_TAGS = 20_000
"""A report with so many tags goes at once."""

CLOCK_KNOWN_S = 3.0
"""What the leading end has told of the clocks is old after this long."""


class Follower:
    """Half of a photonic link; see `Leader` for the other."""

    def __init__(
        self,
        link: str,
        config: PhotonicLinkTable,
        context: NodeContext,
        analyzer: TurningAnalyzer,
        desk: Desk[MeasuredPairs],
        counters: Counter[str],
    ):
        self._link, self._config, self._context = link, config, context
        self._analyzer, self._desk, self._counters = analyzer, desk, counters
        self._turns: asyncio.Queue[TurnBasis] = asyncio.Queue(maxsize=8)
        self._reports: OrderedDict[tuple[int, int], tuple[NDArray[np.uint8], int]] = OrderedDict()
        self._bases: dict[int, Basis] = {}
        self._sequence = 0
        self._quality: LinkQuality | None = None
        self._clock: tuple[float, ClockReport] | None = None
        self._stream: int | None = None
        self._gathered: list[TagBatch] = []
        self._gathered_epoch = TURNING
        self._exchange = TagExchange(
            config.tag_bytes_per_s, context.clock, counters, self._exchange_changed
        )

    def tags(self, stream: int, batch: TagBatch, epoch: int) -> None:
        """Report batches, some together: times only. Outcomes stay here."""
        gathered = self._gathered
        if gathered and (
            stream != self._stream
            or epoch != self._gathered_epoch
            or batch.start_ps != gathered[-1].stop_ps
            or batch.lost
            or batch.overflow
        ):
            self._report()
        if stream != self._stream:
            self._stream, self._sequence = stream, 0
        self._gathered_epoch = epoch
        gathered.append(batch)
        span_ps = batch.stop_ps - gathered[0].start_ps
        if span_ps >= REPORT_PS or sum(map(len, gathered)) >= REPORT_TAGS:
            self._report()

    def _report(self) -> None:
        """Send what was gathered."""
        batch, epoch, stream = joined(self._gathered), self._gathered_epoch, self._stream
        self._gathered.clear()
        assert stream is not None
        part = self._exchange.slice(batch.time_ps, batch.stop_ps)
        reflected = batch.channel[: part.tags] == self._config.outcome_channels[1]
        self._sequence += 1
        self._reports[stream, self._sequence] = (reflected.astype(np.uint8), epoch)
        while len(self._reports) > REPORTS_KEPT:
            self._reports.popitem(last=False)
        sent = self._context.send(
            self._config.peer,
            TagReport(
                self._link,
                stream,
                self._sequence,
                batch.start_ps,
                part.until_ps,
                batch.stop_ps,
                epoch,
                part.data,
                batch.lost or batch.overflow,
            ),
        )
        self._counters["reports_unsent"] += not sent

    def handle(self, message: Message) -> None:
        """Take a message of the leading end."""
        match message:
            case TurnBasis():
                if self._turns.full():
                    self._turns.get_nowait()
                self._turns.put_nowait(message)
            case MatchReport():
                self._matched(message)
            case LinkQuality():
                self._quality = message
            case ClockReport():
                self._clock = (self._context.clock(), message)
            case _:
                self._counters["stale_messages"] += 1

    def reset(self, reason: str) -> None:
        """The leading end is gone, and with it the meaning of epochs."""
        self._gathered.clear()
        self._analyzer.spoil()
        self._quality = self._clock = None

    def find_clock_afresh(self) -> None:
        """Nothing to do: the leading end finds it."""

    async def run(self, wanted: asyncio.Event) -> None:
        """Turn the analyzer when told to, until cancelled."""
        while True:
            turn = await self._turns.get()
            if not self._turns.empty():
                continue
            ok, reason = True, ""
            try:
                await self._analyzer.turn(turn.basis, turn.epoch)
            except InstrumentProblem as problem:
                ok, reason = False, str(problem)
            self._bases[turn.epoch] = turn.basis
            while len(self._bases) > REPORTS_KEPT:
                del self._bases[next(iter(self._bases))]
            self._context.send(self._config.peer, BasisTurned(self._link, turn.epoch, ok, reason))

    def status(self) -> Status:
        """What the leading end has told of link and clocks, and our counters."""
        said: Status = {**self._counters, **self._exchange.status(), **self._clock_status()}
        if self._quality is not None:
            said["fidelity"] = self._quality.fidelity
        return said

    def _clock_status(self) -> Status:
        """The clock of the leading end against ours, as it says, seen from here."""
        if self._clock is None or self._context.clock() > self._clock[0] + CLOCK_KNOWN_S:
            return {}
        report = self._clock[1]
        if report.stream != self._stream:
            return {}
        said: Status = {"clock": report.state}
        if report.epoch_ps is not None:
            said["offset_s"] = (report.offset_whole_ps + report.offset_ps) / PS_PER_S
            said["skew_ppm"] = report.skew * 1e6
        if report.uncertainty_ps is not None:
            said["clock_uncertainty_ps"] = report.uncertainty_ps
        return said

    def _exchange_changed(self, thinned: bool) -> None:
        self._context.store.event(
            "tag-exchange",
            {
                "link": self._link,
                "thinned": thinned,
                "limit_bytes_per_s": self._config.tag_bytes_per_s,
            },
        )

    def _matched(self, report: MatchReport) -> None:
        known = self._reports.get((report.stream, report.sequence))
        if known is None:
            self._counters["matches_too_late"] += 1
            return
        if len(report.tags) != 4 * len(report.use):
            self._counters["matches_malformed"] += 1
            return
        tags = np.frombuffer(report.tags, "<u4")
        use = np.frombuffer(report.use, np.uint8)
        outcomes, epoch = known
        basis = self._bases.get(epoch)
        if basis is None or epoch == TURNING or (len(tags) and int(tags.max()) >= len(outcomes)):
            self._counters["matches_malformed"] += 1
            return
        mine = outcomes[tags]
        disclosed = mine[use != TagUse.DELIVERED]
        if len(disclosed):
            self._context.send(
                self._config.peer,
                TestOutcomes(self._link, epoch, report.first_pair, disclosed.tobytes()),
            )
        delivered = np.flatnonzero(use == TagUse.DELIVERED)
        if len(delivered):
            pairs = MeasuredPairs(
                self._link,
                basis,
                report.first_pair + delivered.astype(np.int64),
                mine[delivered],
                self._quality.fidelity if self._quality else 0.0,
            )
            taken = self._desk.deliver(report.request, report.first_pair, pairs, count=len(pairs))
            self._counters["delivered" if taken else "undelivered"] += len(pairs)
