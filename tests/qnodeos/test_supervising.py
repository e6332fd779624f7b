"""A service that fails is its own affair, until it is vital and fails again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from qnodeos.errors import UserError
from qnodeos.supervising import (
    LOOP_FAILURES,
    LOOP_WITHIN_S,
    STEADY_S,
    EndedByItself,
    Service,
    ServiceLost,
    Supervision,
    Watched,
)
from timing.loop import run_virtual


class Patient:
    """Fails after `lasts_s` as often as told to, then runs on."""

    def __init__(self, failures: int, lasts_s: float = 0.0, error: Exception | None = None):
        self.failures, self.lasts_s = failures, lasts_s
        self.error = error or RuntimeError("ouch")
        self.starts_s: list[float] = []
        self.cleaned: list[str] = []

    async def run(self) -> None:
        self.starts_s.append(asyncio.get_running_loop().time())
        if len(self.starts_s) <= self.failures:
            await asyncio.sleep(self.lasts_s)
            raise self.error
        await asyncio.Event().wait()


async def observed(
    seconds: float, *services: Service, then: Callable[[Supervision], None] | None = None
) -> tuple[Supervision, list[tuple[str, str]]]:
    changes: list[tuple[str, str]] = []

    def note(watched: Watched) -> None:
        changes.append((watched.service.name, watched.state))

    supervision = Supervision(asyncio.get_running_loop().time, note)
    running = asyncio.create_task(supervision.run(services))
    if then is not None:
        await asyncio.sleep(0.1)
        then(supervision)
    await asyncio.wait([running], timeout=seconds)
    if not running.done():
        running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    if not running.cancelled() and (problem := running.exception()) is not None:
        raise problem
    return supervision, changes


def run(scenario: Coroutine[Any, Any, Any]) -> Any:
    return run_virtual(scenario, limit_s=1e5)


def test_it_starts_again_with_pauses_that_double_and_others_do_not_notice() -> None:
    ill, well = Patient(3), Patient(0)
    supervision, changes = run(
        observed(
            10.0,
            Service("ill", ill.run, failed=ill.cleaned.append),
            Service("well", well.run),
        )
    )
    assert ill.starts_s == [0.0, 0.25, 0.75, 1.75]
    assert well.starts_s == [0.0]
    assert ill.cleaned == ["RuntimeError: ouch"] * 3
    assert supervision.watched["ill"].failures == supervision.failures == 3
    assert [state for name, state in changes if name == "ill"] == [
        "running",
        *(["restarting", "running"] * 3),
    ]


def test_a_crash_loop_is_told_and_tried_at_leisure() -> None:
    ill = Patient(10**6)
    supervision, changes = run(observed(200.0, Service("ill", ill.run)))
    assert ("ill", "crash-loop") in changes
    assert supervision.watched["ill"].state == "crash-loop"
    assert ill.starts_s[-1] - ill.starts_s[-2] == 30.0
    assert len(ill.starts_s) < 15


def test_a_vital_service_in_a_crash_loop_ends_the_node() -> None:
    ill = Patient(10**6)
    with pytest.raises(ExceptionGroup) as caught:
        run(observed(200.0, Service("ill", ill.run, vital=True)))
    assert isinstance(caught.value.exceptions[0], ServiceLost)
    assert "cannot do without" in str(caught.value.exceptions[0])
    assert len(ill.starts_s) == LOOP_FAILURES


def test_failures_far_apart_are_no_loop() -> None:
    ill = Patient(10, lasts_s=STEADY_S + 1)
    supervision, changes = run(observed(1000.0, Service("ill", ill.run, vital=True)))
    assert supervision.watched["ill"].failures == 10
    assert ("ill", "crash-loop") not in changes
    assert STEADY_S < LOOP_WITHIN_S


def test_a_service_that_returns_has_failed_unless_it_may() -> None:
    async def done() -> None:
        await asyncio.sleep(0.05)

    supervision, _ = run(observed(0.2, Service("may", done, ends=True), Service("may-not", done)))
    assert supervision.watched["may"].state == "ended"
    assert supervision.watched["may"].failures == 0
    assert supervision.watched["may-not"].failures == 1
    assert isinstance(supervision.watched["may-not"].error, EndedByItself)


def test_who_called_a_service_may_say_that_it_failed() -> None:
    well = Patient(0)

    def condemn(supervision: Supervision) -> None:
        supervision.fail("well", ValueError("at a message"))
        supervision.fail("well", ValueError("and at the next"))
        supervision.fail("nobody", ValueError("not known"))

    supervision, _ = run(
        observed(2.0, Service("well", well.run, failed=well.cleaned.append), then=condemn)
    )
    assert well.cleaned == ["ValueError: at a message"]
    assert well.starts_s == [0.0, pytest.approx(0.35)]
    assert supervision.watched["well"].state == "running"


def test_a_mistake_of_the_operator_at_the_first_start_is_told_at_once() -> None:
    ill = Patient(1, error=UserError("the port is in use"))
    with pytest.raises(ExceptionGroup) as caught:
        run(observed(2.0, Service("ill", ill.run)))
    assert isinstance(caught.value.exceptions[0], UserError)


def test_a_clean_up_that_fails_does_not_stop_the_restart() -> None:
    ill = Patient(1)

    def clean_up(reason: str) -> None:
        raise OSError(reason)

    run(observed(2.0, Service("ill", ill.run, failed=clean_up)))
    assert len(ill.starts_s) == 2


@pytest.mark.parametrize("how", ["fails", "returns"])
def test_a_service_that_fails_on_its_way_out_is_not_started_again(how: str) -> None:
    """As a client of a broker does that went away in the same moment."""
    starts = 0

    async def run() -> None:
        nonlocal starts
        starts += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if how == "fails":
                raise RuntimeError("the broker is gone") from None

    async def scenario() -> None:
        supervision = Supervision(asyncio.get_running_loop().time)
        running = asyncio.create_task(supervision.run([Service("bus", run)]))
        await asyncio.sleep(1.0)
        running.cancel()
        async with asyncio.timeout(5.0):
            with pytest.raises(asyncio.CancelledError):
                await running

    run_virtual(scenario())
    assert starts == 1
