"""What the contract suite is told of a driver, and how it speaks up when the contract is broken."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from drivers.devices import Instrument
from drivers.errors import InstrumentProblem, Refused
from drivers.testing.tap import Tap

MESSES = (b"half a comm", b"\r\n\r\n", b"\x00\xff\x1b[2J\x17 garbage \xfe\r\n", b"\r")
"""What an earlier program may have left on a line."""

CALL_LIMIT_S = 30.0
"""Nothing that a driver does may take longer; reaching it is a hang."""


class ContractBroken(AssertionError):
    """The driver does not do what every driver has to do."""


def require(holds: bool, what: str) -> None:
    """Raise ContractBroken with a sentence unless `holds`."""
    if not holds:
        raise ContractBroken(what)


@dataclass(frozen=True)
class Subject:
    """A driver, how to make one that reaches an instrument, and what that instrument takes.

    make: a fresh driver on a fresh link, not yet open, to an instrument that is switched on.
    serial: the serial number that the instrument tells; "" for none.
    settings: a settings table that it takes, without emission.
    armed: settings that switch emission on, where the manifest says `emits`.
    refused: settings tables that must be refused before anything is sent, with a word that the
        message must have.
    calls: methods with arguments that it takes; one `set_x` must be told by `x`, or by what
        `read_back` names, a method or a reading; "" where the instrument cannot tell.
    refused_calls: methods with arguments that must be refused, with a word of the message.
    noisy: readings that change by themselves.
    tolerance: largest relative difference between a value set and the one read back.
    messes: what an earlier program may have left on its line.
    one_line: the line has no end that the instrument notices, as a serial port; then a mess is on
        the driver's own connection, else on the one before.
    emits, state: what comes out of the instrument and what is set in it, seen from the inside;
        None where there is no inside to look at, as with a real one.
    """

    make: Callable[[], Instrument]
    serial: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    armed: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[tuple[Mapping[str, Any], str], ...] = ()
    calls: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    refused_calls: tuple[tuple[str, tuple[Any, ...], str], ...] = ()
    read_back: Mapping[str, str] = field(default_factory=dict)
    noisy: tuple[str, ...] = ()
    tolerance: float = 1e-3
    messes: tuple[bytes, ...] = MESSES
    one_line: bool = False
    emits: Callable[[], bool] | None = None
    state: Callable[[], Any] | None = None

    @asynccontextmanager
    async def connected(self, *, armed: bool = True) -> AsyncIterator[tuple[Instrument, Tap]]:
        """A connected driver and the tap on its link."""
        async with self.opened(armed=armed) as (instrument, tap):
            await instrument.connect()
            yield instrument, tap

    @asynccontextmanager
    async def opened(self, *, armed: bool = True) -> AsyncIterator[tuple[Instrument, Tap]]:
        """A driver on an open link with a tap, not connected; all is closed at the end."""
        instrument = self.make()
        tap = Tap.on(instrument.link)
        instrument.armed = lambda: armed
        try:
            await instrument.link.open()
            yield instrument, tap
        finally:
            tap.release()
            await instrument.disconnect()
            await instrument.link.close()

    def same(self, one: Any, other: Any) -> bool:
        """Equal up to the tolerance."""
        return same(one, other, self.tolerance)

    def steady(self, readings: Mapping[str, Any]) -> dict[str, Any]:
        """The readings that stay as they are while nothing is set."""
        return {name: value for name, value in readings.items() if name not in self.noisy}


def same(one: Any, other: Any, tolerance: float) -> bool:
    """Equal, numbers up to a relative tolerance, through tuples, lists and tables."""
    if isinstance(one, bool) or isinstance(other, bool):
        return bool(one == other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[k], other[k], tolerance) for k in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(same(a, b, tolerance) for a, b in pairs)
    return bool(one == other)


async def must_refuse(
    call: Callable[[], Awaitable[Any]], tap: Tap, what: str, word: str = ""
) -> None:
    """The call must raise Refused with the word in its message, and send nothing."""
    before = tap.sent_bytes
    try:
        await call()
    except Refused as refusal:
        require(word in str(refusal), f"{what}: the refusal does not say {word!r}: {refusal}")
        require(bool(refusal.owner), f"{what}: the refusal does not name the instrument")
    except InstrumentProblem as problem:
        raise ContractBroken(f"{what}: raised {problem!r}, expected Refused") from problem
    else:
        raise ContractBroken(f"{what}: was accepted, expected Refused")
    sent = tap.sent_bytes - before
    require(sent == 0, f"{what}: {sent} bytes were sent before it was refused")
