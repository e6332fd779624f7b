"""The remote clock of a photonic link: found in a process of its own, then followed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager

from drivers.supervisor import Supervisor
from link_layer.messages import ClockReport, TagReport
from qnodeos.clocks import PULLED, LockWatch, clock_noise
from qnodeos.config import PhotonicLinkTable
from qnodeos.context import NodeContext
from qnodeos.exchange import MOST_REPORT_TAGS
from qnodeos.status import Status
from qnodeos.worker import kill_worker, worker_process
from timing.acquire import Acquisition, NoCorrelation
from timing.changes import Change
from timing.clock import ClockState
from timing.packed import unpack_times
from timing.sync import Overlap, PairSynchronizer, run_acquisition
from timing.tags import PS_PER_S, TagBatch

ACQUISITION_LIMIT_S = 30.0
JOURNAL_EVERY_S = 0.25
CLOCK_TICK_S = 0.05


class Synchroniser:
    """Brings two ends' tags onto the local timescale; `overlaps` gives what both have covered."""

    def __init__(
        self,
        link: str,
        config: PhotonicLinkTable,
        context: NodeContext,
        executor: Executor | None,
        reference: Supervisor | None = None,
    ):
        self._link, self._config, self._context = link, config, context
        self._executor = executor
        self._sync = PairSynchronizer(
            window_ps=config.window_ps,
            noise=clock_noise(config, locked=False),
            estimate_noise=config.estimate_clock_noise,
            period_ps=config.pulse_period_ps,
        )
        self._lock = None if reference is None else LockWatch(reference, self._lock_changed)
        self._change: Change | None = None
        self._local_stream: int | None = None
        self.remote_stream: int | None = None
        self._told: ClockState | None = None
        self._journal_s = 0.0
        self._malformed = 0

    def local(self, stream: int, batch: TagBatch, epoch: int) -> None:
        """Take a batch of our tagger."""
        if stream != self._local_stream:
            self._local_stream = stream
            self._sync.reset("local")
        self._sync.add_local(batch, epoch)

    def remote(self, report: TagReport) -> None:
        """Take a report of the far end."""
        if report.stream != self.remote_stream:
            self.remote_stream = report.stream
            self._sync.reset("remote")
        try:
            self._sync.add_remote(
                unpack_times(report.tags, MOST_REPORT_TAGS),
                report.start_ps,
                report.stop_ps,
                report.sequence,
                report.epoch,
                lost=report.lost,
            )
        except ValueError as error:
            self._malformed += 1
            if self._malformed == 1:
                self._context.store.event("tag-report-malformed", {"reason": str(error)})

    def reset(self, reason: str) -> None:
        """The far end is gone; its clock is unknown when it returns."""
        self.remote_stream = None
        self._sync.reset("remote")
        self._tell(reason)

    def overlaps(self) -> list[Overlap]:
        """Spans that have become complete at both ends, in order."""
        spans = self._sync.advance()
        if spans and self._context.clock() >= self._journal_s + JOURNAL_EVERY_S:
            self._journal_s = self._context.clock()
            self._journal(spans[-1])
            self._tell_change()
        self._tell("")
        return spans

    async def run(self) -> None:
        """Acquire whenever the clock is unknown and there is enough data, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._lock is not None:
                tasks.create_task(self._lock.run())
            await self._acquire()

    async def _acquire(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_TICK_S)
            request = self._sync.acquisition_input()
            if request is None:
                continue
            loop = asyncio.get_running_loop()
            began_s = self._context.clock()
            result: Acquisition | NoCorrelation
            try:
                with self._worker() as worker:
                    async with asyncio.timeout(ACQUISITION_LIMIT_S):
                        result = await loop.run_in_executor(worker, run_acquisition, request)
            except TimeoutError:
                result = NoCorrelation(f"the acquisition took more than {ACQUISITION_LIMIT_S:g} s")
            except (BrokenExecutor, ArithmeticError, ValueError, MemoryError) as error:
                result = NoCorrelation(f"the acquisition failed: {error!r}")
            taken = self._sync.accept(request, result)
            self._context.store.event(
                "acquisition",
                {
                    "link": self._link,
                    "took_s": self._context.clock() - began_s,
                    "taken": taken,
                    "result": repr(result),
                },
            )
            self._tell(self._sync.status().last_failure)

    def report(self) -> ClockReport | None:
        """What the far end may know of the clocks; None before its first tags."""
        if self.remote_stream is None:
            return None
        status = self._sync.status()
        if status.model is None:
            return ClockReport(self._link, self.remote_stream, status.state.value)
        return ClockReport(
            self._link,
            self.remote_stream,
            status.state.value,
            status.model.epoch_ps,
            status.model.offset_whole_ps,
            status.model.offset_ps,
            status.model.skew,
            min(status.uncertainty_ps or 0.0, PS_PER_S),
        )

    def status(self) -> Status:
        """State, offset, skew and their uncertainty."""
        status = self._sync.status()
        said: Status = {
            "clock": status.state.value,
            "acquisitions": status.acquisitions,
            "clock_losses": status.losses,
            "clock_recoveries": status.recoveries,
            "reports_malformed": self._malformed,
        }
        if status.model is not None:
            said |= {
                "offset_s": status.model.offset_s,
                "skew_ppm": status.model.skew * 1e6,
                "skew_error_ppm": math.sqrt(max(0.0, status.model.covariance[1][1])) * 1e6,
            }
        if status.uncertainty_ps is not None:
            said["clock_uncertainty_ps"] = status.uncertainty_ps
        if status.statistics is not None:
            said |= {
                "clock_bound_ps": status.statistics.bound_ps,
                "clock_residual_ps": status.statistics.residual_ps,
                "jitter_ps": status.statistics.jitter_ps,
                "jitter_tail_ps": status.statistics.tail_ps,
                "coincidence_rate_cps": status.statistics.pair_rate_cps,
            }
        if status.change is not None:
            said |= {"clock_change": status.change.kind, "clock_step_ps": status.change.step_ps}
        if status.comb is not None and not status.comb.told:
            said["clock_ambiguity"] = status.comb.reason
        if self._lock is not None:
            said["clock_locked"] = self._lock.locked
        return said

    @contextmanager
    def _worker(self) -> Iterator[Executor]:
        """The executor given to us, or a process for this once."""
        if self._executor is not None:
            yield self._executor
            return
        pool = worker_process()
        try:
            yield pool
        except TimeoutError:
            kill_worker(pool)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _journal(self, span: Overlap) -> None:
        """Write the map down exactly: whole picoseconds and the rest apart."""
        status = self._sync.status()
        bound_ps = status.statistics.bound_ps if status.statistics else None
        self._context.store.event(
            "clock",
            {
                "link": self._link,
                "clock_s": self._context.clock(),
                "state": span.state.value,
                "local_stop_ps": span.stop_ps,
                "epoch_ps": span.model.epoch_ps,
                "offset_whole_ps": span.model.offset_whole_ps,
                "offset_ps": span.model.offset_ps,
                "skew": span.model.skew,
                "uncertainty_ps": span.model.uncertainty_ps(span.model.epoch_ps),
                "bound_ps": bound_ps,
            },
        )

    def _lock_changed(self, locked: bool) -> None:
        noise = clock_noise(self._config, locked=locked)
        self._sync.set_noise(noise, PULLED if locked else 0.0)
        self._context.store.event("clock-lock", {"link": self._link, "locked": locked})

    def _tell_change(self) -> None:
        change = self._sync.status().change
        if change is not None and change != self._change:
            self._context.store.event(
                "clock-change",
                {
                    "link": self._link,
                    "kind": change.kind,
                    "step_ps": change.step_ps,
                    "skew_step": change.skew_step,
                    "significance": change.significance,
                    "reason": change.reason,
                },
            )
        self._change = change

    def _tell(self, reason: str) -> None:
        state = self._sync.state
        if state is self._told:
            return
        self._told = state
        self._context.store.event(
            "clock-state", {"link": self._link, "state": state.value, "reason": reason}
        )
