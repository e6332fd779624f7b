"""Keeps the tags that pass through a node: taken without waiting, written in a thread.

What the disk does not take is dropped, counted, told, and seen in the recording itself: the next
batch carries a number that leaves room for those before it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from drivers.devices import TimeTagger
from drivers.supervisor import Supervisor
from timing.segments import SegmentHead, SegmentWriter, StoredBatch
from timing.tags import TagBatch

log = logging.getLogger("qnodeos.recording")

BYTES_A_TAG, BYTES_A_BATCH = 9, 1000
"""What waits takes so much memory, also where no tag is in it."""

NS_PER_S = 1e9
RETRY_S = 5.0
"""So long nothing is written after the disk has failed; and without a drop a problem is over."""

_Entry = tuple[SegmentWriter, StoredBatch | None]
"""What to write in which stream; None ends it."""

TOO_SLOW = "the disk does not keep up with the tags; batches are dropped"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is full, in bytes or in seconds of its stream; and how many bytes of tags may
    wait for the disk: the default is more than a second of 20 million tags."""

    segment_bytes: int = 64_000_000
    segment_s: float = 600.0
    waiting_bytes: int = 256_000_000


class RecordedStream:
    """One run of a tagger on its way to the disk, while it is entered; see `TagRecorder.begin`."""

    def __init__(self, recorder: TagRecorder, writer: SegmentWriter, clock: Callable[[], float]):
        self.writer = writer
        self._recorder, self._clock = recorder, clock
        self._began_s = clock()
        self._sequence = 0

    def take(self, batch: TagBatch) -> None:
        """Record a batch; never waits."""
        after_ns = round((self._clock() - self._began_s) * NS_PER_S)
        self._recorder.put(self.writer, StoredBatch(self._sequence, after_ns, batch))
        self._sequence += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._recorder.put(self.writer, None)


