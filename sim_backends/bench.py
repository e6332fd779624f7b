"""A world and its instruments on the running event loop, on real or virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sim_backends.catalogue import CATALOGUE, MESSAGE_KINDS, Context, Sockets, Stepped
from sim_backends.changing import change, power_off
from sim_backends.faulty_line import FaultyLine
from sim_backends.lab import InstrumentConfig, LabConfig
from sim_backends.mount_memory import MemoryPort, open_memory
from sim_backends.mount_messages import in_packets
from sim_backends.seeds import generator
from sim_backends.truth import TruthLog
from sim_backends.world import World
from timing.alarm import Alarm, alarm_at

__all__ = ["STEP_S", "Bench"]

STEP_S: Final = 0.02
_FLUSH_STEPS: Final = 25


class Bench:
    """A world and the byte machines of all its instruments, on the running event loop.

    `sockets[instrument][field]` connects a client, where field is `port`, `counts_port` or `pty` as
    in the lab file, and `lines[instrument][field]` is the cable there. `unix_s` is the wall clock
    that instruments print. Nothing happens before `run` runs; the truth is written out by `close`.
    """

    def __init__(
        self, config: LabConfig, truth: TruthLog, *, unix_s: Callable[[], float] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._config = config
        self._truth = truth
        self._unix_s = unix_s or _wall_clock(loop)
        self._stepped: dict[str, list[Stepped]] = {}
        self._herald_timer: Alarm | asyncio.TimerHandle | None = None
        self._herald_due_s: float | None = None
        self._step_s: float | None = None
        self.world = World(config, now_s=self._now_s, truth=truth)
        self.lines: dict[str, dict[str, FaultyLine]] = {
            name: self._cables(name, item) for name, item in config.instruments.items()
        }
        self.sockets: dict[str, Sockets] = {
            name: {field: line.connect for field, line in lines.items()}
            for name, lines in self.lines.items()
        }

    @property
    def config(self) -> LabConfig:
        """The lab as its file has it."""
        return self._config

    def memory(self, instrument: str, field: str = "port") -> MemoryPort:
        """A new client of an instrument, connected in memory."""
        connect = self.sockets[instrument][field]
        kind = CATALOGUE[self._config.instruments[instrument].type].mounts[field]
        return open_memory(in_packets(connect) if kind in MESSAGE_KINDS else connect)

    async def run(self) -> None:
        """Let the lab live, until cancelled."""
        steps = 0
        next_s = self._loop.time()
        while True:
            self.step()
            steps += 1
            if steps % _FLUSH_STEPS == 0:
                self._truth.flush()
            # A late step is not made up for: the world then takes a longer one.
            next_s = max(next_s + STEP_S, self._loop.time())
            await asyncio.sleep(next_s - self._loop.time())

    def step(self) -> None:
        """Bring the world up to now and let every instrument do what is due; `run` does it."""
        # One instant for the whole step: what reads the world again finds it up to date.
        self._step_s = self._loop.time()
        try:
            self.world.advance()
            for machines in self._stepped.values():
                for machine in machines:
                    machine.poll()
        finally:
            self._step_s = None

    def change(self, path: str, value: Any, *, by: str) -> None:
        """Change the world, see `sim_backends.changing.change`. Raises ChangeError."""
        change(self.world, path, value, by=by)
        self._arm()

    def power_off(self, instrument: str) -> None:
        """Its connections end and new ones are refused; what it drives goes dark."""
        for line in self.lines[instrument].values():
            line.refuses = True
            line.hang_up()
        item = self._config.instruments[instrument]
        if item.of and CATALOGUE[item.type].drives:
            power_off(self.world, item.of)
        self._stepped.pop(instrument, None)
        self._arm()

    def power_on(self, instrument: str) -> None:
        """It starts as new: what was set on it is forgotten."""
        lines = self.lines[instrument]
        for field, connect in self._machine(
            instrument, self._config.instruments[instrument]
        ).items():
            lines[field].machine = connect
            lines[field].refuses = False

    def close(self) -> None:
        """End timers and write out the truth; call it once, after `run`."""
        if self._herald_timer is not None:
            self._herald_timer.cancel()
        self._truth.flush()

    def _now_s(self) -> float:
        return self._loop.time() if self._step_s is None else self._step_s

    def _arm(self) -> None:
        """Wake up when the next herald is due; called whenever that may have changed."""
        due_s = self.world.next_event_s()
        if due_s == self._herald_due_s:
            return
        if self._herald_timer is not None:
            self._herald_timer.cancel()
        self._herald_due_s = due_s
        # Not by the loop's own timer: after attempts of microseconds a herald would be told a
        # millisecond late.
        self._herald_timer = None if due_s is None else alarm_at(due_s, self._fire)

    def _fire(self) -> None:
        self._herald_due_s = self._herald_timer = None
        self.world.fire_due()
        self._arm()

    def _cables(self, name: str, item: InstrumentConfig) -> dict[str, FaultyLine]:
        kinds = CATALOGUE[item.type].mounts
        return {
            field: FaultyLine(connect, keeps=kinds[field] != "pty")
            for field, connect in self._machine(name, item).items()
        }

    def _machine(self, name: str, item: InstrumentConfig) -> Sockets:
        things: dict[str, Any] = getattr(self.world, item.of_section) if item.of else {}
        context = Context(
            of=things.get(item.of_name),
            serial=item.serial,
            item=item,
            rng=generator(self._config.lab.seed, f"instruments.{name}"),
            advance=self.world.advance,
            now_s=self._now_s,
            unix_s=self._unix_s,
            step=self._stepped.setdefault(name, []).append,
            changed=self._arm,
        )
        return CATALOGUE[item.type].make(context)


def _wall_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    offset_s = datetime.now(UTC).timestamp() - loop.time()
    return lambda: offset_s + loop.time()
