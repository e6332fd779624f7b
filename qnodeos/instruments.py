"""The instruments of a node: one supervisor each, and a guard for all that emit."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

from drivers.claims import Claims
from drivers.conditions import parse_condition
from drivers.devices import Instrument
from drivers.errors import InstrumentProblem
from drivers.interlocks import Interlock, InterlockState
from drivers.links.memory import Registry
from drivers.plugin import UnknownDriver, load_driver, make_instrument
from drivers.safety import ArmingLease, GuardEntry, GuardProcess, StartGuard, keep_armed
from drivers.status import InstrumentStatus
from drivers.supervisor import Supervisor
from qnodeos.acknowledging import ACKNOWLEDGE_EVERY_S, Desk
from qnodeos.bus import Bus
from qnodeos.config import InstrumentTable, InterlockTable, NodeConfig
from qnodeos.errors import UserError
from qnodeos.store import Store


class Rack:
    """All instruments of a node under supervision; `supervisors` finds one by its name.

    `memory` holds the far ends of `mem://` resources. Raises UserError for a driver that is not
    installed, or options it cannot use.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        store: Store,
        bus: Bus,
        claims: Claims | None = None,
        memory: Registry | None = None,
        start_guard: StartGuard = GuardProcess.start,
    ):
        self._config = config
        self._claims = claims or Claims()
        self._memory, self._start_guard = memory, start_guard
        self._store, self._bus = store, bus
        self._lease = ArmingLease(clock)
        self._told: dict[str, tuple[str, str]] = {}
        self._read: dict[str, set[str]] = {}
        self._guarded: list[GuardEntry] = []
        self.supervisors = {
            name: self._supervise(name, table, rng) for name, table in config.instruments.items()
        }
        self.interlocks = {name: self._interlock(name, t) for name, t in config.interlocks.items()}
        self.acknowledged: dict[str, Callable[[], str]] = {
            name: interlock.acknowledge for name, interlock in self.interlocks.items()
        }
        """What a person's word closes, by its name: each says why it stays, or "". Links add
        theirs before `run`."""

    async def run(self) -> None:
        """Supervise until cancelled; then every armed instrument is in its safe state."""
        guard = asyncio.create_task(
            keep_armed(
                self._lease,
                self._guarded,
                data_dir=self._config.node.data_dir,
                all_safe=lambda: all(s.in_safe_state for s in self.supervisors.values()),
                on_guard=self._guard_changed,
                start=self._start_guard,
            ),
            name="guard",
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                if self.acknowledged:
                    tasks.create_task(self._listen_for_acknowledgements(), name="acknowledgements")
                for name, supervisor in self.supervisors.items():
                    tasks.create_task(supervisor.run(), name=f"supervisor {name}")
        finally:
            # Only now may the guard go home: the supervisors have made all safe.
            guard.cancel()
            await asyncio.gather(guard, return_exceptions=True)

    async def _listen_for_acknowledgements(self) -> None:
        desk = Desk(self._config.node.data_dir)
        while True:
            for name, acknowledge in self.acknowledged.items():
                if desk.asked(name):
                    desk.answer(name, acknowledge())
            await asyncio.sleep(ACKNOWLEDGE_EVERY_S)

    def _supervise(self, name: str, table: InstrumentTable, rng: random.Random) -> Supervisor:
        make = self._maker(name, table)
        if table.arm:
            self._guarded.append(
                GuardEntry(
                    name, table.driver, table.resource, dict(table.options), table.serial or None
                )
            )
        return Supervisor(
            name,
            make,
            rng=random.Random(rng.getrandbits(64)),
            expected_serial=table.serial or None,
            settings=table.settings,
            policy=table.policy,
            lease=self._lease if table.arm else None,
            on_status=self._status_changed,
            driver=table.driver,
            claim=partial(self._claims.take, table.resource, f"{self._config.node.name}/{name}"),
            read_only=table.read_only,
        )

    def _maker(self, name: str, table: InstrumentTable) -> Callable[[], Instrument]:
        """What builds the driver; built once now, so that a mistake is told at the start."""
        where = f"{self._config.path}: instruments.{name}"
        try:
            driver = load_driver(table.driver)
            make = partial(
                make_instrument,
                driver,
                table.resource,
                owner=f"{self._config.node.name}/{name} ({table.driver})",
                options=table.options,
                memory=self._memory,
            )
            make()
        except (UnknownDriver, ImportError) as error:
            raise UserError(
                f"the driver of instrument '{name}' cannot be loaded",
                where=where,
                found=str(error),
                do="correct `driver`, or install the package that brings it",
            ) from error
        except (ValueError, InstrumentProblem) as error:
            raise UserError(
                f"instrument '{name}' cannot be set up as configured",
                where=where,
                found=str(error),
                do="correct `resource` or `options`, then start again",
            ) from error
        return make

    def _interlock(self, name: str, table: InterlockTable) -> Interlock:
        return Interlock(
            name,
            parse_condition(table.when),
            table.of,
            [self.supervisors[each] for each in table.makes_safe],
            on_change=partial(self._interlock_changed, name),
        )

    def _interlock_changed(self, name: str, state: InterlockState, reason: str) -> None:
        self._bus.publish("interlocks", name, state)
        self._store.event("interlock", {"name": name, "state": state, "reason": reason})
        if reason:
            self._bus.alarm(f"interlock-{name}", reason)
        else:
            self._bus.clear_alarm(f"interlock-{name}")

    def _status_changed(self, status: InstrumentStatus) -> None:
        for interlock in self.interlocks.values():
            if interlock.of == status.name:
                interlock.hear(status)
        group = f"instrument-{status.name}"
        self._bus.publish(group, "state", status.state)
        for reading, value in status.readings.items():
            self._bus.publish(group, reading, value)
        for gone in sorted(self._read.get(status.name, set()) - status.readings.keys()):
            self._bus.withdraw(group, gone)
        self._read[status.name] = set(status.readings)
        if self._told.get(status.name) == (status.state, status.reason):
            return
        self._told[status.name] = (status.state, status.reason)
        self._bus.publish(group, "reason", status.reason)
        self._store.event(
            "instrument",
            {
                "name": status.name,
                "driver": status.driver,
                "state": status.state,
                "identity": status.identity.text if status.identity else "",
                "reason": status.reason,
            },
        )

    def _guard_changed(self, reason: str) -> None:
        self._store.event("guard", {"watching": not reason, "reason": reason})
        if reason:
            self._bus.alarm("guard", f"nothing is armed: {reason}")
        else:
            self._bus.clear_alarm("guard")
