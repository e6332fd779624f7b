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
from qnodeos.measured import MeasuredPairs
from qnodeos.requests import Desk
from qnodeos.status import Status
from timing.tags import TagBatch

REPORTS_KEPT = 400
"""Reports that may still be matched: some twenty seconds of them."""

REPORT_TAGS = 100_000
"""Tags that fit into one message; a batch of more, after a stall, is reported as lost."""


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

    def tags(self, stream: int, batch: TagBatch, epoch: int) -> None:
        """Report a batch: times only. Outcomes stay here."""
        mine = np.isin(batch.channel, self._config.outcome_channels)
        too_long = int(np.count_nonzero(mine)) > REPORT_TAGS
        if too_long:
            mine = np.zeros_like(mine)
            self._counters["batches_too_long"] += 1
        outcomes = (batch.channel[mine] == self._config.outcome_channels[1]).astype(np.uint8)
        self._sequence += 1
        self._reports[stream, self._sequence] = (outcomes, epoch)
        while len(self._reports) > REPORTS_KEPT:
            self._reports.popitem(last=False)
        sent = self._context.send(
            self._config.peer,
            TagReport(
                self._link,
                stream,
                self._sequence,
                batch.start_ps,
                batch.stop_ps,
                epoch,
                batch.time_ps[mine].astype("<i8").tobytes(),
                batch.lost or batch.overflow or too_long,
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
            case _:
                self._counters["stale_messages"] += 1

    def reset(self, reason: str) -> None:
        """The leading end is gone, and with it the meaning of epochs."""
        self._analyzer.spoil()
        self._quality = None

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
        """What the leading end has told of the link, and our counters."""
        said: Status = dict(self._counters)
        if self._quality is not None:
            said |= {"fidelity": self._quality.fidelity, "clock": "followed"}
        return said

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
