"""The simulated lab as a running program: a world, its byte machines, and how they are reached."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sim_backends.bench import Bench
from sim_backends.catalogue import CATALOGUE
from sim_backends.handling import Handling
from sim_backends.lab import LabConfig, load_lab
from sim_backends.mount import MountError
from sim_backends.places import PLACES, Place, PtyPlace
from sim_backends.truth import TruthLog

__all__ = ["Bench", "ServeError", "serve"]


class ServeError(Exception):
    """The lab cannot be served: what is wrong, where (file and field), and what helps."""

    def __init__(self, what: str, *, where: str, found: str, do: str) -> None:
        self.what, self.where, self.found, self.do = what, where, found, do
        super().__init__(f"{where}: {what}: {found}; {do}")


async def serve(
    lab_path: Path | str,
    *,
    ready: Callable[[list[str]], None] | None = None,
    stop: asyncio.Event | None = None,
    handling: Handling | None = None,
) -> None:
    """Serve a lab file until SIGINT, SIGTERM or `stop`; then serial ports are gone again.

    `ready` gets one line an address, "instrument type resource", when all can be reached.
    `handling` is what there is beside the instruments. Raises LabError for a wrong file and
    ServeError where an instrument cannot be reached as it says.
    """
    path = Path(lab_path)
    config = load_lab(path)
    ended = asyncio.Event() if stop is None else stop
    places: dict[tuple[str, str], Place] = {}
    bench: Bench | None = None
    handling = handling or Handling()
    signals = _end_on_signal(ended)
    try:
        # The addresses first: a lab that is already being served must not lose its truth to this
        # one.
        for name, field in _sockets(config):
            with _place(path, name, field):
                places[name, field] = _take(config, name, field)
        try:
            handling.take(config)
        except MountError as error:
            where = f"{path}: network, or the command's --control"
            raise ServeError(error.what, where=where, found=error.address, do=error.do) from error
        bench = Bench(config, _truth_log(config, path))
        for (name, field), place in places.items():
            with _place(path, name, field):
                await place.start(bench.sockets[name][field])
        lines = [
            f"{name} {config.instruments[name].type} {place.resource}"
            for (name, _), place in places.items()
        ]
        lines += await handling.start(bench)
        if ready is not None:
            ready(lines)
        await _run_until(bench, ended)
    finally:
        await handling.stop()
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
