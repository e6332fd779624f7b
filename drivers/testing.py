"""For authors of drivers: a driver on a scripted link, and links in memory.

async with expected_exchange(MyLaser, [(b"emission?\\n", b"0\\n")]) as laser:
    assert not await laser.emission()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from drivers.devices import Instrument
from drivers.links.base import Link, Transport
from drivers.links.inbox import Inbox
from drivers.links.memory import Pipe, pipe_pair
from drivers.links.open import make_link

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


class FarEnd:
    """The instrument's side of a link in memory."""

    def __init__(self, reader: Pipe, writer: Pipe):
        self._reader = reader
        self._writer = writer
        self._ahead = bytearray()

    async def read(self) -> bytes:
        """What the driver sent next; b"" when it has closed."""
        if self._ahead:
            data = bytes(self._ahead)
            self._ahead.clear()
            return data
        return await self._reader.read()

    async def expect(self, data: bytes, *, timeout_s: float = 10.0) -> None:
        """Wait until the driver has sent exactly these bytes next; raises AssertionError."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(self._ahead) < len(data):
                    more = await self._reader.read()
                    if not more:
                        break
                    self._ahead += more
        except TimeoutError:
            pass
        got = bytes(self._ahead[: len(data)])
        del self._ahead[: len(data)]
        if got != data:
            raise AssertionError(f"the driver sent {got!r}, expected was {data!r}")

    async def write(self, data: bytes) -> None:
        """Send to the driver."""
        await self._writer.write(data)

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._writer.close()


@asynccontextmanager
async def memory_link(name: str = "instrument") -> AsyncIterator[tuple[Link, FarEnd]]:
    """An open link and its far end, on whatever clock the event loop has."""
    near, far = pipe_pair()
    link = make_link(f"mem://{name}", owner="test", memory={name: lambda: near})
    await link.open()
    far_end = FarEnd(*far)
    try:
        yield link, far_end
    finally:
        await link.close()
        far_end.close()
