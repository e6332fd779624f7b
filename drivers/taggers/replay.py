"""A recording of `qnodeos tags record`, or of a node with [record], in the place of its tagger.

The k-th start of the tagger gives the k-th stream of the recording: the same batches with the same
spans and flags, each as long after the start as it came when it was recorded. Where a stream is
over that is an error of the instrument; once all are, it stays one, and nothing begins again.
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
                f"no stream from number {self._first} on in {folder}",
                **self.link.about(),
            )
        head = await self._blocking(self._waiting[0].head)
        self.resolution_ps, self.channels = head.resolution_ps, head.channels
        return Identity(f"recording of {head.identity or head.driver or 'a tagger'}")

    async def enter_safe_state(self) -> None:
        """Nothing to do; raises NotConnected."""
        self._require_open()

    async def ping(self) -> None:
        """Look whether there is something to play; raises NotConnected, InstrumentError."""
        self._require_open()
        if not self._folder().is_dir():
            raise NotConnected("the folder of the recording is gone", **self.link.about())
        if not self._waiting and not self._playing:
            raise self._over()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """The stream that is played (0: none), its batches so far, and what was damaged."""
        self._require_open()
        return {
            "stream": self._playing,
            "batches": self._batches,
            "damaged": self._damaged,
            "streams_left": len(self._waiting or ()),
        }

    async def stream(self) -> AsyncGenerator[TagBatch, None]:
        """See TimeTagger; raises InstrumentError once the recorded stream is over."""
        if self._playing:
            raise Refused("a stream runs already", **self.link.about("(stream)"))
        clock = asyncio.get_running_loop().time
        began_s = clock()
        if not self._waiting:
            raise self._over()
        stream = self._waiting.pop(0)
        self._playing, self._batches = stream.number, 0
        try:
            batches = read_stream(stream, self._tell)
            while (stored := await self._blocking(next, batches, None)) is not None:
                if self._batches == 0 and stored.missed:
                    # Its beginning was removed, and would be an hour of silence or a week.
                    began_s -= stored.after_ns / NS_PER_S
                await asyncio.sleep(began_s + stored.after_ns / NS_PER_S - clock())
                self._batches += 1
                yield stored.batch
            raise self._over(f"stream {stream.number}")
        finally:
            self._playing = 0

    def _over(self, what: str = "every stream") -> InstrumentError:
        """No problem of a link: after one we are built anew, and would begin with the first."""
        return InstrumentError(
            "END", f"{what} of the recording has been played", **self.link.about("(stream)")
        )

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

    def _require_open(self) -> None:
        if not self.link.usable:
            raise NotConnected("the link is closed", **self.link.about())

    def _folder(self) -> Path:
        return Path(self.link.resource.removeprefix("file://"))
