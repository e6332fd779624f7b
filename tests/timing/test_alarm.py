"""Timers that are not rounded to milliseconds."""

import asyncio
import gc
from pathlib import Path

import pytest

from timing.alarm import Alarm, alarm_in, is_over
from timing.loop import run_virtual


def files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_alarms_ring_once_each_in_their_order_and_leave_no_file() -> None:
    rung: list[float] = []

    async def scenario() -> None:
        before = files()
        for delay_s in (3e-3, 2e-4, 1e-3, 0.0, 4e-3):
            alarm_in(delay_s, lambda delay_s=delay_s: rung.append(delay_s))  # type: ignore[misc]
        cancelled = alarm_in(1e-4, lambda: rung.append(-1.0))
        cancelled.cancel()
        cancelled.cancel()
        assert files() == before + 4  # the one that is due at once has none
        while len(rung) < 5:  # noqa: ASYNC110
            await asyncio.sleep(1e-3)
        assert files() == before

    asyncio.run(scenario())
    assert rung == [0.0, 2e-4, 1e-3, 3e-3, 4e-3]


def test_what_is_all_but_there_is_waited_for_and_the_rest_is_not() -> None:
    async def scenario(virtual: bool) -> None:
        loop = asyncio.get_running_loop()
        assert is_over(loop.time())
        assert not is_over(loop.time() + 1e-3)
        near_s = loop.time() + 5e-6
        assert is_over(near_s) is not virtual
        assert (loop.time() >= near_s) is not virtual

    asyncio.run(scenario(virtual=False))
    run_virtual(scenario(virtual=True))


def test_never_before_its_instant() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        for number in range(50):
            delay_s = number * 3.7e-5
            rung = loop.create_future()
            begin_s = loop.time()
            alarm_in(delay_s, lambda rung=rung: rung.set_result(loop.time()))  # type: ignore[misc]
            assert await rung - begin_s >= delay_s

    asyncio.run(scenario())


def test_an_alarm_of_a_closed_loop_gives_its_file_back() -> None:
    async def scenario() -> Alarm:
        set_ = alarm_in(60.0, lambda: None)
        assert isinstance(set_, Alarm)
        return set_

    before = files()
    left = asyncio.run(scenario())
    assert files() == before + 1
    del left
    gc.collect()
    assert files() == before


def test_on_virtual_time_it_is_exact() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        rung = loop.create_future()
        alarm_in(1.25e-4, lambda: rung.set_result(loop.time()))
        return float(await rung)

    assert run_virtual(scenario()) == pytest.approx(1.25e-4)
