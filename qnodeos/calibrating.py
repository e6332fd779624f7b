"""Calibration of a photonic link by its leading end: what is due is measured between requests.

The tasks are made of what the end has anyway: clocks, the histogram of coincidences, rates and test
rounds. A check only looks; a run finds the clocks anew first and looks for longer, or aligns the
polarization where there is a controller. Counting in the dark is the one that takes the light away.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from link_layer.calibration import CalibrationGraph, Step, Task
from link_layer.states import BellState, qber
from qnodeos.aligning import Aligner, AlignmentFailed
from qnodeos.config import CalibrationTable, PhotonicLinkTable
from qnodeos.darkness import Darkness, NoDarkness
from qnodeos.errors import UserError
from qnodeos.photonic import PhotonicLink
from qnodeos.status import Status
from qnodeos.store import Store

LOOK_S = 0.5
CHECK_S = 6.0
"""The rates and the histogram are over some five seconds; all of them are from this look."""

RUN_S = 12.0
LIGHT_LIMIT_S = 60.0
"""The clocks are found within this, or the task has failed."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a task measured, in its unit; None: nothing came of it, as `reason` says."""

    value: float | None
    unit: str
    good: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look gave: the link's status and the histogram of `WatchedDelays`."""

    status: Status
    histogram: dict[str, Any]


Judge = Callable[[_Seen], Found]


class Calibrator:
    """Keeps one photonic link in spec at the end that leads it."""

    def __init__(
        self,
        link: PhotonicLink,
        table: CalibrationTable,
        store: Store,
        clock: Callable[[], float],
        *,
        aligner: Aligner | None = None,
        darkness: Darkness | None = None,
    ):
        self._table, self._aligner, self._darkness = table, aligner, darkness
        self._link, self._store, self._clock = link, store, clock
        self._judges = _judges(link.config, table)
        self.graph = CalibrationGraph(
            [
                Task("synchronisation", table.synchronisation_valid_s),
                Task("delay", table.delay_valid_s, ("synchronisation",)),
                Task("window", table.window_valid_s, ("delay",)),
                Task("pump", table.pump_valid_s, ("window",)),
                Task("polarization", table.polarization_valid_s, ("window",)),
                *([Task("dark_counts", table.dark_counts_valid_s)] if darkness else []),
            ],
            hard_factor=table.hard_limit_factor,
            retry_s=table.retry_s,
        )
        self._found: dict[str, Found] = {}
        self._link.unfit = self.graph.unusable(clock())

    def status(self) -> Status:
        """For each task state, what it depends on, age and seconds until it is due, and the last
        value with its unit."""
        said: Status = {"in_spec": not self._link.unfit}
        for row in self.rows():
            name = row["task"]
            said[f"{name}_state"] = row["state"]
            if row["depends"]:
                said[f"{name}_depends"] = " ".join(row["depends"])
            for figure in ("age_s", "due_s"):
                if row[figure] is not None:
                    said[f"{name}_{figure}"] = row[figure]
            if row["value"] is not None:
                said[f"{name}_value"] = row["value"]
                said[f"{name}_unit"] = row["unit"]
        return said

    def rows(self) -> list[dict[str, Any]]:
        """The tasks as a table, dependencies first: task, state, age_s, due_s, value, unit, ..."""
        now_s = self._clock()
        rows = []
        for name, task in self.graph.tasks.items():
            age_s, found = self.graph.age_s(name, now_s), self._found.get(name)
            rows.append(
                {
                    "task": name,
                    "state": self.graph.state(name, now_s).value,
                    "depends": list(task.depends),
                    "age_s": age_s,
                    "due_s": None if age_s is None else task.valid_s - age_s,
                    "value": found.value if found else None,
                    "unit": found.unit if found else "",
                    "reason": found.reason if found else "",
                }
            )
        return rows

    async def calibrate(self, task: str, within_s: float) -> list[dict[str, Any]]:
        """Run a task, "" for all of them, and give `rows`. Raises UserError, TimeoutError."""
        if task and task not in self.graph.tasks:
            raise UserError(
                f"there is no calibration '{task}' of link {self._link.name}",
                expected=", ".join(self.graph.tasks),
            )
        wanted = [task] if task else list(self.graph.tasks)
        for name in wanted:
            self.graph.demand(name)
        async with asyncio.timeout(within_s):
            await _until(lambda: not any(map(self.graph.demanded, wanted)))
        return self.rows()

    async def run(self) -> None:
        """Keep the link in spec until cancelled."""
        try:
            while True:
                step = self._next()
                if step is None or not self._link.peer_there:
                    await asyncio.sleep(LOOK_S)
                    continue
                await self._between_requests(step)
        finally:
            self._link.resume()

    def _next(self) -> Step | None:
        now_s = self._clock()
        self._link.unfit = self.graph.unusable(now_s)
        return self.graph.next(now_s, idle=not len(self._link.desk.queue))

    async def _between_requests(self, step: Step) -> None:
        """Do a step while no request is being served; those that wait stay in the queue."""
        self._link.pause(f"calibration: {step.action} of {step.task}")
        try:
            await _until(lambda: not self._link.serving)
            found = await self._measure(step)
        finally:
            self._link.resume()
        self._found[step.task] = found
        self.graph.done(step, good=found.good, now_s=self._clock())
        self._link.unfit = self.graph.unusable(self._clock())
        self._store.event(
            "calibration",
            {
                "link": self._link.name,
                "task": step.task,
                "action": step.action,
                "good": found.good,
                "value": found.value,
                "unit": found.unit,
                "reason": found.reason,
            },
        )

    async def _measure(self, step: Step) -> Found:
        look_s = RUN_S if step.action == "run" else CHECK_S
        if step.task == "dark_counts" and self._darkness is not None:
            return await self._dark(self._darkness)
        self._link.keep_time(LIGHT_LIMIT_S + look_s, afresh=step.action == "run")
        if not await self._tracking():
            clock = self._link.status().get("clock", "unknown")
            return Found(None, "", good=False, reason=f"the clocks are {clock}")
        if (step.task, step.action) == ("polarization", "run") and self._aligner is not None:
            return await self._align(self._aligner)
        for _ in range(math.ceil(look_s / LOOK_S)):
            self._link.histogram()  # it is made only while somebody looks
            await asyncio.sleep(LOOK_S)
        histogram = self._link.histogram()
        if histogram is None:
            return Found(None, "", good=False, reason="no span of both ends' tags was compared")
        return self._judges[step.task](_Seen(self._link.status(), histogram))

    async def _align(self, aligner: Aligner) -> Found:
        """Turn the controller; what its last look showed is the result."""
        self._link.keep_time(aligner.limit_s)
        try:
            correlators = await aligner.run(3 * (1 - 2 * self._table.most_qber))
        except AlignmentFailed as failed:
            return Found(None, "QBER", good=False, reason=str(failed))
        value = max((1 - correlators[basis]) / 2 for basis in ("Z", "X"))
        return Found(value, "QBER", value <= self._table.most_qber, "aligned")

    async def _dark(self, darkness: Darkness) -> Found:
        """Switch the light off and count."""
        self._link.keep_time(LIGHT_LIMIT_S)
        try:
            value = max(await darkness.counts_cps())
        except NoDarkness as failed:
            return Found(None, "cps", good=False, reason=str(failed))
        return Found(value, "cps", value <= self._table.most_dark_cps)

    async def _tracking(self) -> bool:
        """The clocks are found, at once or within the limit."""
        try:
            async with asyncio.timeout(LIGHT_LIMIT_S):
                await _until(lambda: self._link.status().get("clock") == "tracking")
        except TimeoutError:
            return False
        return True


