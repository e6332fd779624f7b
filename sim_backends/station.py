"""The station between two memories, as its device shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from sim_backends.clocks import FreeRunningClock
from sim_backends.detection import DetectionSetting
from sim_backends.midpoint import Attempts, HeraldEvent, StoppedEvent

__all__ = ["MidpointModel"]


class MidpointModel:
    """The station between two memories: tells Psi+ and Psi- apart."""

    role: Literal["midpoint"] = "midpoint"
    on_herald: Callable[[HeraldEvent], None] | None
    on_stopped: Callable[[StoppedEvent], None] | None

    def __init__(
        self,
        name: str,
        attempts: Attempts,
        clock: FreeRunningClock,
        time_ps: Callable[[], int],
        fire_due: Callable[[], None],
        rng: np.random.Generator,
    ) -> None:
        self.name = name
        self._member = f"midpoints.{name}"
        self._attempts = attempts
        self.clock = clock
        self._time_ps = time_ps
        self._fire_due = fire_due
        self._rng = rng
        self._counted = self._first = self._clicks = 0
        self.on_herald = None
        self.on_stopped = None

    @property
    def attempt_period_s(self) -> float:
        """Length of a slot."""
        return self._attempts.period_s

    @property
    def multimode(self) -> bool:
        """Whether its ends keep the halves of many attempts and go on after a herald."""
        return self._attempts.multimode

    @property
    def attempting(self) -> bool:
        """Whether the station takes part in attempts."""
        return self._attempts.attempting(self._member)

    def start(self, count: int = 0, start_slot: int = 0) -> int:
        """Take part in attempts for `count` slots (0: no limit), not before `start_slot`.

        Returns the first slot.
        """
        self._fire_due()
        self._counted = self._first = self._attempts.made(self._member)
        self._clicks = 0
        return self._attempts.start(self._member, count, start_slot)

    def counts(self) -> tuple[int, int]:
        """Attempts since the last start, and clicks in their windows: dark counts, and photons if
        both ends attempt as it is asked."""
        made = self._attempts.made(self._member)
        mean = self._attempts.clicks_per_slot * (made - self._counted)
        self._clicks += int(self._rng.poisson(mean))
        self._counted = made
        return made - self._first, self._clicks

    def abort(self) -> None:
        """Stop taking part."""
        self._fire_due()
        self._attempts.abort(self._member)

    @property
    def tunes(self) -> tuple[str, ...]:
        """What of its detection can be set, in the words of the device protocol."""
        config = self._attempts.config
        window = ("delay_ps", "window_ps") if config.detection is not None else ()
        return (*window, "phase_deg") if config.scheme == "single_click" else window

    @property
    def setting(self) -> DetectionSetting:
        """How it detects now."""
        return self._attempts.setting

    def tune(self, setting: DetectionSetting) -> None:
        """Detect otherwise from now on."""
        self._fire_due()
        self._attempts.tune(setting)

    def slot_now(self) -> int:
        """The slot that is under way."""
        return self._attempts.slot_now()

    def device_time_ps(self) -> int:
        """The device's own clock now."""
        return self.clock.read_ps(self._time_ps())
