"""A simulated ID900 in a process of its own, as fast as asked: `python -m benchmarks.id900_source`.

It is the twin of the simulated lab, on real ZeroMQ sockets, with tags made beforehand: every
sub-acquisition of an input sends the same times, as a real one restarts them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import numpy as np

from sim_backends.clocks import FreeRunningClock
from sim_backends.instruments.id900 import Id900
from sim_backends.mount_zmq import ZmqPairPlace, ZmqPlace
from sim_backends.taggers import TaggerModel

INPUTS = (1, 2, 3, 4)
WIDTH_PS = 200 * 10**9
PERIOD_S = 0.200_000_04


def times_of(number: int, tags: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """The times of one sub-acquisition of an input, ascending; the receiver makes them too."""
    rng = np.random.default_rng(number)
    return np.sort(rng.integers(0, WIDTH_PS, tags, dtype=np.uint64))


class FastId900(Id900):
    """Sends messages that are ready, each as its sub-acquisition is over."""

    def __init__(self, tagger: TaggerModel, tags_per_s: float) -> None:
        super().__init__(tagger, "BENCH")
        count = round(tags_per_s * PERIOD_S / len(INPUTS))
        self._messages = {n: times_of(n, count).tobytes() for n in INPUTS}
        self._due_s = 0.0
        self.late_s = 0.0

    def poll(self) -> None:
        """Send what is due; how late it ever was is kept."""
        if not self.playing:
            self._due_s = 0.0
            return
        now_s = time.monotonic()
        self._due_s = self._due_s or now_s + PERIOD_S
        while self.playing and now_s >= self._due_s:
            self.late_s = max(self.late_s, now_s - self._due_s)
            self._due_s += PERIOD_S
            for number in INPUTS:
                channel = self._tags.get(number)
                if channel is None or not channel.send(self._messages[number]):
                    self.lost_messages += 1


async def serve(tags_per_s: float) -> None:
    """Serve until stdin ends; print the addresses first and what was lost last."""
    clock = FreeRunningClock(
        skew_ppm=0.0, white_fm_1s=0.0, power_on_s=0.0, rng=np.random.default_rng(1)
    )
    tagger = TaggerModel(clock, lambda: time.monotonic_ns() * 1000, lambda: None)
    box = FastId900(tagger, tags_per_s)
    places: list[ZmqPlace | ZmqPairPlace] = [ZmqPlace("127.0.0.1", 0), ZmqPlace("127.0.0.1", 0)]
    await places[0].start(box.connect_control)
    await places[1].start(box.connect_dlt)
    for number in INPUTS:
        tags = ZmqPairPlace("127.0.0.1", 0)
        await tags.start(box.connect_tags(number))
        places.append(tags)
    print(json.dumps([place.resource for place in places]), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    while not ended.is_set():
        box.poll()
        await asyncio.sleep(0.005)
    for place in places:
        await place.stop()
    print(json.dumps({"lost_messages": box.lost_messages, "late_s": box.late_s}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tags-per-s", type=float, default=20e6)
    asyncio.run(serve(parser.parse_args().tags_per_s))