class TagRecorder:
    """Writes streams of batches below `folder`, in one folder an instrument.

    `clock` is the event loop's, `wall` gives seconds since 1970. `on_problem` is called with each
    new reason why batches are dropped, and with "" once none is any more.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
        node: str = "",
        limits: Limits | None = None,
        on_problem: Callable[[str], None] = lambda _: None,
    ):
        self.folder = folder
        self._wall, self._node = wall, node
        self.problem = ""
        self.batches = self.tags = self.bytes = 0
        self.dropped_batches = self.dropped_tags = 0
        self._clock, self._limits = clock, limits or Limits()
        self._on_problem = on_problem
        self._paused = False
        self._retry_s = self._dropped_s = float("-inf")
        self._waiting: deque[_Entry] = deque()
        self._waiting_bytes = 0
        self._open: set[SegmentWriter] = set()
        self._news = asyncio.Event()

    def status(self) -> dict[str, float | int | str | bool]:
        """For bus, metrics and journal."""
        return {
            "recording": not self.problem,
            "problem": self.problem,
            "batches": self.batches,
            "tags": self.tags,
            "bytes": self.bytes,
            "waiting_bytes": self._waiting_bytes,
            "dropped_batches": self.dropped_batches,
            "dropped_tags": self.dropped_tags,
        }

    def begin(self, name: str, tagger: TimeTagger, identity: str) -> RecordedStream:
        """The tagger of this name is asked for a stream now; it gets the next free number."""
        head = SegmentHead(
            self._wall(),
            tagger.resolution_ps,
            tagger.channels,
            node=self._node,
            instrument=name,
            driver=tagger.manifest.driver,
            identity=identity,
            version=version("qnodeos"),
        )
        writer = SegmentWriter(
            self.folder / name,
            head,
            segment_bytes=self._limits.segment_bytes,
            segment_s=self._limits.segment_s,
        )
        return RecordedStream(self, writer, self._clock)

    def pause(self, reason: str) -> None:
        """Drop what comes until `resume`: the disk is wanted for other things."""
        self._paused = True
        self._tell(reason)

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._paused:
            self._paused = False
            self._tell("")

    def put(self, writer: SegmentWriter, stored: StoredBatch | None) -> None:
        """Take a batch of a stream, or None for its end; what there is no room for is dropped."""
        if stored is not None:
            size = _bytes(stored)
            if self._waiting_bytes + size > self._limits.waiting_bytes:
                self._drop(stored)
                self._tell(TOO_SLOW)
                return
            self._waiting_bytes += size
        self._waiting.append((writer, stored))
        self._news.set()

    async def run(self) -> None:
        """Write until cancelled; then write the rest and end all segments."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                turn = asyncio.ensure_future(self.flush())
                try:
                    # A thread cannot be cancelled, and no other must write beside it.
                    await asyncio.shield(turn)
                except asyncio.CancelledError:
                    await turn
                    raise
        finally:
            await self.flush()
            rest: list[_Entry] = [(writer, None) for writer in self._open]
            await asyncio.to_thread(self._write, rest, True)

    async def flush(self) -> None:
        """Write all that waits, or drop it where nothing can be written."""
        while self._waiting:
            entries = list(self._waiting)
            self._waiting.clear()
            held = self._paused or self._clock() < self._retry_s
            dropped, problem = await asyncio.to_thread(self._write, entries, held)
            for _, stored in entries:
                if stored is not None:
                    self._waiting_bytes -= _bytes(stored)
            for stored in dropped:
                self._drop(stored)
            if problem:
                self._retry_s = self._clock() + RETRY_S
                self._tell(problem)
            elif not held and not self._paused and self._clock() - self._dropped_s >= RETRY_S:
                self._tell("")

    def _write(self, entries: list[_Entry], held: bool) -> tuple[list[StoredBatch], str]:
        """In the writing thread: what was dropped, and why. Ends are written even if held."""
        dropped: list[StoredBatch] = []
        problem = ""
        for writer, stored in entries:
            before = writer.bytes
            try:
                if stored is None:
                    self._open.discard(writer)
                    writer.close()
                elif held or problem:
                    dropped.append(stored)
                else:
                    self._open.add(writer)
                    writer.write(stored)
                    self.batches += 1
                    self.tags += len(stored.batch)
            except OSError as error:
                problem = f"recorded tags cannot be written: {error}"
                if stored is not None:
                    dropped.append(stored)
            self.bytes += writer.bytes - before
        return dropped, problem

    def _drop(self, stored: StoredBatch) -> None:
        self._dropped_s = self._clock()
        self.dropped_batches += 1
        self.dropped_tags += len(stored.batch)

    def _tell(self, problem: str) -> None:
        if problem == self.problem:
            return
        self.problem = problem
        if problem:
            log.error("%s (%s)", problem, self.folder)
        self._on_problem(problem)


def _bytes(stored: StoredBatch) -> int:
    return BYTES_A_BATCH + BYTES_A_TAG * len(stored.batch)


async def counted_batches(
    tagger: TimeTagger,
    supervisor: Supervisor,
    recorder: TagRecorder | None,
    counters: Counter[str],
) -> AsyncGenerator[TagBatch, None]:
    """A tagger's stream, recorded where there is a recorder, its tags and losses counted.

    To be closed by whoever ends it early (`aclosing`), and with it the tagger's own.
    """
    with ExitStack() as recording:
        recorded: RecordedStream | None = None
        if recorder is not None:
            identity = supervisor.status.identity
            said = identity.text if identity else ""
            recorded = recording.enter_context(recorder.begin(supervisor.name, tagger, said))
        async with aclosing(tagger.stream()) as batches:
            async for batch in batches:
                if recorded is not None:
                    recorded.take(batch)
                counters["tags"] += len(batch)
                counters["tag_overflows"] += batch.overflow
                counters["tag_losses"] += batch.lost
                yield batch
