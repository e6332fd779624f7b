"""Tags of one end in the form in which their times may be told: nothing in them names a detector.

Times alone still tell the detector if its cable is longer than the other's, if its delay is no
whole number of time steps, or if two tags are closer than one detector can click twice. So delays
are taken out, on the grid of the tagger, and tags within the dead time of the one before are left
out, whichever detectors they are of.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cext.condition import NEVER_PS, select_tags
from cext.condition_gate import veto_after_clicks
from timing.conditioning import Tags, by_channel, no_tags
from timing.tags import TagBatch


class BlindStream:
    """One tagger's stream, merged and equalised; the channels stay beside for their owner.

    `delay_ps` says for each channel how much later than its light its tags come; tags of other
    channels are left out. All channels are brought to the latest. Where a delay is no multiple of
    the tagger's `resolution_ps`, each tag of the channel moves to one of the two nearest steps by
    chance, so that it is right on average. A tag less than `dead_time_ps` after the last kept one
    is left out and counted in `vetoed`.
    """

    def __init__(
        self,
        delay_ps: Mapping[int, int],
        *,
        dead_time_ps: int,
        resolution_ps: int,
        rng: np.random.Generator,
    ):
        latest_ps = max(delay_ps.values())
        self.vetoed = 0
        self._wait_ps = {channel: latest_ps - delay for channel, delay in delay_ps.items()}
        self._resolution_ps = resolution_ps
        self._rng = rng
        self._dead_time_ps = by_channel({0: dead_time_ps})
        self._last_ps = by_channel({}, NEVER_PS)
        self._held = no_tags()
        self._stop_ps: int | None = None

    def feed(self, batch: TagBatch) -> TagBatch:
        """The equalised tags in the batch's span; the last few of it may come with the next."""
        if batch.start_ps != self._stop_ps:
            self._held = no_tags()
            self._last_ps = by_channel({}, NEVER_PS)
        self._stop_ps = batch.stop_ps
        time_ps, channel = self._equalised(batch)
        ready = int(np.searchsorted(time_ps, batch.stop_ps))
        self._held = time_ps[ready:], channel[ready:]
        time_ps, channel = time_ps[:ready], channel[:ready]
        # The dead time is that of the merged stream: of one channel.
        keep, self._last_ps = veto_after_clicks(
            time_ps, np.zeros(ready, np.uint8), self._dead_time_ps, self._last_ps
        )
        time_ps, channel = select_tags(time_ps, channel, keep)
        self.vetoed += ready - len(time_ps)
        return TagBatch(
            time_ps,
            channel,
            batch.start_ps,
            batch.stop_ps,
            batch.overflow,
            batch.lost,
            batch.lost_tags,
        )

    def _equalised(self, batch: TagBatch) -> Tags:
        """Held and new tags of the channels, moved, in time order."""
        mine = np.isin(batch.channel, list(self._wait_ps))
        time_ps, channel = batch.time_ps[mine], batch.channel[mine]
        for number, wait_ps in self._wait_ps.items():
            if wait_ps:
                of = channel == number
                whole, rest_ps = divmod(wait_ps, self._resolution_ps)
                steps = np.full(int(np.count_nonzero(of)), whole, np.int64)
                if rest_ps:
                    steps += self._rng.random(len(steps)) < rest_ps / self._resolution_ps
                time_ps[of] += steps * self._resolution_ps
        time_ps = np.concatenate((self._held[0], time_ps))
        channel = np.concatenate((self._held[1], channel))
        if bool((time_ps[1:] < time_ps[:-1]).any()):
            order = np.argsort(time_ps, kind="stable")
            return time_ps[order], channel[order]
        return time_ps, channel
