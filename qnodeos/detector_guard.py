"""The guard of a photonic link's own detectors, from the tags that are taken anyway, and from a
power meter that looks at the light before them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from drivers.supervisor import Supervisor
from link_layer.guard import RateGuard
from qnodeos.config import GuardTable
from timing.tags import PS_PER_S, TagBatch

READING_AGE_S = 3.0
"""No reading of an instrument that is online is older."""


class DetectorGuard:
    """Rates of both outcome channels, and the power of the light that comes to them.

    `changed` is told what is wrong ("" when it has ended), whether that is known, and since when it
    may be so, on the node's own clock. A meter that tells nothing is wrong, too: who unplugs it
    must not be better off.
    """

    def __init__(
        self,
        table: GuardTable,
        channels: tuple[int, int],
        clock: Callable[[], float],
        changed: Callable[[str, bool, float], None],
        power_meter: Supervisor | None = None,
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
        self._table, self._meter = table, power_meter
        self._clock, self._changed = clock, changed
        self._told = ("", True)
        self._rates = self._power = self._flash = ""
        self._meter_tells = self._flash_tells = True
        now_s = clock()
        # Of the window that is counted now, and of the one before: most of a window may be blinded
        # without showing in its counts, which light has made more than the dark ones.
        self._begin_s: float | None = None
        self._before_s, self._dim_s = now_s, now_s

    def add(self, batch: TagBatch) -> None:
        """Take in a batch; one with a gap tells no rate and is left out."""
        if batch.lost or batch.overflow:
            return
        if self._begin_s is None:
            self._begin_s = self._clock()
        length_s = (batch.stop_ps - batch.start_ps) / PS_PER_S
        new = [
            guard.add(length_s, int(np.count_nonzero(batch.channel == channel)))
            for channel, guard in self._guards.items()
        ]
        if any(new):
            self._rates = "; ".join(
                f"detector of channel {channel}: {guard.trouble}: blinded, or off"
                for channel, guard in self._guards.items()
                if guard.trouble
            )
            self._tell(self._before_s)
            self._before_s, self._begin_s = self._begin_s, None

    def look(self) -> None:
        """What the power meter says now; to be called again and again."""
        meter, most_mw = self._meter, self._table.most_power_mw
        if meter is None or most_mw is None:
            return
        power_mw = meter.status.readings.get("power_mw")
        self._meter_tells = True
        if meter.status.state != "online" or not isinstance(power_mw, int | float):
            self._meter_tells = False
            self._power = f"{self._table.power_meter} does not tell what light comes in"
        elif power_mw > most_mw:
            self._power = (
                f"{self._table.power_meter}: {power_mw:.3g} mW of light, at most {most_mw:g} mW"
            )
        else:
            self._power = ""
        self._tell(self._dim_s - READING_AGE_S)
        if not self._power:
            self._dim_s = self._clock()

    def flashed(self, trouble: str, known: bool, since_s: float) -> None:
        """What a flash of this end's own light has shown; see `SelfTest`."""
        self._flash, self._flash_tells = trouble, known
        self._tell(since_s)

    def _tell(self, since_s: float) -> None:
        signs = (
            (self._power, self._meter_tells),
            (self._flash, self._flash_tells),
            (self._rates, True),
        )
        trouble = "; ".join(text for text, _ in signs if text)
        known = not trouble or any(text and known for text, known in signs)
        if (trouble, known) != self._told:
            self._told = trouble, known
            self._changed(trouble, known, since_s)
