"""The guard of a photonic link's own detectors, from the tags that are taken anyway."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from link_layer.guard import RateGuard
from qnodeos.config import GuardTable
from timing.tags import PS_PER_S, TagBatch


class DetectorGuard:
    """Rates of both outcome channels; `changed` is told what is wrong, "" when it has ended."""

    def __init__(
        self, table: GuardTable, channels: tuple[int, int], changed: Callable[[str], None]
    ):
        self._guards = {
            channel: RateGuard(
                dark_cps,
                table.most_cps,
                window_s=table.window_s,
                false_alarms_per_year=table.false_alarms_per_year,
            )
            for channel, dark_cps in zip(channels, table.dark_cps, strict=True)
        }
        self._changed = changed
        self._told = False

    def add(self, batch: TagBatch) -> None:
        """Take in a batch; one with a gap tells no rate and is left out."""
        if batch.lost or batch.overflow:
            return
        length_s = (batch.stop_ps - batch.start_ps) / PS_PER_S
        new = [
            guard.add(length_s, int(np.count_nonzero(batch.channel == channel)))
            for channel, guard in self._guards.items()
        ]
        if not any(new):
            return
        trouble = "; ".join(
            f"detector of channel {channel}: {guard.trouble}"
            for channel, guard in self._guards.items()
            if guard.trouble
        )
        if trouble or self._told:
            self._told = bool(trouble)
            self._changed(trouble)
