"""The calibrations of a link as a graph: what is in spec, and what to check or run next.

After Kelly et al., "Physical qubit calibration on a directed acyclic graph" (2018): a quick check
where something is due, a full run only where the check fails, dependencies first. Pure: time is
passed in, and whoever measures tells the results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from graphlib import CycleError, TopologicalSorter
from typing import Literal

Action = Literal["check", "run"]


class TaskState(Enum):
    """How far a task's last result may be believed."""

    UNKNOWN = "unknown"
    IN_SPEC = "in spec"
    DUE = "due"
    OUT_OF_SPEC = "out of spec"


@dataclass(frozen=True, slots=True)
class Task:
    """One calibration: how long a good result is valid, what it takes to be in spec before it."""

    name: str
    valid_s: float
    depends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next; `urgent`: the link may not be used before."""

    task: str
    action: Action
    urgent: bool


@dataclass(slots=True)
class _Kept:
    good_s: float | None = None
    stale: bool = False
    action: Action = "check"
    failed_s: float | None = None


class CalibrationGraph:
    """Tasks of one link. It may be used when each is in spec, or due by its age alone and younger
    than `hard_factor` times its validity; a task that failed is run again after `retry_s`.

    Raises ValueError for a circle, or a dependency that is no task.
    """

    def __init__(self, tasks: Iterable[Task], *, hard_factor: float = 1.5, retry_s: float = 60.0):
        named = {task.name: task for task in tasks}
        for task in named.values():
            if missing := set(task.depends) - named.keys():
                raise ValueError(f"task '{task.name}' depends on {sorted(missing)}: no such task")
        try:
            order = tuple(
                TopologicalSorter({t.name: t.depends for t in named.values()}).static_order()
            )
        except CycleError as error:
            raise ValueError(f"tasks depend on each other in a circle: {error.args[1]}") from error
        self.tasks = {name: named[name] for name in order}
        """By name, dependencies first."""
        self._hard_factor, self._retry_s = hard_factor, retry_s
        self._kept = {name: _Kept() for name in order}

    def state(self, name: str, now_s: float) -> TaskState:
        """How far a task's last result may be believed."""
        kept = self._kept[name]
        if kept.failed_s is not None:
            return TaskState.OUT_OF_SPEC
        if kept.good_s is None:
            return TaskState.UNKNOWN
        if kept.stale or kept.action == "run" or now_s - kept.good_s >= self.tasks[name].valid_s:
            return TaskState.DUE
        return TaskState.IN_SPEC

    def age_s(self, name: str, now_s: float) -> float | None:
        """Since the last good result; None before the first."""
        good_s = self._kept[name].good_s
        return None if good_s is None else now_s - good_s

    def usable(self, name: str, now_s: float) -> bool:
        """The last result is good, and neither overtaken by a dependency's nor too old."""
        kept, age_s = self._kept[name], self.age_s(name, now_s)
        return (
            age_s is not None
            and kept.failed_s is None
            and kept.action == "check"
            and not kept.stale
            and age_s < self._hard_factor * self.tasks[name].valid_s
        )

    def unusable(self, now_s: float) -> str:
        """Why the link may not be used, for people; "" when it may."""
        for name in self.tasks:
            if not self.usable(name, now_s):
                return f"calibration: {name} is {self.state(name, now_s).value}"
        return ""

    def next(self, now_s: float, *, idle: bool) -> Step | None:
        """What to do now. Of a link that is not idle only what it may not be used without."""
        blocked: set[str] = set()
        for name, task in self.tasks.items():
            kept, state = self._kept[name], self.state(name, now_s)
            if blocked.intersection(task.depends):
                blocked.add(name)
                continue
            if state is TaskState.OUT_OF_SPEC:
                blocked.add(name)
                if kept.failed_s is not None and now_s - kept.failed_s >= self._retry_s:
                    return Step(name, "run", urgent=True)
            elif state is not TaskState.IN_SPEC:
                urgent = not self.usable(name, now_s)
                if idle or urgent:
                    return Step(name, kept.action, urgent)
        return None

    def demand(self, name: str) -> None:
        """Somebody wants the full run of a task, next and whatever its state. KeyError: no task."""
        self._kept[name].action, self._kept[name].failed_s = "run", None

    def demanded(self, name: str) -> bool:
        """A full run of the task is to come."""
        kept = self._kept[name]
        return kept.action == "run" and kept.failed_s is None

    def done(self, step: Step, *, good: bool, now_s: float) -> None:
        """Tell what a step found. A check that failed asks for the run.

        What depends on a task that was run, or found bad, has to be looked at again.
        """
        kept = self._kept[step.task]
        if good:
            kept.good_s, kept.failed_s, kept.stale, kept.action = now_s, None, False, "check"
        elif step.action == "check":
            kept.action = "run"
        else:
            kept.failed_s = now_s
        if step.action == "run" or not good:
            for name in self._dependents(step.task):
                self._kept[name].stale = True

    def _dependents(self, name: str) -> set[str]:
        found = {name}
        for each, task in self.tasks.items():
            if found.intersection(task.depends):
                found.add(each)
        return found - {name}
