"""A recording of `qnodeos tags record`, or of a node with [record], in the place of its tagger.

The k-th start of the tagger gives the k-th stream of the recording: the same batches with the same
spans and flags, each as long after the start as it came when it was recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from drivers.checks import known_options
from drivers.devices import Identity, TimeTagger
from drivers.errors import InstrumentError, NotConnected, Refused
from drivers.links.base import Link
from drivers.links.file import FileTransport
from drivers.plugin import Manifest
from timing.segments import Damage, SegmentError, StoredStream, read_stream, streams_in
from timing.tags import TagBatch

Result = TypeVar("Result")

NS_PER_S = 1e9


class ReplayTagger(TimeTagger):
    """Plays the folder that `file://FOLDER` names, the one of the tagger.

    Option `first_stream`: where to begin, by default with the first that is there. No settings.
    """

    manifest = Manifest(
        driver="replay.tags",
        kind="TimeTagger",
        identity=r"^recording of ",
        links=("file",),
        safe_state="nothing to make safe",
        read_only=("ping", "readings"),
        sources=("docs/recording.md",),
    )
    resolution_ps = 1
    channels = tuple(range(1, 256))

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("replay.tags", self.options, "first_stream")
        self._first = self.options.get("first_stream", 1)
        if not isinstance(self._first, int) or isinstance(self._first, bool) or self._first < 1:
            raise ValueError(f"first_stream = {self._first!r}, expected a number from 1")
        self._waiting: list[StoredStream] | None = None
        self._playing = 0
        self._batches = 0
        self._damaged = 0

    async def connect(self) -> Identity:
        """Find the streams; one that was begun stays begun."""
        folder = self._folder()
        if self._waiting is None:
            streams = await self._blocking(streams_in, folder)
            self._waiting = [each for each in streams if each.number >= self._first]
        self._playing = 0
        if not self._waiting:
            raise NotConnected(
                f"no stream from number {self._first} on in {folder}, or all have been played",
                **self.link.about(),
            )
        head = await self._blocking(self._waiting[0].head)
        self.resolution_ps, self.channels = head.resolution_ps, head.channels
        return Identity(f"recording of {head.identity or head.driver or 'a tagger'}")

    async def enter_safe_state(self) -> None:
        """Nothing to do."""

    async def ping(self) -> None:
        """Look whether the folder is still there; raises NotConnected."""
        if not self._folder().is_dir():
            raise NotConnected("the folder of the recording is gone", **self.link.about())

    async def readings(self) -> dict[str, float | int | bool | str]:
        """The stream that is played (0: none), its batches so far, and what was damaged."""
        return {
            "stream": self._playing,
            "batches": self._batches,
            "damaged": self._damaged,
            "streams_left": len(self._waiting or ()),
        }

    async def stream(self) -> AsyncGenerator[TagBatch, None]:
        """See TimeTagger; raises InstrumentError at the end of the recorded stream."""
        if self._playing:
            raise Refused("a stream runs already", **self.link.about("(stream)"))
        if not self._waiting:
            raise NotConnected("all streams have been played", **self.link.about("(stream)"))
        clock = asyncio.get_running_loop().time
        began_s = clock()
        stream = self._waiting.pop(0)
        self._playing, self._batches = stream.number, 0
        try:
            batches = read_stream(stream, self._tell)
            while (stored := await self._blocking(next, batches, None)) is not None:
                await asyncio.sleep(began_s + stored.after_ns / NS_PER_S - clock())
                self._batches += 1
                yield stored.batch
            raise InstrumentError(
                "END", f"recorded stream {stream.number} is over", **self.link.about("(stream)")
            )
        finally:
            self._playing = 0

    async def _blocking(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Read in a thread; raises NotConnected, InstrumentError."""
        try:
            return await asyncio.to_thread(function, *arguments)
        except SegmentError as error:
            raise InstrumentError("DAMAGE", str(error), **self.link.about()) from error
        except OSError as error:
            raise NotConnected(str(error), **self.link.about()) from error

    def _tell(self, path: Path, damage: Damage) -> None:
        self._damaged += 1

    def _folder(self) -> Path:
        transport = self.link.transport
        if not isinstance(transport, FileTransport):
            raise NotConnected("a recording is named as file://FOLDER", **self.link.about())
        return transport.path
