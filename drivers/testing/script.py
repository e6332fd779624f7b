"""A driver on a scripted link: the bytes of the manual, in order, and nothing else.

async with expected_exchange(MyLaser, [(b"emission?\\n", b"0\\n")]) as laser:
    assert not await laser.emission()
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from drivers.devices import Instrument
from drivers.links.base import Link, Transport
from drivers.links.inbox import Inbox

AnyInstrument = TypeVar("AnyInstrument", bound=Instrument)


class ScriptedTransport(Transport):
    """A far end that expects given bytes in a given order and answers with given bytes.

    Each line of the script is (bytes the driver must send, answer or None). With b"" as the bytes
    to send, the answer comes unasked. The bytes of one line may be sent in parts.
    """

    def __init__(self, script: Sequence[tuple[bytes, bytes | None]]):
        self.resource = "script"
        self.problem = ""
        self._script = list(script)
        self._sent = bytearray()
        self._inbox = Inbox()

    async def open(self) -> None:
        """Start, or after a close go on with, the script."""
        self._inbox = Inbox()
        self._sent.clear()
        self._follow()

    async def read(self) -> bytes:
        """The answers; waits when the script has none."""
        return await self._inbox.read()

    def read_nowait(self) -> bytes:
        """The answers already there."""
        return self._inbox.take()

    async def write(self, data: bytes) -> None:
        """Compare with the script; raises AssertionError at the first byte that differs."""
        self._sent += data
        self._follow()
        if not self._sent:
            return
        expected = self._script[0][0] if self._script else b""
        if not self._script or not expected.startswith(bytes(self._sent)):
            wanted = repr(expected) if self._script else "nothing more"
            self.problem = f"the driver sent {bytes(self._sent)!r}, expected was {wanted}"
            raise AssertionError(self.problem)

    async def close(self) -> None:
        """The reader gets the end."""
        self._inbox.end()

    def missing(self) -> str:
        """What the driver did not send, in words; "" when the script is done."""
        unsent = [sent for sent, _ in self._script if sent]
        if not unsent:
            return ""
        begun = f", of which came {bytes(self._sent)!r}" if self._sent else ""
        return f"the driver never sent {unsent!r}{begun}"

    def _follow(self) -> None:
        while self._script and self._sent.startswith(self._script[0][0]):
            sent, answer = self._script.pop(0)
            del self._sent[: len(sent)]
            if answer:
                self._inbox.feed(answer)


@asynccontextmanager
async def expected_exchange(
    driver: type[AnyInstrument],
    script: Sequence[tuple[bytes, bytes | None]],
    *,
    options: Mapping[str, Any] | None = None,
    armed: bool = True,
) -> AsyncIterator[AnyInstrument]:
    """A driver on an open link whose far end follows the script; `connect` has not been called.

    Raises AssertionError unless all and only the bytes of the script are sent.
    """
    transport = ScriptedTransport(script)
    link = Link(transport, owner="test")
    instrument = driver(link, options)
    instrument.armed = lambda: armed
    await link.open()
    try:
        yield instrument
    finally:
        await instrument.disconnect()
        await link.close()
    # Said again here in case the driver met the first complaint in a task of its own.
    if transport.problem or transport.missing():
        raise AssertionError(transport.problem or transport.missing())
