"""The tagger at a station: its stream, which one or more readers take."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol

from drivers.devices import TimeTagger
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from qnodeos.context import NodeContext
from qnodeos.recording import counted_batches
from timing.tags import TagBatch

ONLINE_LIMIT_S = 60.0

RETRY_S = 0.05
"""Pause after a problem: the supervisor needs a turn before the tagger is looked at again."""


class TagReader(Protocol):
    """What is made of the tags."""

    def begin(self, tagger: TimeTagger) -> None:
        """A stream begins: what came before has nothing to do with it."""
        ...

    def take(self, batch: TagBatch) -> None:
        """A batch of it."""
        ...


class StationTagger:
    """Streams for as long as the station runs; an instrument that fails is waited for."""

    def __init__(
        self,
        tagger: Supervisor,
        readers: Sequence[TagReader],
        context: NodeContext,
        counters: Counter[str],
    ):
        self._tagger, self._readers = tagger, tuple(readers)
        self._context, self._counters = context, counters

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._tagger.wait_online(ONLINE_LIMIT_S)
                tagger = self._tagger.instrument
                if not isinstance(tagger, TimeTagger):
                    raise NotConnected(f"{type(tagger).__name__} is not a time tagger")
                await self._stream(tagger)
            except InstrumentProblem as problem:
                self._counters["stream_problems"] += 1
                self._tagger.report(problem)
                await asyncio.sleep(RETRY_S)

    async def _stream(self, tagger: TimeTagger) -> None:
        for reader in self._readers:
            reader.begin(tagger)
        stream = counted_batches(tagger, self._tagger, self._context.recorder, self._counters)
        async with aclosing(stream) as batches:
            async for batch in batches:
                for reader in self._readers:
                    reader.take(batch)
