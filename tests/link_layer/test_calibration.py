"""The calibration graph under any results at any times."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from link_layer.calibration import CalibrationGraph, Step, Task, TaskState

TASKS = (
    Task("window", 20.0, ("delay",)),
    Task("clock", 10.0),
    Task("delay", 30.0, ("clock",)),
    Task("pump", 40.0, ("window",)),
)
BEFORE = {"clock": set(), "delay": {"clock"}, "window": {"delay", "clock"}}
BEFORE["pump"] = BEFORE["window"] | {"window"}


def brought_in(graph: CalibrationGraph, now_s: float) -> list[str]:
    done = []
    while (step := graph.next(now_s, idle=True)) is not None:
        graph.done(step, good=True, now_s=now_s)
        done.append(step.task)
    return done


def test_dependencies_come_first_and_the_link_waits_for_all() -> None:
    graph = CalibrationGraph(TASKS)
    assert graph.unusable(0.0) == "calibration: clock is unknown"
    assert brought_in(graph, 0.0) == ["clock", "delay", "window", "pump"]
    assert graph.unusable(0.0) == ""


def test_what_is_due_waits_for_idleness_until_its_hard_limit() -> None:
    graph = CalibrationGraph(TASKS, hard_factor=1.5)
    brought_in(graph, 0.0)
    assert graph.state("clock", 10.0) is TaskState.DUE
    assert graph.next(10.0, idle=True) == Step("clock", "check", urgent=False)
    assert graph.next(14.9, idle=False) is None
    assert graph.unusable(14.9) == ""
    assert graph.next(15.0, idle=False) == Step("clock", "check", urgent=True)
    assert graph.unusable(15.0) == "calibration: clock is due"


def test_a_failed_check_runs_the_task_and_makes_its_dependents_due() -> None:
    graph = CalibrationGraph(TASKS)
    brought_in(graph, 0.0)
    graph.done(Step("delay", "check", urgent=False), good=False, now_s=1.0)
    assert graph.next(1.0, idle=False) == Step("delay", "run", urgent=True)
    assert [graph.state(name, 1.0).value for name in ("clock", "window", "pump")] == [
        "in spec",
        "due",
        "due",
    ]
    graph.done(Step("delay", "run", urgent=True), good=True, now_s=2.0)
    assert brought_in(graph, 2.0) == ["window", "pump"]


def test_a_failed_run_blocks_what_depends_on_it_and_is_tried_again() -> None:
    graph = CalibrationGraph(TASKS, retry_s=60.0)
    brought_in(graph, 0.0)
    graph.done(Step("delay", "check", urgent=False), good=False, now_s=1.0)
    graph.done(Step("delay", "run", urgent=True), good=False, now_s=1.0)
    assert graph.unusable(1.0) == "calibration: delay is out of spec"
    assert graph.next(5.0, idle=True) is None
    graph.done(Step("clock", "check", urgent=False), good=True, now_s=60.0)
    assert graph.next(61.0, idle=False) == Step("delay", "run", urgent=True)


def test_somebody_may_want_a_run() -> None:
    graph = CalibrationGraph(TASKS)
    brought_in(graph, 0.0)
    graph.demand("window")
    assert graph.next(1.0, idle=False) == Step("window", "run", urgent=True)


def test_circles_and_strangers_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        CalibrationGraph([Task("a", 1.0, ("b",)), Task("b", 1.0, ("a",))])
    with pytest.raises(ValueError, match="no such task"):
        CalibrationGraph([Task("a", 1.0, ("b",))])


class Calibrated(RuleBasedStateMachine):
    """Steps with any outcome, time going on, and runs that are wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = CalibrationGraph(TASKS, hard_factor=1.5, retry_s=5.0)
        self.now_s = 0.0

    @rule(seconds=st.floats(0.0, 30.0))
    def time_goes_on(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(name=st.sampled_from(sorted(BEFORE)))
    def wanted(self, name: str) -> None:
        self.graph.demand(name)

    @rule(good=st.booleans(), idle=st.booleans())
    def does_what_is_next(self, good: bool, idle: bool) -> None:
        step = self.graph.next(self.now_s, idle=idle)
        if step is None:
            return
        if not idle:
            assert step.urgent
            assert self.graph.unusable(self.now_s)
        usable = {name: self.graph.usable(name, self.now_s) for name in BEFORE}
        assert all(usable[name] for name in BEFORE[step.task])
        self.graph.done(step, good=good, now_s=self.now_s)
        assert self.graph.usable(step.task, self.now_s) == good
        if step.action == "run" or not good:
            after = [name for name in BEFORE if step.task in BEFORE[name]]
            assert not any(self.graph.usable(name, self.now_s) for name in after)

    @invariant()
    def usable_means_young_good_results_all_the_way(self) -> None:
        usable = all(self.graph.usable(name, self.now_s) for name in BEFORE)
        assert usable == (self.graph.unusable(self.now_s) == "")
        for name, task in self.graph.tasks.items():
            if self.graph.state(name, self.now_s) is TaskState.IN_SPEC:
                assert self.graph.age_s(name, self.now_s) < task.valid_s
                assert self.graph.usable(name, self.now_s)

    @invariant()
    def good_results_always_lead_to_a_usable_link(self) -> None:
        if self.graph.unusable(self.now_s):
            later = self.now_s + 5.001
            step = self.graph.next(later, idle=False)
            assert step is not None
            assert step.urgent


TestCalibrated = Calibrated.TestCase
TestCalibrated.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
