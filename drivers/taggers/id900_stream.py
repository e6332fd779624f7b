"""From the messages of one sub-acquisition of an ID900 to a batch of tags of all its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cext.decode import decode_id900
from drivers.errors import ProtocolError
from timing.conditioning import merge
from timing.tags import TagBatch

PIECE_TAGS = 65_536
"""Tags are decoded and merged in pieces of about so many, which stay in the processor's cache: 4
million at once take half as long again, and hold up the event loop for all that time."""

Words = NDArray[np.uint64]


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

        Lets the event loop run between pieces.
        """
        streams = {channel: self._words(channel, payloads[channel], about) for channel in payloads}
        total = sum(len(words) for words in streams.values())
        time_ps, channels = np.empty(total, np.int64), np.empty(total, np.uint8)
        pieces = 1 + total // PIECE_TAGS
        edges = np.linspace(0, self._width_ps + 1, pieces + 1).astype(np.uint64)
        cuts = {channel: np.searchsorted(words, edges) for channel, words in streams.items()}
        filled = 0
        for k in range(pieces):
            parts = []
            for channel, words in streams.items():
                first, last = cuts[channel][k], cuts[channel][k + 1]
                if k == 0:
                    first = 0
                if k == pieces - 1:
                    last = len(words)
                times, labels, _ = decode_id900(
                    words[first:last], channel, self._period_ps, self._index
                )
                parts.append((times, labels))
            try:
                merged = merge(parts)
            except ValueError as error:
                raise self._disorder(streams, about) from error
            end = filled + len(merged[0])
            time_ps[filled:end], channels[filled:end] = merged
            if filled and end > filled and time_ps[filled] < time_ps[filled - 1]:
                raise self._disorder(streams, about)
            filled = end
            await asyncio.sleep(0)
        start_ps = self._index * self._period_ps
        self._index += 1
        return TagBatch(time_ps, channels, start_ps, start_ps + self._period_ps, lost=lost)

    def _words(self, channel: int, payload: bytes, about: Mapping[str, str]) -> Words:
        """The tags of one message, which have to be whole and lie within the sub-acquisition."""
        if len(payload) % 8:
            raise ProtocolError(
                f"expected tags of 8 bytes of input {channel}, found {len(payload)} bytes",
                payload[-80:],
                **about,
            )
        words: Words = np.frombuffer(payload, dtype="<u8")
        if len(words) and words[-1] > self._width_ps:
            raise ProtocolError(
                f"expected times up to {self._width_ps} ps of input {channel}, "
                f"found {int(words[-1])}",
                payload[-80:],
                **about,
            )
        return words

    def _disorder(self, streams: Mapping[int, Words], about: Mapping[str, str]) -> ProtocolError:
        for channel, words in streams.items():
            back = np.flatnonzero(words[1:] < words[:-1])
            if len(back):
                raw = words[back[0] : back[0] + 2].tobytes()
                return ProtocolError(
                    f"expected ascending times of input {channel}, found {int(words[back[0]])} ps "
                    f"and then {int(words[back[0] + 1])} ps",
                    raw,
                    **about,
                )
        return ProtocolError("expected ascending times", b"", **about)
