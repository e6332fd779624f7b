"""Transcripts: every byte between a driver and its instrument, in a file a person can read.

A file has one JSON object a line. The first is the header; each other one has the seconds since the
start, what happened (`open`, `sent`, `received`, `close`) and the bytes as text, one character a
byte (latin-1), so that JSON shows what is printable as it is.

    {"transcript":1,"driver":"thorlabs.pm100d","resource":"tcp://192.0.2.7:5025","options":{}}
    {"t":0.0,"what":"open"}
    {"t":0.001,"what":"sent","data":"*IDN?\\n"}
    {"t":0.004,"what":"received","data":"Thorlabs,PM100D,P0031415,2.4.0\\n"}
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

import msgspec

from drivers.devices import Instrument
from drivers.links.base import Link, Transport
from drivers.plugin import load_driver
from drivers.testing.script import ScriptedTransport

VERSION = 1

What = Literal["open", "sent", "received", "close"]


class BadTranscript(Exception):
    """A file that is no transcript: which, where, and what is wrong."""


class Header(msgspec.Struct, frozen=True):
    """What was recorded; options that hold a password are left out."""

    transcript: int
    driver: str
    resource: str
    options: dict[str, Any] = {}


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened, `t` seconds after the start."""

    t: float
    what: What
    data: str = ""

    @property
    def raw(self) -> bytes:
        """The bytes."""
        return self.data.encode("latin-1")


class Transcript(msgspec.Struct, frozen=True):
    """A header and what happened, in order."""

    header: Header
    events: tuple[Event, ...]

    def exchanges(self) -> list[tuple[bytes, bytes]]:
        """What was sent and what came until the next was sent; ("", x) for what came unasked."""
        pairs: list[tuple[bytes, bytes]] = []
        for event in self.events:
            if event.what == "sent":
                pairs.append((event.raw, b""))
            elif event.what == "received":
                sent, came = pairs.pop() if pairs else (b"", b"")
                pairs.append((sent, came + event.raw))
            elif pairs:
                pairs.append((b"", b""))  # what comes after a new connection is no answer
        return [pair for pair in pairs if pair != (b"", b"")]


class RecordingTransport(Transport):
    """Writes down what passes; put it on a link before it is opened.

    `secrets` are bytes that must not be in the file, as passwords: `*` stands for each of them.
    """

    def __init__(
        self,
        inner: Transport,
        file: TextIO,
        clock: Callable[[], float],
        secrets: tuple[bytes, ...] = (),
    ):
        self.resource = inner.resource
        self._inner = inner
        self._file = file
        self._clock = clock
        self._start_s = clock()
        self._secrets = secrets
        self._opened = False

    async def open(self) -> None:
        """See Transport."""
        await self._inner.open()
        self._opened = True
        self._note("open")

    async def read(self) -> bytes:
        """See Transport."""
        data = await self._inner.read()
        self._note("received", data)
        return data

    def read_nowait(self) -> bytes:
        """See Transport."""
        data = self._inner.read_nowait()
        if data:
            self._note("received", data)
        return data

    async def write(self, data: bytes) -> None:
        """See Transport."""
        self._note("sent", data)
        await self._inner.write(data)

    async def close(self) -> None:
        """See Transport."""
        await self._inner.close()
        if self._opened and not self._file.closed:
            self._opened = False
            self._note("close")

    def _note(self, what: What, data: bytes = b"") -> None:
        for secret in self._secrets:
            data = data.replace(secret, b"*" * len(secret))
        t = round(self._clock() - self._start_s, 6)
        self._file.write(msgspec.json.encode(Event(t, what, data.decode("latin-1"))).decode())
        self._file.write("\n")


def record(instrument: Instrument, resource: str, file: TextIO, clock: Callable[[], float]) -> None:
    """Write the header, and from the next opening of its link on all that passes."""
    open_options, secrets = {}, []
    for name, value in instrument.options.items():
        if "password" in name:
            secrets.append(str(value).encode())
        else:
            open_options[name] = value
    header = Header(VERSION, instrument.manifest.driver, resource, open_options)
    file.write(msgspec.json.encode(header).decode() + "\n")
    link = instrument.link
    link.transport = RecordingTransport(link.transport, file, clock, tuple(secrets))


def read_transcript(path: Path) -> Transcript:
    """Read a file; raises BadTranscript with the place that is wrong, or OSError."""
    # Not splitlines(): bytes of an instrument may be what that takes for an end of line.
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip("\n").split("\n")
    events: list[Event] = []
    try:
        header = msgspec.json.decode(lines[0], type=Header)
        for line in lines[1:]:
            event = msgspec.json.decode(line, type=Event)
            event.data.encode("latin-1")
            events.append(event)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise BadTranscript(f"{path}, after {len(events)} events: {error}") from error
    if header.transcript != VERSION:
        raise BadTranscript(
            f"{path}: version {header.transcript}, this program reads version {VERSION}"
        )
    return Transcript(header, tuple(events))


@asynccontextmanager
async def replayed(
    path: Path, *, options: Mapping[str, Any] | None = None, armed: bool = False
) -> AsyncIterator[Instrument]:
    """The recorded driver on a link that gives the recorded answers to the recorded questions.

    For a test from a bug report: call what was called. Raises AssertionError at the first byte that
    differs. `options` replace those of the header.
    """
    transcript = read_transcript(path)
    driver = load_driver(transcript.header.driver)
    transport = ScriptedTransport([(sent, came or None) for sent, came in transcript.exchanges()])
    chosen = transcript.header.options if options is None else options
    instrument = driver(Link(transport, owner="replay"), chosen)
    instrument.armed = lambda: armed
    await instrument.link.open()
    try:
        yield instrument
    finally:
        await instrument.disconnect()
        await instrument.link.close()
    if transport.problem:
        raise AssertionError(transport.problem)


class Replayer:
    """A fake instrument that answers as the recorded one did.

    A question is looked for from the last answer on, then from the beginning; so one may ask again,
    or leave something out. `unknown` counts the bytes that no recorded question begins with.
    """

    def __init__(self, transcript: Transcript):
        self.unknown = 0
        self._pairs = transcript.exchanges()
        self._next = 0
        self._heard = b""

    def greeting(self) -> bytes:
        """What it says at a new connection."""
        self._heard = b""
        unasked = self._pairs and not self._pairs[0][0]
        return self._pairs[0][1] if unasked else b""

    def feed(self, data: bytes) -> bytes:
        """The answer to what has been heard, b"" for none yet."""
        self._heard += data
        said = b""
        while self._heard:
            at = self._find(lambda sent: self._heard.startswith(sent))
            if at is not None:
                said += self._pairs[at][1]
                self._heard = self._heard[len(self._pairs[at][0]) :]
                self._next = at + 1
            elif self._find(lambda sent: sent.startswith(self._heard)) is not None:
                break
            else:
                self.unknown += len(self._heard)
                self._heard = b""
        return said

    def _find(self, fits: Callable[[bytes], bool]) -> int | None:
        count = len(self._pairs)
        for step in range(count):
            at = (self._next + step) % count
            sent = self._pairs[at][0]
            if sent and fits(sent):
                return at
        return None
