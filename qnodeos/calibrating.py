"""Calibration of a link by its leading end: what is due is measured between requests.

What the tasks are and how they are measured is the link's kind's: `photonic_calibration`,
`memory_calibration`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from link_layer.calibration import CalibrationGraph, Step, Task
from qnodeos.config import Validity
from qnodeos.errors import UserError
from qnodeos.memory_link import MemoryLink
from qnodeos.photonic import PhotonicLink
from qnodeos.status import Status
from qnodeos.store import Store

LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """What a task measured, in its unit; None: nothing came of it, as `reason` says."""

    value: float | None
    unit: str
    good: bool
    reason: str = ""


class Bench(Protocol):
    """The tasks of one link, and how each is measured."""

    @property
    def tasks(self) -> Sequence[Task]:
        """All that the link can be calibrated in."""
        ...

    @property
    def looks(self) -> int:
        """All looks so far: what grows while a step gets on."""
        ...

    async def measure(self, step: Step) -> Found:
        """Do a step while the link serves nobody."""
        ...


class Calibrator:
    """Keeps one link in spec at the end that leads it."""

    def __init__(
        self,
        link: PhotonicLink | MemoryLink,
        table: Validity,
        bench: Bench,
        store: Store,
        clock: Callable[[], float],
    ):
        self._link, self._bench, self._store, self._clock = link, bench, store, clock
        self.graph = CalibrationGraph(
            bench.tasks, hard_factor=table.hard_limit_factor, retry_s=table.retry_s
        )
        self._found: dict[str, Found] = {}
        self._doing = ""
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

    async def calibrate(
        self, task: str, still_s: float, progress: Callable[[float, str], None] = lambda *_: None
    ) -> list[dict[str, Any]]:
        """Run a task, "" for all of them, and give `rows`. It may take as long as it gets on.

        Raises UserError, and TimeoutError once nothing has changed for `still_s`.
        """
        if task and task not in self.graph.tasks:
            raise UserError(
                f"there is no calibration '{task}' of link {self._link.name}",
                expected=", ".join(self.graph.tasks),
            )
        wanted = [task] if task else list(self.graph.tasks)
        for name in wanted:
            self.graph.demand(name)
        seen, since_s = (0, 0, ""), self._clock()
        while left := sum(map(self.graph.demanded, wanted)):
            now = (left, self._bench.looks, self._doing)
            if now != seen:
                seen, since_s = now, self._clock()
                looks = f", {self._bench.looks} looks so far" if self._bench.looks else ""
                progress(1 - left / len(wanted), (self._doing or "waiting") + looks)
            elif self._clock() >= since_s + still_s:
                raise TimeoutError
            await asyncio.sleep(LOOK_S)
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
        self._doing = f"{step.action} of {step.task}"
        self._link.pause(f"calibration: {self._doing}")
        try:
            await until(lambda: not self._link.serving)
            found = await self._bench.measure(step)
        finally:
            self._doing = ""
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


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds, by a look each half second."""
    while True:
        if condition():
            return
        await asyncio.sleep(LOOK_S)
