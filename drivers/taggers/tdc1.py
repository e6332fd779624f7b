"""S-Fifteen TDC1 time tagger on a USB serial port.

Text commands ended by ";" or CR LF, replies by CR LF; the tag stream is bare little-endian u32
words until `abort`: bits 31 to 5 time in 2 ns (27 bits, 268 ms a turn), bit 4 a roll-over marker,
bits 3 to 0 the inputs. Facts from the vendor's MIT client pyS15, see docs/instruments.md.
Unverified: the words of `*IDN?` around "TDC1", so the serial number is what looks like one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from drivers.devices import Identity, TimeTagger
from drivers.draining import drain
from drivers.errors import InstrumentError, InstrumentProblem, ProtocolError, Refused, Timeout
from drivers.framing import LINE_CRLF, Anything
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.taggers.tdc1_words import WordStream
from timing.tags import PS_PER_S, TagBatch

BATCH_S = 0.05
SILENCE_S = 1.0
"""Markers come each 268 ms: without a word for this long the tagger or its cable is gone."""

_LEVELS = {"NIM": -1, "TTL": 1}
_REFERENCES = {"auto": 0, "external": 1, "internal": 2}
_ANYTHING = Anything()
_TRIES = 3
_QUIET_STREAM_S = 0.3  # longer than between two markers
_CHANNELS = (1, 2, 3, 4)


class Tdc1(TimeTagger):
    """A TDC1 with four inputs. No options.

    Settings: `level` ("NIM", "TTL"), `reference` ("auto", "external", "internal").
    While a stream runs nothing is asked of the device: `ping` and `readings` tell of the stream.
    """

    manifest = Manifest(
        driver="sfifteen.tdc1",
        kind="TimeTagger",
        identity=r"TDC1",
        links=("serial",),
        safe_state="not streaming",
        asking=Asking(b"\r\n", LINE_CRLF, b"*IDN?"),
        read_only=("ping", "readings"),
        udev_hint='SUBSYSTEM=="tty", KERNEL=="ttyACM*", GROUP="dialout"',
        sources=("pyS15 S15lib/instruments/usb_counter_fpga.py", "serial_connection.py"),
    )
    resolution_ps = 2000
    channels = _CHANNELS

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        if self.options:
            raise ValueError(f"sfifteen.tdc1 has no options, found {', '.join(self.options)}")
        self._streaming = False
        self._word_s = 0.0
        self._lossy_batches = 0
        self._rates_cps = dict.fromkeys(_CHANNELS, 0.0)
        self._asking = asyncio.Lock()

    async def connect(self) -> Identity:
        """End a stream or half a command of an earlier life, then ask who it is."""
        self._streaming = False
        problem: InstrumentProblem | None = None
        for _ in range(_TRIES):
            await self._quiet()
            await self.link.send(b"*IDN?\r\n")
            try:
                async with asyncio.timeout(1.0):
                    line = await self.link.receive(LINE_CRLF, timeout_s=None, command="*IDN?")
            except TimeoutError:
                problem = Timeout("no answer within 1 s", **self._about("*IDN?"))
                continue
            text = line.decode("latin-1").strip()
            if "TDC1" in text.upper():
                return Identity(text=text, serial=serial_of(text))
            problem = ProtocolError("expected an identity with TDC1", line, **self._about("*IDN?"))
        assert problem is not None
        raise problem

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `level`, `reference`; not while a stream runs."""
        rest = dict(settings)
        level, reference = rest.pop("level", None), rest.pop("reference", None)
        await super().apply(rest)
        for name, value, known in (
            ("level", level, tuple(_LEVELS)),
            ("reference", reference, tuple(_REFERENCES)),
        ):
            if value is not None and value not in known:
                raise Refused(
                    f"{name} = {value!r}, accepted are {', '.join(known)}", **self._about()
                )
        if self._streaming and settings:
            raise Refused("settings change only while no stream runs", **self._about())
        if level is not None:
            await self.set_level(level)
        if reference is not None:
            await self.set_reference(reference)

    async def enter_safe_state(self) -> None:
        """Stop streaming and see that it is quiet."""
        if not self._streaming:
            await self._quiet()
            return
        await self.link.send(b"abort\r\n")  # whoever reads the stream gets a Timeout
        clock = asyncio.get_running_loop().time
        end_s = clock() + 2.0
        while clock() - self._word_s < _QUIET_STREAM_S:
            if clock() >= end_s:
                raise ProtocolError("it goes on sending after abort", b"", **self._about("abort"))
            await asyncio.sleep(BATCH_S)

    async def ping(self) -> None:
        """Ask for the level; while a stream runs, only look when its last word came."""
        if not self._streaming:
            await self._ask("level?")
            return
        silent_s = asyncio.get_running_loop().time() - self._word_s
        if silent_s > SILENCE_S:
            raise Timeout(f"no word of the stream for {silent_s:.1f} s", **self._about("(stream)"))

    async def readings(self) -> dict[str, float | int | bool | str]:
        """The level while idle; count rates and batches with loss while a stream runs."""
        shown: dict[str, float | int | bool | str] = {"streaming": self._streaming}
        if not self._streaming:
            return {**shown, "level": await self._ask("level?")}
        rates = {f"rate_{channel}_cps": rate for channel, rate in self._rates_cps.items()}
        return {**shown, **rates, "lossy_batches": self._lossy_batches}

    async def set_level(self, level: str) -> None:
        """Set the threshold of all inputs for "NIM" or "TTL" pulses and read it back."""
        await self.link.send(f"{level}\r\n".encode())
        told = await self._ask("level?")
        volts = re.search(r"[-+]?\d+(?:\.\d+)?", told)
        if volts is None:
            raise self._garbled("expected a level in volts", told, "level?")
        if float(volts[0]) * _LEVELS[level] <= 0:
            raise InstrumentError(
                "level", f"level {level} was set, but it tells {told!r}", **self._about(level)
            )

    async def set_reference(self, reference: str) -> None:
        """Choose the clock: "auto", "external", "internal"; compared where it tells a number."""
        number = _REFERENCES[reference]
        await self.link.send(f"REFCLK {number}\r\n".encode())
        told = await self._ask("REFCLK?")
        if told in ("0", "1", "2") and int(told) != number:
            raise InstrumentError(
                "REFCLK",
                f"reference {reference} was set, but it tells {told!r}; is the clock connected?",
                **self._about(f"REFCLK {number}"),
            )

    async def stream(self) -> AsyncGenerator[TagBatch, None]:
        """See TimeTagger. A batch each 50 ms in which words came; its span ends with the last word.

        Raises Timeout after a second without any word.
        """
        if self._streaming:
            raise Refused("a stream runs already", **self._about())
        clock = asyncio.get_running_loop().time
        self._streaming = True
        self._lossy_batches = 0
        self._word_s = clock()
        try:
            await self._quiet()
            await self.link.send(b"INPKT;time 0;timestamp;counts?;\r\n")
            words = WordStream()
            self._word_s = read_s = clock()
            while True:
                data = await self._gather()
                elapsed_s, read_s = clock() - read_s, clock()
                if data:
                    self._word_s = read_s
                elif read_s - self._word_s > SILENCE_S:
                    self.link.poison()
                    raise Timeout(
                        f"no word of the stream for {SILENCE_S:g} s, and a marker is due each "
                        "268 ms; check the cable and the power",
                        **self._about("(stream)"),
                    )
                batch = words.feed(data, elapsed_s)
                if batch is not None:
                    self._account(batch)
                    yield batch
        finally:
            try:
                # A link that is broken here is opened anew, and connect() stops the stream then.
                if self.link.usable:
                    with contextlib.suppress(InstrumentProblem):
                        await self._quiet()
            finally:
                self._streaming = False

    async def _gather(self) -> bytes:
        """All that comes within the time of a batch; a little later where nothing came."""
        # Waiting first lets the link collect: one wake-up a batch instead of one a packet.
        await asyncio.sleep(BATCH_S)
        try:
            async with asyncio.timeout(BATCH_S):
                return await self.link.receive(_ANYTHING, timeout_s=None, command="(stream)")
        except TimeoutError:
            return b""

    def _account(self, batch: TagBatch) -> None:
        self._lossy_batches += batch.lost
        span_s = batch.stop_ps - batch.start_ps
        if span_s > 0:
            for channel in _CHANNELS:
                self._rates_cps[channel] = len(batch.of(channel)) * PS_PER_S / span_s

    async def _quiet(self) -> None:
        """End whatever runs, and drop what it still sends."""
        async with self._asking:
            for _ in range(_TRIES):
                await self.link.send(b"\r\nabort\r\n")
                _, quiet = await drain(self.link, quiet_s=0.1, limit_s=1.0)
                if quiet:
                    return
        raise ProtocolError("it goes on sending after abort", b"", **self._about("abort"))

    async def _ask(self, command: str) -> str:
        async with self._asking:
            reply = await self.link.exchange(f"{command}\r\n".encode(), LINE_CRLF, command=command)
        text = reply.decode("latin-1").strip()
        if not text or not text.isprintable():
            raise self._garbled("expected a line of text", text, command)
        return text

    def _garbled(self, reason: str, text: str, command: str) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, text.encode("latin-1"), **self._about(command))

    def _about(self, command: str = "") -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}


def serial_of(identity: str) -> str:
    """The serial number in an identity: TDC1-<x>, else what follows S/N, else the last word with
    a digit; "" for none."""
    if found := re.search(r"\bTDC1-\w[\w-]*", identity, re.IGNORECASE):
        return found[0]
    if found := re.search(r"\b(?:S/?N|serial)\b[\s:#=]*([\w-]*\d[\w-]*)", identity, re.IGNORECASE):
        return found[1]
    words = re.findall(r"[\w.-]+", identity)
    with_digits = [word for word in words if re.search(r"\d", word) and word.upper() != "TDC1"]
    return with_digits[-1] if with_digits else ""