async def _until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(LOOK_S)


def _judges(config: PhotonicLinkTable, table: CalibrationTable) -> dict[str, Judge]:
    """How each task makes its figure of a look, and when that is in spec."""
    half_ps = config.window_ps / 2

    def synchronisation(seen: _Seen) -> Found:
        value = float(seen.status.get("clock_uncertainty_ps", math.inf))
        good = value <= table.most_uncertainty * half_ps
        return Found(value if math.isfinite(value) else None, "ps", good)

    def delay(seen: _Seen) -> Found:
        centres, net = _peak(seen.histogram)
        if net.sum() <= 0:
            return Found(None, "ps", good=False, reason="no peak of coincidences")
        value = float((centres * net).sum() / net.sum())
        return Found(value, "ps", abs(value) <= table.most_delay * half_ps)

    def window(seen: _Seen) -> Found:
        centres, net = _peak(seen.histogram)
        if net.sum() <= 0:
            return Found(None, "", good=False, reason="no peak of coincidences")
        value = float(net[np.abs(centres) <= half_ps].sum() / net.sum())
        return Found(value, "of the peak", value >= table.least_in_window)

    def pump(seen: _Seen) -> Found:
        status = seen.status
        coincidences = float(status.get("coincidences_cps", 0.0))
        if coincidences <= 0:
            return Found(None, "", good=False, reason="no coincidences")
        value = float(status["accidentals_cps"]) / coincidences
        return Found(value, "accidental share", value <= table.most_accidental)

    def polarization(seen: _Seen) -> Found:
        errors = []
        for basis in ("Z", "X"):
            correlator = seen.status.get(f"correlator_{basis.lower() * 2}")
            if correlator is None:
                return Found(None, "QBER", good=False, reason=f"no test rounds in {basis * 2} yet")
            errors.append(qber(BellState[config.bell_state], basis, float(correlator)))
        value = max(errors)
        return Found(value, "QBER", value <= table.most_qber)

    return {
        "synchronisation": synchronisation,
        "delay": delay,
        "window": window,
        "pump": pump,
        "polarization": polarization,
    }


def _peak(histogram: dict[str, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Centres of the bins, in ps, and counts in them less the accidentals of the outer quarter."""
    counts = np.asarray(histogram["counts"], float)
    centres = histogram["low_ps"] + histogram["bin_ps"] * (np.arange(len(counts)) + 0.5)
    outer = np.abs(centres) > 0.75 * np.abs(centres).max()
    return centres, counts - counts[outer].mean()
