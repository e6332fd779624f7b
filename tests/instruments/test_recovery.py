"""Whatever happens to an instrument or its cable: no wrong value, shown in 2 s, back in 5 s.

Every driver, in memory and virtual time, with a user who reads ten times a second.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from drivers.plugin import load_driver
from drivers.supervisor import Policy
from tests.instruments.bench import in_memory
from tests.instruments.case import Case, collect
from tests.instruments.watching import Watch, inf, learn, wanted, watched
from timing.loop import run_virtual

SHOWN_WITHIN_S = 2.0
BACK_WITHIN_S = 5.0

Fault = Callable[[Watch], Awaitable[None]]
"""Injures the line or the instrument, and returns when it is whole again."""

CASES = collect()


async def power_cycle(watch: Watch) -> None:
    watch.plugged.power_off()
    await asyncio.sleep(7.0)
    watch.plugged.power_on()


async def cable_pulled_for_30_s(watch: Watch) -> None:
    for line in watch.plugged.lines.values():
        line.pulled = True
    await asyncio.sleep(30.0)
    for line in watch.plugged.lines.values():
        line.plug_in()


async def half_open(watch: Watch) -> None:
    for line in watch.plugged.lines.values():
        line.go_half_open()


async def late_replies(watch: Watch) -> None:
    for line in watch.plugged.lines.values():
        line.delay_s = 4.0
    await asyncio.sleep(3.0)
    for line in watch.plugged.lines.values():
        line.delay_s = 0.0


async def garbage_first(watch: Watch) -> None:
    watch.plugged.power_off()
    await asyncio.sleep(3.0)
    for line in watch.plugged.lines.values():
        line.greeting = b"\x00\xff~\x1b[2Jboot 1.2\r\nready?\xfe\r\n9.9"
    watch.plugged.power_on()


async def truncated_frame(watch: Watch) -> None:
    for line in watch.plugged.lines.values():
        line.cut_next = True


async def flood(watch: Watch) -> None:
    lines = watch.plugged.lines.values()
    rng = watch.plugged.rng
    await asyncio.gather(*(each.flood(rng, seconds=3.0, bytes_per_s=200_000) for each in lines))


MUST_SHOW: list[Fault] = [power_cycle, cable_pulled_for_30_s, half_open, late_replies]
MAY_GO_ON: list[Fault] = [garbage_first, truncated_frame, flood]


def both(faults: list[Fault], cases: dict[str, Case] = CASES) -> list[object]:
    return [
        pytest.param(case, fault, id=f"{name}-{fault.__name__}")
        for name, case in cases.items()
        for fault in faults
    ]


def check(watch: Watch) -> None:
    assert not watch.wrong, "wrong values were returned"
    assert watch.values > 3, "the user was hardly ever given a value"


@pytest.mark.parametrize(("case", "fault"), both([*MUST_SHOW, *MAY_GO_ON]))
def test_nothing_wrong_is_said_and_it_comes_back(case: Case, fault: Fault) -> None:
    async def scenario() -> None:
        known = await learn(case)
        async with in_memory(case) as plugged, watched(plugged, known, "reapply") as watch:
            clock = asyncio.get_running_loop().time
            emits = plugged.emits()
            assert emits == load_driver(case.driver).manifest.emits
            injured_s = clock()
            await fault(watch)
            healed_s = clock()
            if fault in MUST_SHOW:
                assert await watch.shown(injured_s, 10.0) <= SHOWN_WITHIN_S
            else:
                await asyncio.sleep(SHOWN_WITHIN_S)  # it has had its effect, if any
            assert await watch.recovered(known.settled, emits, 60.0) < inf
            assert clock() - healed_s <= BACK_WITHIN_S
            check(watch)

    run_virtual(scenario(), limit_s=600.0)


SWAPPABLE = {name: case for name, case in CASES.items() if case.other_serial}
EMITTING = {n: case for n, case in CASES.items() if load_driver(case.driver).manifest.emits}


@pytest.mark.parametrize("name", SWAPPABLE)
def test_another_box_is_left_alone(name: str) -> None:
    async def scenario() -> None:
        case = SWAPPABLE[name]
        known = await learn(case)
        async with in_memory(case) as plugged, watched(plugged, known, "reapply") as watch:
            clock = asyncio.get_running_loop().time
            plugged.power_off()
            await asyncio.sleep(1.0)
            plugged.power_on(case.other_serial)
            state = plugged.twin.state() if plugged.twin.state else None
            values, swapped_s = watch.values, clock()
            await asyncio.sleep(20.0)
            faults = [at for at, name, _ in watch.states if name == "fault" and at >= swapped_s]
            assert faults
            assert faults[0] - swapped_s <= SHOWN_WITHIN_S
            assert watch.supervisor.status.state == "fault"
            assert case.other_serial in watch.supervisor.status.reason
            assert watch.values == values, "values of another box were given"
            assert not plugged.emits()
            if plugged.twin.state is not None:
                assert plugged.twin.state() == state, "another box was changed"
            plugged.power_off()
            plugged.power_on()
            took_s = await watch.recovered(known.settled, bool(case.armed), 60.0)
            assert took_s <= BACK_WITHIN_S
            check(watch)

    run_virtual(scenario(), limit_s=600.0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("policy", ["keep", "safe"])
def test_after_a_power_cycle_it_is_as_the_policy_says(name: str, policy: Policy) -> None:
    async def scenario() -> None:
        case = CASES[name]
        known = await learn(case)
        expected = known.fresh if policy == "keep" else known.fresh_safe
        if wanted(case):
            assert not known.same(known.settled, expected), "readings do not show the settings"
        async with in_memory(case) as plugged, watched(plugged, known, policy) as watch:
            assert plugged.emits() == bool(case.armed)
            await power_cycle(watch)
            assert await watch.recovered(expected, False, 60.0) <= BACK_WITHIN_S
            check(watch)

    run_virtual(scenario(), limit_s=600.0)


@pytest.mark.parametrize("name", EMITTING)
def test_a_lease_that_ended_meanwhile_is_enforced_at_the_return(name: str) -> None:
    async def scenario() -> None:
        case = EMITTING[name]
        known = await learn(case)
        async with in_memory(case) as plugged, watched(plugged, known, "reapply") as watch:
            for line in plugged.lines.values():
                line.pulled = True
            await watch.let_the_lease_end()
            await asyncio.sleep(10.0)
            assert plugged.emits(), "nobody can reach it"
            for line in plugged.lines.values():
                line.plug_in()
            await asyncio.sleep(BACK_WITHIN_S)
            for _ in range(100):
                assert not plugged.emits()
                await asyncio.sleep(0.1)
            check(watch)

    run_virtual(scenario(), limit_s=600.0)
