"""The tagger of a photonic link at one end: blind batches, each with the epoch of its basis."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing

import numpy as np

from drivers.devices import TimeTagger
from drivers.errors import InstrumentProblem, NotConnected
from drivers.supervisor import Supervisor
from qnodeos.analysis import TurningAnalyzer
from qnodeos.context import NodeContext
from qnodeos.recording import counted_batches
from timing.blind import BlindStream
from timing.tags import TagBatch

TakeBatch = Callable[[int, TagBatch, int], None]
"""Called with the number of the stream, the batch, and the epoch of its basis."""

ONLINE_LIMIT_S = 60.0

RETRY_S = 0.05
"""Pause after a problem: the supervisor needs a turn before the tagger is looked at again."""


class TagSource:
    """Streams tags while they are wanted; every start of the tagger is a stream of its own.

    `delay_ps` names the channels that are wanted, with their delays; see `BlindStream`.
    """

    def __init__(
        self,
        tagger: Supervisor,
        analyzer: TurningAnalyzer,
        wanted: asyncio.Event,
        context: NodeContext,
        counters: Counter[str],
        *,
        delay_ps: Mapping[int, int],
        dead_time_ps: int,
    ):
        self._tagger, self._analyzer, self._wanted = tagger, analyzer, wanted
        self._counters = counters
        self._delay_ps, self._dead_time_ps = delay_ps, dead_time_ps
        self._rng = np.random.default_rng(context.rng.getrandbits(64))
        self._stream = context.rng.getrandbits(30) << 16
        self._recorder = context.recorder

    async def run(self, take: TakeBatch) -> None:
        """Until cancelled; an instrument that fails is reported and waited for."""
        while True:
            await self._wanted.wait()
            try:
                await self._tagger.wait_online(ONLINE_LIMIT_S)
                tagger = self._tagger.instrument
                if not isinstance(tagger, TimeTagger):
                    raise NotConnected(f"{type(tagger).__name__} is not a time tagger")
                await self._stream_from(tagger, take)
            except InstrumentProblem as problem:
                self._counters["stream_problems"] += 1
                self._tagger.report(problem)
                await asyncio.sleep(RETRY_S)

    async def _stream_from(self, tagger: TimeTagger, take: TakeBatch) -> None:
        self._stream += 1
        blind = BlindStream(
            self._delay_ps,
            dead_time_ps=self._dead_time_ps,
            resolution_ps=tagger.resolution_ps,
            rng=self._rng,
        )
        stream = counted_batches(tagger, self._tagger, self._recorder, self._counters)
        async with aclosing(stream) as batches:
            async for batch in batches:
                vetoed = blind.vetoed
                blinded = blind.feed(batch)
                self._counters["tags_vetoed"] += blind.vetoed - vetoed
                take(self._stream, blinded, self._analyzer.epoch)
                if not self._wanted.is_set():
                    return
