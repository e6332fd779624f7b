"""From the messages of one sub-acquisition of an ID900 to a batch of tags of all its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from cext.decode import decode_id900
from drivers.errors import ProtocolError
from timing.conditioning import Tags, merge
from timing.tags import TagBatch


class SubAcquisitions:
    """Numbers the sub-acquisitions of one stream and puts their inputs together."""

    def __init__(self, inputs: Sequence[int], period_ps: int, width_ps: int):
        self._inputs = tuple(inputs)
        self._period_ps = period_ps
        self._width_ps = width_ps
        self._index = 0

    async def batch(
        self, payloads: Mapping[int, bytes], *, lost: bool, about: Mapping[str, str]
    ) -> TagBatch:
        """The tags of the next sub-acquisition, by input; raises ProtocolError.

        Lets the event loop run between inputs, as each may bring millions of tags.
        """
        streams = []
        for channel in self._inputs:
            streams.append(self._decode(channel, payloads[channel], about))
            await asyncio.sleep(0)
        while len(streams) > 1:
            merged = []
            for k in range(0, len(streams), 2):
                merged.append(merge(streams[k : k + 2]))
                await asyncio.sleep(0)
            streams = merged
        time_ps, channels = streams[0]
        start_ps = self._index * self._period_ps
        self._index += 1
        return TagBatch(time_ps, channels, start_ps, start_ps + self._period_ps, lost=lost)

    def _decode(self, channel: int, payload: bytes, about: Mapping[str, str]) -> Tags:
        """Tags of one message; they have to ascend and lie within the sub-acquisition."""
        if len(payload) % 8:
            raise ProtocolError(
                f"expected tags of 8 bytes of input {channel}, found {len(payload)} bytes",
                payload[-80:],
                **about,
            )
        words = np.frombuffer(payload, dtype="<u8")
        if len(words) and (words[-1] > self._width_ps or (words[1:] < words[:-1]).any()):
            raise ProtocolError(
                f"expected ascending times up to {self._width_ps} ps of input {channel}",
                payload[-80:],
                **about,
            )
        time_ps, channels, _ = decode_id900(words, channel, self._period_ps, self._index)
        return time_ps, channels
