"""The leading end of a photonic link: clocks, bases, coincidences, and what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivers.errors import InstrumentProblem
from drivers.supervisor import Supervisor
from link_layer.fidelity import CorrelatorCounts
from link_layer.matching import Matches, delays_clear_of, match_tags
from link_layer.messages import (
    Basis,
    BasisTurned,
    MatchReport,
    Message,
    TagReport,
    TagUse,
    TestOutcomes,
    TurnBasis,
)
from link_layer.queue import Request
from qnodeos.analysis import TURNING, TurningAnalyzer
from qnodeos.config import PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.measured import MeasuredPairs
from qnodeos.photonic_tests import AwaitedTests, PhotonicTests
from qnodeos.rates import Rates
from qnodeos.requests import Desk
from qnodeos.status import Status
from qnodeos.synchronising import Synchroniser
from qnodeos.watched_delays import WatchedDelays
from timing.sync import Overlap
from timing.tags import TagBatch

TURN_LIMIT_S = 10.0
RETRY_S = 0.5
TELL_CLOCK_S = 0.5
TRIAL_DWELL_S = 1.0
"""In one basis, at most, while somebody waits for the rounds."""
BASES: tuple[Basis, ...] = ("Z", "X", "Y")
EPOCHS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Entries:
    """Pairs whose far tags lie in one report; arrays of shape (n,), `outcomes` are ours.

    `apart_ps` is our tag's time less the far one's.
    """

    basis: Basis
    epoch: int
    sequence: int
    first_pair: int
    tags: NDArray[np.int64]
    use: NDArray[np.uint8]
    outcomes: NDArray[np.uint8]
    apart_ps: NDArray[np.float64]

    def first(self, count: int) -> Entries:
        """At most so many of them."""
        return replace(
            self, tags=self.tags[:count], use=self.use[:count], outcomes=self.outcomes[:count]
        )


class Leader:
    """Half of a photonic link; see `Follower` for the other."""

    def __init__(
        self,
        link: str,
        config: PhotonicLinkTable,
        context: NodeContext,
        analyzer: TurningAnalyzer,
        desk: Desk[MeasuredPairs],
        counters: Counter[str],
        executor: Executor | None,
        *,
        reference: Supervisor | None = None,
    ):
        self._link, self._config, self._context = link, config, context
        self._analyzer, self._desk, self._counters = analyzer, desk, counters
        self._synchroniser = Synchroniser(link, config, context, executor, reference)
        self.tests = PhotonicTests(link, config, context, desk, counters)
        self._rng = np.random.default_rng(context.rng.getrandbits(64))
        self._epoch = context.rng.getrandbits(40) << 16
        self._bases: OrderedDict[int, Basis] = OrderedDict()
        self._cut_short = asyncio.Event()
        self._turned: asyncio.Queue[BasisTurned] = asyncio.Queue(maxsize=8)
        self._next_pair = context.rng.getrandbits(30) << 32
        self._rates = Rates(context.clock)
        self.watched = WatchedDelays(config.window_ps, context.clock)
        self.paused = False
        """No request is begun; the one that has got pairs already is served to its end."""

    def tags(self, stream: int, batch: TagBatch, epoch: int) -> None:
        """Take a batch of our own tagger."""
        self._synchroniser.local(stream, batch, epoch)
        self._match()

    def handle(self, message: Message) -> None:
        """Take a message of the following end."""
        match message:
            case TagReport():
                self._counters["reports_thinned"] += message.sent_until_ps < message.stop_ps
                self._synchroniser.remote(message)
                self._match()
            case TestOutcomes():
                self.tests.far_outcomes(message)
            case BasisTurned():
                self._far_turned(message)
            case _:
                self._counters["stale_messages"] += 1

    def reset(self, reason: str) -> None:
        """The following end is gone: its clock has to be found again."""
        self._synchroniser.reset(reason)
        self.tests.forget_awaited()
        # Nobody will answer the turn under way.
        self._far_turned(BasisTurned(self._link, self._epoch, ok=False, reason=reason))

    async def fresh_tests(self, rounds: int, within_s: float) -> dict[str, CorrelatorCounts]:
        """Light has just been turned: what so many test rounds a basis say from now on.

        Bases turn quicker meanwhile. Raises TimeoutError.
        """
        self._analyzer.spoil()
        self._cut_short.set()
        return await self.tests.after(self._epoch, rounds, within_s)

    def find_clock_afresh(self) -> None:
        """Forget what is known of the clocks: an end asks for it."""
        self._synchroniser.reset("asked to be found afresh")

    async def run(self, wanted: asyncio.Event) -> None:
        """Turn bases and acquire clocks while the link is wanted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell_clock(wanted))
            tasks.create_task(self._synchroniser.run())
            tasks.create_task(self.tests.keep_estimate())
            while True:
                await wanted.wait()
                for basis in BASES:
                    await self._dwell(basis)

    @property
    def matched_s(self) -> float:
        """When tags of both ends were last compared, on the node's own clock."""
        return self._rates.last_s

    def status(self) -> Status:
        """Clock, rates and fidelity."""
        return {
            **self._counters,
            **self._synchroniser.status(),
            **self._rates.status(),
            **self.tests.status(),
        }

    # Bases.

    async def _dwell(self, basis: Basis) -> None:
        """Measure in one basis for a while, if both analyzers can be turned to it."""
        self._epoch += 1
        epoch = self._epoch
        self._bases[epoch] = basis
        while len(self._bases) > EPOCHS_KEPT:
            self._bases.popitem(last=False)
        if not self._context.send(self._config.peer, TurnBasis(self._link, epoch, basis)):
            await asyncio.sleep(RETRY_S)
            return
        try:
            await self._analyzer.turn(basis, epoch)
            async with asyncio.timeout(TURN_LIMIT_S):
                while (turned := await self._turned.get()).epoch != epoch:
                    pass
        except InstrumentProblem as problem:
            self._counters["turns_failed"] += 1
            self._context.store.event("turn-failed", {"basis": basis, "reason": str(problem)})
            await asyncio.sleep(RETRY_S)
            return
        except TimeoutError:
            self._counters["turns_failed"] += 1
            return
        if not turned.ok:
            self._counters["turns_failed"] += 1
            self._context.store.event("turn-failed", {"basis": basis, "reason": turned.reason})
            await asyncio.sleep(RETRY_S)
            return
        dwell_s = self._config.basis_dwell_s
        self._cut_short.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                min(dwell_s, TRIAL_DWELL_S) if self.tests.on_trial else dwell_s
            ):
                await self._cut_short.wait()

    def _far_turned(self, turned: BasisTurned) -> None:
        if self._turned.full():
            self._turned.get_nowait()
        self._turned.put_nowait(turned)

    # Pairs.

    def _match(self) -> None:
        for overlap in self._synchroniser.overlaps():
            # Wider while the clock is less sure, but clear of the windows for accidentals.
            delays_ps = delays_clear_of(self._config.window_ps)
            matches = match_tags(
                overlap.local.time_ps,
                overlap.remote_mapped_ps,
                min(overlap.window_ps, max(delays_ps) // 2),
                delays_ps,
            )
            self._rates.add(overlap, matches)
            self.watched.add(overlap)
            request = self._served()
            # Whole spans are tested or delivered: a tag that stands in a delayed window of a test
            # must not be half of a delivered pair, whose outcome would then be disclosed.
            if request is None or self._rng.random() < self._config.test_fraction:
                self._test(overlap, matches)
            else:
                self._deliver(overlap, matches, request)

    def _served(self) -> Request | None:
        """The request that pairs go to now: none before the fidelity is known to suffice."""
        queue = self._desk.queue
        begun = (each for each in queue if each.delivered)
        request = next(begun, None) if self.paused else queue.next()
        estimate = self.tests.estimate
        if request is None or estimate is None:
            return None
        return request if estimate.fidelity >= request.create.minimum_fidelity else None

    def _test(self, overlap: Overlap, matches: Matches) -> None:
        pairs = [(matches.local, matches.remote), *matches.delayed]
        local = np.concatenate([one for one, _ in pairs])
        remote = np.concatenate([other for _, other in pairs])
        use = np.full(len(local), TagUse.ACCIDENTAL, np.uint8)
        use[: len(matches)] = TagUse.TEST
        for entry in self._by_report(overlap, local, remote, use):
            if self._report(entry, request=0):
                accidental = entry.use == TagUse.ACCIDENTAL
                self.tests.expect(
                    entry.first_pair,
                    AwaitedTests(
                        entry.basis,
                        entry.epoch,
                        entry.outcomes,
                        accidental,
                        entry.apart_ps,
                        matches.windows,
                    ),
                )

    def _deliver(self, overlap: Overlap, matches: Matches, request: Request) -> None:
        use = np.full(len(matches), TagUse.DELIVERED, np.uint8)
        estimate = self.tests.estimate
        fidelity = estimate.fidelity if estimate else 0.0
        for entry in self._by_report(overlap, matches.local, matches.remote, use):
            wanted = entry.first(max(request.missing, 0))
            if not len(wanted.tags) or not self._report(wanted, request=request.id):
                continue
            count = len(wanted.tags)
            pairs = MeasuredPairs(
                self._link,
                wanted.basis,
                wanted.first_pair + np.arange(count, dtype=np.int64),
                wanted.outcomes,
                fidelity,
            )
            taken = self._desk.deliver(request.id, wanted.first_pair, pairs, count=count)
            self._counters["delivered" if taken else "undelivered"] += count

    def _by_report(
        self,
        overlap: Overlap,
        local: NDArray[np.int64],
        remote: NDArray[np.int64],
        use: NDArray[np.uint8],
    ) -> Iterator[Entries]:
        """Pairs taken in one basis at both ends, one group for each report of the far end."""
        labels = overlap.local.label[local]
        settled = (labels == overlap.remote.label[remote]) & (labels != TURNING)
        self._counters["pairs_while_turning"] += int(
            np.count_nonzero(~settled & (use != TagUse.ACCIDENTAL))
        )
        local, remote, use = local[settled], remote[settled], use[settled]
        sequences = overlap.remote.sequence[remote]
        reflected = self._config.outcome_channels[1]
        for sequence in np.unique(sequences):
            chosen = sequences == sequence
            epoch = int(overlap.remote.label[remote[chosen][0]])
            basis = self._bases.get(epoch)
            if basis is None:
                continue
            count = int(np.count_nonzero(chosen))
            outcomes = overlap.local.channel[local[chosen]] == reflected
            apart_ps = (
                overlap.local.time_ps[local[chosen]] - overlap.remote_mapped_ps[remote[chosen]]
            )
            yield Entries(
                basis=basis,
                epoch=epoch,
                sequence=int(sequence),
                first_pair=self._next_pair,
                tags=overlap.remote.index[remote[chosen]],
                use=use[chosen],
                outcomes=outcomes.astype(np.uint8),
                apart_ps=apart_ps.astype(np.float64),
            )
            self._next_pair += count

    def _report(self, entries: Entries, *, request: int) -> bool:
        stream = self._synchroniser.remote_stream
        if stream is None:
            return False
        return self._context.send(
            self._config.peer,
            MatchReport(
                self._link,
                stream,
                entries.sequence,
                entries.first_pair,
                entries.tags.astype("<u4").tobytes(),
                entries.use.tobytes(),
                request,
            ),
        )

    async def _tell_clock(self, wanted: asyncio.Event) -> None:
        """Let the following end know what we know of the clocks."""
        while True:
            await wanted.wait()
            report = self._synchroniser.report()
            if report is not None:
                self._context.send(self._config.peer, report)
            await asyncio.sleep(TELL_CLOCK_S)
