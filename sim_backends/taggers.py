"""Time taggers: clicks stamped on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from cext.condition import merge_two
from sim_backends.clocks import FreeRunningClock

__all__ = ["TaggerModel"]

_MAX_TAGS: Final = 4_000_000


class TaggerModel:
    """Keeps tags only between `start` and `stop`, at most four million until they are taken.

    `dropped` counts those lost to a full buffer. Read `counter_ps` first and `take_tags` second:
    then every tag before that counter has been taken. Tags carry the clock's picoseconds; a
    coarser resolution is the instrument's business.
    """

    dropped: int

    def __init__(
        self,
        clock: FreeRunningClock,
        time_ps: Callable[[], int],
        advance: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._time_ps = time_ps
        self._advance = advance
        self._times: list[npt.NDArray[np.int64]] = []
        self._channels: list[npt.NDArray[np.uint8]] = []
        self._kept = 0
        self._running = False
        self.dropped = 0

    @property
    def clock(self) -> FreeRunningClock:
        """The tagger's clock, for the truth."""
        return self._clock

    @property
    def running(self) -> bool:
        """Whether tags are kept."""
        return self._running

    def start(self) -> None:
        """Keep tags from now on; those not taken before are gone."""
        self._advance()
        self._clear()
        self._running = True

    def stop(self) -> None:
        """Keep no more tags; those kept can still be taken."""
        if self._running:
            self._advance()
        self._running = False

    def counter_ps(self) -> int:
        """The tagger's own counter now."""
        return self._clock.read_ps(self._time_ps())

    def take_tags(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Tags since the last call: sorted times (int64 ps, own timescale), channels (uint8)."""
        if self._running:
            self._advance()
        if not self._times:
            return np.empty(0, np.int64), np.empty(0, np.uint8)
        times, channels = np.concatenate(self._times), np.concatenate(self._channels)
        self._clear()
        return times, channels

    def receive(self, clicks: dict[int, npt.NDArray[np.int64]]) -> None:
        """Clicks of one step of the world by input channel, sorted, on the lab's time."""
        if not self._running or not clicks:
            return
        lab_ps, channels = _merged(clicks)
        room = _MAX_TAGS - self._kept
        self.dropped += max(0, lab_ps.size - room)
        lab_ps, channels = lab_ps[:room], channels[:room]
        if lab_ps.size:
            self._times.append(self._clock.read_many_ps(lab_ps))
            self._channels.append(channels)
            self._kept += lab_ps.size

    def _clear(self) -> None:
        self._times.clear()
        self._channels.clear()
        self._kept = 0


def _merged(
    clicks: dict[int, npt.NDArray[np.int64]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """All clicks in the order of time, those of one instant in the order of the inputs."""
    streams = [(times, np.full(times.size, channel, np.uint8)) for channel, times in clicks.items()]
    while len(streams) > 1:
        pairs = [streams[k : k + 2] for k in range(0, len(streams), 2)]
        streams = [merge_two(*pair[0], *pair[1]) if len(pair) == 2 else pair[0] for pair in pairs]
    return streams[0]
