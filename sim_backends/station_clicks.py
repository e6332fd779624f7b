"""The clicks at a midpoint over time, as a tagger sees them: of attempts, and dark counts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sim_backends.click_draws import AttemptDraws, Clicks
from sim_backends.lab import MidpointConfig
from sim_backends.midpoint import Attempts
from sim_backends.taggers import TaggerModel

__all__ = ["StationClicks"]

Times = npt.NDArray[np.int64]


class StationClicks:
    """Makes the clicks of the slots in which all took part, while one of `taggers` runs.

    An attempt that heralds shows the clicks of its state and cause, no other shows any that would.
    A slot's windows lie at its end. Dark counts come at all times; those within the windows of
    attempts are part of these. With `trigger` the station's pulses come after the detectors.
    """

    def __init__(
        self,
        attempts: Attempts,
        taggers: Sequence[TaggerModel],
        rng: np.random.Generator,
        *,
        trigger: bool = False,
    ) -> None:
        self._attempts = attempts
        self._taggers, self._trigger = taggers, trigger
        self._rng = rng
        self._period_ps = attempts.period_s * 1e12
        self._spans: list[range] = []
        self._configured(attempts.config)
        self._later = self._none()

    def step(self, start_ps: int, end_ps: int) -> list[Times]:
        """Of each detector, then of the trigger, in [start, end), sorted, on the lab's time."""
        pulses = self._attempts.take_triggered(math.ceil(end_ps / self._period_ps))
        if self._attempts.config is not self._config:
            self._configured(self._attempts.config)
        # From its first window on a slot's clicks are part of the step.
        until_slot = math.ceil((end_ps + self._before_ps[0]) / self._period_ps) - 1
        joint = self._attempts.take_joint(until_slot)
        if not any(tagger.running for tagger in self._taggers):
            self._spans, self._later = [], self._none()
            return [*self._later, np.empty(0, np.int64)]
        self._spans += [each.slots for each in joint]
        new = [self._later]
        silent = [np.empty(0, np.int64)]
        for each in joint:
            slots, herald = np.arange(each.slots.start, each.slots.stop), each.herald
            silent.append(slots if herald is None else slots[:-1])
            if herald is not None:
                drawn = self._draws.heralding(
                    self._rng, herald.slot, herald.bell_state, herald.cause
                )
                new.append(self._timed(drawn))
        new.append(self._timed(self._draws.silent(self._rng, np.concatenate(silent))))
        released = []
        for number, parts in enumerate(zip(*new, strict=True)):
            times = np.sort(np.concatenate([*parts, self._darks(start_ps, end_ps)]))
            first, due = np.searchsorted(times, (start_ps, end_ps))
            self._later[number] = times[due:]
            released.append(times[first:due])
        self._spans = [span for span in self._spans if span.stop * self._period_ps > end_ps]
        return [*released, self._pulses(pulses)]

    def _pulses(self, spans: list[range]) -> Times:
        if not self._trigger or not spans:
            return np.empty(0, np.int64)
        slots = np.concatenate([np.arange(span.start, span.stop) for span in spans])
        return np.rint(slots * self._period_ps).astype(np.int64)

    def _configured(self, config: MidpointConfig) -> None:
        assert config.clicks is not None  # a tagger sees none else
        self._config, self._detectors = config, config.clicks.detectors
        self._draws = AttemptDraws(config)
        self._window_ps = 1e3 * config.clicks.window_ns
        self._dark_per_ps = config.dark_probability / self._window_ps
        binned = config.clicks.bin_ns is not None
        self._before_ps = np.array(
            [self._window_ps + 1e3 * config.clicks.bins_ns, self._window_ps][: 2 if binned else 1]
        )
        """How long before the slot's end each window begins."""

    def _none(self) -> list[Times]:
        return [np.empty(0, np.int64)] * self._detectors

    def _timed(self, clicks: Clicks) -> list[Times]:
        """Times on the lab's time, by detector."""
        port, mode = clicks.place & 1, clicks.place >> 1
        before_ps = self._before_ps[mode * (self._before_ps.size - 1)]
        after_ps = 1e3 * self._draws.jittered(self._rng, clicks)
        times = np.rint((clicks.slot + 1) * self._period_ps - before_ps + after_ps)
        detector = port if self._detectors == 2 else 2 * port + mode
        return [times[detector == number].astype(np.int64) for number in range(self._detectors)]

    def _darks(self, start_ps: int, end_ps: int) -> Times:
        """Dark counts of a detector outside of the attempts' windows."""
        count = self._rng.poisson(self._dark_per_ps * (end_ps - start_ps))
        times = self._rng.integers(start_ps, end_ps, count)
        slot = np.floor(times / self._period_ps).astype(np.int64)
        since_ps = self._before_ps[:, None] - ((slot + 1) * self._period_ps - times)
        inside = ((since_ps >= 0.0) & (since_ps < self._window_ps)).any(axis=0)
        attempted = np.zeros(count, np.bool_)
        for span in self._spans:
            attempted |= (slot >= span.start) & (slot < span.stop)
        outside: Times = times[~(inside & attempted)]
        return outside
