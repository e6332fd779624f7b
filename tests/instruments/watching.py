"""One supervised instrument, somebody who uses it all the time, and all that both have seen."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import InstrumentProblem
from drivers.safety import ArmingLease
from drivers.supervisor import Policy, State, Supervisor
from drivers.testing.subject import same
from tests.instruments.bench import Plugged, in_memory
from tests.instruments.case import Case

USE_EVERY_S = 0.1
RENEW_S = 0.5


inf = float("inf")


@dataclass
class Known:
    """The readings of a healthy instrument: just switched on, set up, armed, and made safe."""

    case: Case
    fresh: dict[str, Any]
    settled: dict[str, Any]
    safe: dict[str, Any]
    fresh_safe: dict[str, Any]
    by_name: dict[str, list[Any]]

    def steady(self, readings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in readings.items() if name not in self.case.noisy}

    def same(self, one: Any, other: Any) -> bool:
        return same(one, other, self.case.tolerance)

    def may_be(self, name: str, value: Any) -> bool:
        return any(self.same(value, each) for each in self.by_name.get(name, []))


@dataclass
class Watch:
    """What a supervisor said, and every value that a user was given, with their times."""

    plugged: Plugged
    supervisor: Supervisor
    lease: ArmingLease
    known: Known
    states: list[tuple[float, State, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    values: int = 0
    renewing: bool = True

    def away_since(self, from_s: float) -> float:
        """When it was first shown not to be online at or after an instant; inf for never."""
        return min((at for at, s, _ in self.states if at >= from_s and s != "online"), default=inf)

    async def recovered(self, expected: Mapping[str, Any], emits: bool, limit_s: float) -> float:
        """Wait until it is online with these readings; the seconds that took, inf for never."""
        clock = asyncio.get_running_loop().time
        start_s = clock()
        while clock() - start_s <= limit_s:
            if self.supervisor.status.state == "online" and self.plugged.emits() == emits:
                with suppress(InstrumentProblem):
                    told = self.known.steady(await self.supervisor.instrument.readings())
                    if self.known.same(told, expected):
                        return clock() - start_s
            await asyncio.sleep(0.02)
        return inf

    async def shown(self, injured_s: float, limit_s: float) -> float:
        """Wait until it is shown that not all is well; the seconds after the injury."""
        clock = asyncio.get_running_loop().time
        while clock() - injured_s < limit_s:
            if self.away_since(injured_s) < inf:
                break
            await asyncio.sleep(0.02)
        return self.away_since(injured_s) - injured_s

    async def let_the_lease_end(self) -> None:
        """Stop renewing it, and wait until it is over."""
        self.renewing = False
        await asyncio.sleep(self.lease.duration_s + RENEW_S)

    async def use(self) -> None:
        """Read as often as a panel would; what is wrong is noted, problems are reported."""
        while True:
            await asyncio.sleep(USE_EVERY_S)
            instrument = None
            try:
                instrument = self.supervisor.instrument
                told = await instrument.readings()
            except InstrumentProblem as problem:
                self.supervisor.report(problem, instrument)
                continue
            self.values += 1
            for name, value in self.known.steady(told).items():
                if not self.known.may_be(name, value):
                    self.wrong.append(f"{name} = {value!r}, known are {self.known.by_name[name]}")


async def learn(case: Case) -> Known:
    """Ask a healthy twin."""
    shown: list[dict[str, Any]] = []
    for settings, safe in (({}, False), (wanted(case), False), (wanted(case), True), ({}, True)):
        async with in_memory(case) as plugged:
            instrument = plugged.make()
            instrument.armed = lambda: True
            await instrument.link.open()
            await instrument.connect()
            await instrument.apply(settings)
            if safe:
                await instrument.enter_safe_state()
            await asyncio.sleep(0.5)
            told = await instrument.readings()
            shown.append({n: v for n, v in told.items() if n not in case.noisy})
            await instrument.disconnect()
            await instrument.link.close()
    by_name: dict[str, list[Any]] = {}
    for told in shown:
        for name, value in told.items():
            by_name.setdefault(name, []).append(value)
    return Known(case, *shown, by_name)


def wanted(case: Case) -> dict[str, Any]:
    """The settings of the node: emission as well, where there is any."""
    return {**case.settings, **case.armed}


@asynccontextmanager
async def watched(plugged: Plugged, known: Known, policy: Policy) -> AsyncIterator[Watch]:
    """A supervised instrument that is online and in use."""
    case = plugged.case
    clock = asyncio.get_running_loop().time
    lease = ArmingLease(clock)
    lease.renew()
    supervisor = Supervisor(
        "box",
        plugged.make,
        rng=random.Random(7),
        expected_serial=case.serial or None,
        settings=wanted(case),
        policy=policy,
        lease=lease,
        on_status=lambda status: watch.states.append((clock(), status.state, status.reason)),
    )
    watch = Watch(plugged, supervisor, lease, known)
    tasks = [
        asyncio.create_task(supervisor.run()),
        asyncio.create_task(watch.use()),
        asyncio.create_task(_renew(watch)),
    ]
    try:
        await supervisor.wait_online(20.0)
        await asyncio.sleep(3.0)
        yield watch
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _renew(watch: Watch) -> None:
    while watch.renewing:
        watch.lease.renew()
        await asyncio.sleep(RENEW_S)
