"""The simulated lab as a running program: a world, its byte machines, and how they are reached."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sim_backends.catalogue import CATALOGUE, MESSAGE_KINDS, Context, Sockets, Stepped
from sim_backends.lab import InstrumentConfig, LabConfig, load_lab
from sim_backends.mount import MemoryPort, MountError, open_memory
from sim_backends.mount_messages import in_packets
from sim_backends.places import PLACES, Place, PtyPlace
from sim_backends.seeds import generator
from sim_backends.truth import TruthLog
from sim_backends.world import World

__all__ = ["Bench", "ServeError", "serve"]

STEP_S: Final = 0.02
_FLUSH_STEPS: Final = 25


class ServeError(Exception):
    """The lab cannot be served: what is wrong, where (file and field), and what helps."""

    def __init__(self, what: str, *, where: str, found: str, do: str) -> None:
        self.what, self.where, self.found, self.do = what, where, found, do
        super().__init__(f"{where}: {what}: {found}; {do}")


class Bench:
    """A world and the byte machines of all its instruments, on the running event loop.

    `sockets[instrument][field]` connects a client, where field is `port`, `counts_port` or `pty` as
    in the lab file. `unix_s` is the wall clock that instruments print. Nothing happens before
    `run` runs; the truth is written out by `close`.
    """

    def __init__(
        self, config: LabConfig, truth: TruthLog, *, unix_s: Callable[[], float] | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._config = config
        self._truth = truth
        self._unix_s = unix_s or _wall_clock(loop)
        self._stepped: list[Stepped] = []
        self._herald_timer: asyncio.TimerHandle | None = None
        self._herald_due_s: float | None = None
        self._step_s: float | None = None
        self.world = World(config, now_s=self._now_s, truth=truth)
        self.sockets: dict[str, Sockets] = {
            name: self._machine(name, item) for name, item in config.instruments.items()
        }

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
            for machine in self._stepped:
                machine.poll()
        finally:
            self._step_s = None

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
        self._herald_timer = None if due_s is None else self._loop.call_at(due_s, self._fire)

    def _fire(self) -> None:
        self._herald_due_s = self._herald_timer = None
        self.world.fire_due()
        self._arm()

    def _machine(self, name: str, item: InstrumentConfig) -> Sockets:
        things: dict[str, Any] = getattr(self.world, item.of_section) if item.of else {}
        context = Context(
            of=things.get(item.of_name),
            serial=item.serial,
            rng=generator(self._config.lab.seed, f"instruments.{name}"),
            advance=self.world.advance,
            now_s=self._now_s,
            unix_s=self._unix_s,
            step=self._stepped.append,
            changed=self._arm,
        )
        return CATALOGUE[item.type].make(context)


async def serve(
    lab_path: Path | str,
    *,
    ready: Callable[[list[str]], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve a lab file until SIGINT, SIGTERM or `stop`; then serial ports are gone again.

    `ready` gets one line an address, "instrument type resource", when all can be reached. Raises
    LabError for a wrong file and ServeError where an instrument cannot be reached as it says.
    """
    path = Path(lab_path)
    config = load_lab(path)
    ended = asyncio.Event() if stop is None else stop
    places: dict[tuple[str, str], Place] = {}
    bench: Bench | None = None
    signals = _end_on_signal(ended)
    try:
        # The addresses first: a lab that is already being served must not lose its truth to this
        # one.
        for name, field in _sockets(config):
            with _place(path, name, field):
                places[name, field] = _take(config, name, field)
        bench = Bench(config, _truth_log(config, path))
        for (name, field), place in places.items():
            with _place(path, name, field):
                await place.start(bench.sockets[name][field])
        lines = [
            f"{name} {config.instruments[name].type} {place.resource}"
            for (name, _), place in places.items()
        ]
        if ready is not None:
            ready(lines)
        await _run_until(bench, ended)
    finally:
        for place in places.values():
            await place.stop()
        if bench is not None:
            bench.close()
        for number in signals:
            asyncio.get_running_loop().remove_signal_handler(number)


def _end_on_signal(ended: asyncio.Event) -> list[signal.Signals]:
    """Let SIGINT and SIGTERM end the lab; the signals for which this could be done."""
    loop = asyncio.get_running_loop()
    handled = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not every platform has them, nor every thread.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, ended.set)
            handled.append(number)
    return handled


async def _run_until(bench: Bench, ended: asyncio.Event) -> None:
    life = asyncio.create_task(bench.run(), name="simulated lab")
    end = asyncio.create_task(ended.wait(), name="end of the simulated lab")
    try:
        await asyncio.wait({life, end}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
    finally:
        for task in (life, end):
            task.cancel()
        await asyncio.gather(life, end, return_exceptions=True)


def _sockets(config: LabConfig) -> list[tuple[str, str]]:
    """Instrument and field of everything that is reached."""
    return [
        (name, field)
        for name, item in config.instruments.items()
        for field in CATALOGUE[item.type].mounts
        if field in item.addresses
    ]


def _take(config: LabConfig, name: str, field: str) -> Place:
    """Take the address of one socket. Raises MountError."""
    item = config.instruments[name]
    kind, address = CATALOGUE[item.type].mounts[field], item.addresses[field]
    if kind == "pty":
        return PtyPlace(config.lab.run_dir / str(address))
    return PLACES[kind](config.lab.host, int(address))


@contextmanager
def _place(path: Path, name: str, field: str) -> Iterator[None]:
    """Say of a MountError which entry of which lab file it is about."""
    try:
        yield
    except MountError as error:
        where = f"{path}: instruments.{name}.{field}"
        raise ServeError(error.what, where=where, found=error.address, do=error.do) from error


def _truth_log(config: LabConfig, path: Path) -> TruthLog:
    try:
        return TruthLog(config.lab.truth)
    except OSError as error:
        raise ServeError(
            "the truth file cannot be written",
            where=f"{path}: lab.truth",
            found=f"{config.lab.truth} ({error.strerror or error})",
            do="choose a file in a folder that this user may write to",
        ) from error


def _wall_clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    offset_s = datetime.now(UTC).timestamp() - loop.time()
    return lambda: offset_s + loop.time()
