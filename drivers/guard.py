"""The guard: a small process that makes a dead node's instruments safe.

    python -m drivers.guard

is started by `drivers.safety.GuardProcess`. Its first line of input is the order (JSON), then come
`renew` lines, and at a proper end `release`. End of input, or no renewal within the lease, means
that the node is dead or hangs: the guard opens a link of its own to each instrument and brings it
to its safe state. Links are opened only then, as many instruments take a single client.

The drivers are imported and the order is checked before it says `ready`, so that nothing is left
to go wrong later but the instrument itself. What it does is on its standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from drivers.devices import Instrument
from drivers.errors import InstrumentProblem, NotConnected
from drivers.links.memory import Registry
from drivers.plugin import UnknownDriver, load_driver, make_instrument, wrong_box
from drivers.safety import GuardEntry

_log = logging.getLogger("guard")

_RETRY_S = 0.25
_LOCK_POLL_S = 0.05
_ATTEMPT_LIMIT_S = 5.0
_ORDER_LIMIT_S = 10.0
_LINE_LIMIT_BYTES = 1 << 20


class Order(msgspec.Struct, frozen=True):
    """What the node asks for in the first line."""

    entries: list[GuardEntry]
    lock_file: str
    lease_s: float
    act_limit_s: float
    lock_limit_s: float


class BadOrder(Exception):
    """The order cannot be carried out; the node is told why."""


def main() -> int:
    """Run until released, or until the instruments are safe or given up; 0, 1 (given up), 2."""
    # Only the pipe decides: a service manager signals the whole group while the node still
    # shuts its instruments down.
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s guard {os.getpid()}: %(message)s",
    )
    return asyncio.run(_run())


async def _run() -> int:
    lines = await _standard_input()
    try:
        async with asyncio.timeout(_ORDER_LIMIT_S):
            order = msgspec.json.decode(await lines.readline(), type=Order)
        makers = [prepared(entry) for entry in order.entries]
    except (TimeoutError, msgspec.MsgspecError, BadOrder) as error:
        _tell(f"the guard cannot start: {error or 'no order came'}")
        return 2
    try:
        lock = await _lock(Path(order.lock_file), order.lock_limit_s, lines)
    except BadOrder as error:
        _tell(str(error))
        return 2
    with lock:
        if not _tell("ready"):
            _log.info("the node was gone before anything could be armed")
            return 0
        reason = await _watch(lines, order.lease_s)
        if not reason:
            return 0
        _log.warning("%s; making %d instrument(s) safe", reason, len(makers))
        done = await asyncio.gather(
            *(make_safe(entry, driver, order.act_limit_s) for entry, driver in makers)
        )
        return 0 if all(done) else 1


async def _watch(lines: asyncio.StreamReader, lease_s: float) -> str:
    """Wait for the end of the node; "" for a proper one, else the reason to act."""
    while True:
        try:
            async with asyncio.timeout(lease_s):
                line = await lines.readline()
        except TimeoutError:
            return f"the node has not renewed its lease for {lease_s:g} s"
        if not line:
            return "the node has died"
        if line.strip() == b"release":
            return ""


def prepared(
    entry: GuardEntry, memory: Registry | None = None
) -> tuple[GuardEntry, type[Instrument]]:
    """The driver of an entry. What can fail without the instrument fails here: BadOrder."""
    try:
        driver = load_driver(entry.driver)
        make_instrument(
            driver, entry.resource, owner=entry.name, options=entry.options, memory=memory
        )
    except (UnknownDriver, ImportError, ValueError, InstrumentProblem) as error:
        raise BadOrder(f"{entry.name}: {error}") from error
    return entry, driver


async def make_safe(
    entry: GuardEntry,
    driver: type[Instrument],
    limit_s: float,
    memory: Registry | None = None,
) -> bool:
    """Try until it is safe or the time is up; True when safe."""
    clock = asyncio.get_running_loop().time
    until_s = clock() + limit_s
    owner = f"guard/{entry.name} ({entry.driver})"
    problem: Exception | None = None
    while (left_s := until_s - clock()) > 0:
        try:
            async with asyncio.timeout(min(left_s, _ATTEMPT_LIMIT_S)):
                async with _connected(entry, driver, owner, memory) as instrument:
                    await instrument.enter_safe_state()
        except Exception as error:
            # Whatever it is, a driver's own mistake included: somebody's eyes may depend on the
            # next attempt.
            problem = error
        else:
            _log.info("%s: safe (%s)", entry.name, driver.manifest.safe_state)
            return True
        await asyncio.sleep(_RETRY_S)
    _log.error("%s: NOT SAFE, given up after %g s: %r", entry.name, limit_s, problem)
    return False


@asynccontextmanager
async def _connected(
    entry: GuardEntry, driver: type[Instrument], owner: str, memory: Registry | None
) -> AsyncIterator[Instrument]:
    instrument = make_instrument(
        driver, entry.resource, owner=owner, options=entry.options, memory=memory
    )
    try:
        await instrument.link.open()
        identity = await instrument.connect()
        wrong = wrong_box(driver.manifest, identity, entry.serial)
        if wrong:
            raise NotConnected(wrong, owner=owner, resource=entry.resource)
        yield instrument
        await instrument.disconnect()
    finally:
        await instrument.link.close()


async def _lock(path: Path, limit_s: float, lines: asyncio.StreamReader) -> TextIO:
    """The open, locked file; waits for the guard of an earlier node to finish."""
    clock = asyncio.get_running_loop().time
    until_s = clock() + limit_s
    file = path.open("a+")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if lines.at_eof():
                raise BadOrder("the node has gone before it armed anything") from None
            if clock() < until_s:
                await asyncio.sleep(_LOCK_POLL_S)
                continue
            file.seek(0)
            holder = file.read(20).strip()
            file.close()
            raise BadOrder(
                f"another guard (process {holder}) has held {path} for {limit_s:g} s: "
                "another node is running on this data directory; stop it first"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file


async def _standard_input() -> asyncio.StreamReader:
    lines = asyncio.StreamReader(limit=_LINE_LIMIT_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    return lines


def _tell(answer: str) -> bool:
    """Answer the node; False when it is gone."""
    with contextlib.suppress(BrokenPipeError):
        print(answer, flush=True)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
