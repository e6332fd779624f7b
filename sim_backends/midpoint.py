"""Heralded entanglement between two memories: attempts in slots, drawn to the next success."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from sim_backends.bell_diagonal import BellDiagonal
from sim_backends.detection import DetectionSetting, dephased, detected, phase_rad
from sim_backends.heralding import CauseName, HeraldOdds
from sim_backends.lab import MidpointConfig
from sim_backends.states import BellName

__all__ = [
    "Attempts",
    "Herald",
    "HeraldEvent",
    "HeraldOdds",
    "Joint",
    "StoppedEvent",
]

_NEVER: Final = 2**62
# As many as a device can have modes, so that runs of one attempt each are all known.
_RUNS_KNOWN: Final = 65536
# An event loop may wake by its clock's resolution too early.
_EARLY_S: Final = 1e-8


@dataclass(frozen=True, slots=True)
class HeraldEvent:
    """A success as one device tells it; `time_ps` is its own time. A node tells `qubit` and the
    `port` of its attempts, a midpoint `bell_state`."""

    slot: int
    time_ps: int
    qubit: int | None = None
    bell_state: BellName | None = None
    port: int = 0


@dataclass(frozen=True, slots=True)
class StoppedEvent:
    """The count asked for was reached at the end of `slot` without success."""

    slot: int
    port: int = 0


@dataclass(frozen=True, slots=True)
class Herald:
    """A success as it is: `real` is False for one that was not made by the photons meant for it.

    `pair` is the state it leaves.
    """

    slot: int
    bell_state: BellName
    real: bool
    pair: BellDiagonal | None = None
    cause: CauseName = "pair"


@dataclass(frozen=True, slots=True)
class Joint:
    """Slots in which all took part; a `herald` is of the last of them."""

    slots: range
    herald: Herald | None = None


@dataclass(slots=True)
class _Run:
    first_slot: int
    last_slot: int


class Attempts:
    """The trigger line of a midpoint and its two ends.

    Slot n lasts from n to n + 1 periods of the lab's time; what it brings is known at its end. An
    attempt takes place in the slots in which all three take part. Each device counts the slots of
    its own run. The number of attempts to the next success is drawn geometrically, and drawn anew
    when somebody leaves, which changes nothing since attempts have no memory.

    With `multimode` ends a herald stops nobody: they keep what each of the last slots brought.
    Where detectors are `seen`, it is remembered which slots took place until `take_joint`, and in
    which the station attempted until `take_triggered`.
    """

    def __init__(
        self,
        name: str,
        config: MidpointConfig,
        time_s: Callable[[], float],
        rng: np.random.Generator,
        *,
        multimode: bool = False,
        seen: bool = False,
    ) -> None:
        self.name = name
        self._given = config
        window_ns = config.detection.window_ns if config.detection is not None else 0.0
        self.setting = DetectionSetting(window_ns=window_ns)
        self.config = detected(config, self.setting)
        self.multimode = multimode
        self._joint: deque[Joint] | None = deque(maxlen=_RUNS_KNOWN) if seen else None
        self._joint_from: int | None = None
        self._triggered: deque[range] | None = deque(maxlen=_RUNS_KNOWN) if seen else None
        self._triggered_from = 0
        self._outcome: Herald | None = None
        self.odds = HeraldOdds.of(self.config)
        self.period_s = config.attempt_period_us * 1e-6
        self._time_s = time_s
        self._rng = rng
        self._runs: dict[str, _Run] = {}
        self._done: dict[str, int] = {}
        self._ended: dict[str, deque[range]] = {}
        self._station = f"midpoints.{name}"
        self._members = {self._station, *(f"memories.{end}" for end in config.ends)}
        self._success_slot: int | None = None
        self._due: tuple[float | None] | None = None
        """When something will happen, as worked out last; None: not since the last change."""

    def configure(self, config: MidpointConfig) -> None:
        """Have other odds from now on; the period of the attempts stays."""
        self._given = config
        self.tune(self.setting)

    def set_bright_population(self, end: str, alpha: float) -> None:
        """How likely the emitter of an end is bright from now on."""
        bright = self._given.bright_population | {end: alpha}
        self.configure(self._given.model_copy(update={"bright_population": bright}))

    @property
    def clicks_per_slot(self) -> float:
        """Mean clicks of all detectors in their windows, with those that take part now."""
        config = self.config
        detectors = config.clicks.detectors if config.clicks is not None else 2
        photons = math.fsum(
            config.efficiency[end] * config.bright_population.get(end, 1.0)
            for end in config.ends
            if f"memories.{end}" in self._runs
        )
        return photons + detectors * config.dark_probability

    def tune(self, setting: DetectionSetting) -> None:
        """Detect with another window or phase from now on."""
        self.setting = setting
        self.config = detected(self._given, setting)
        self.odds = HeraldOdds.of(self.config)
        self._draw(self.slot_now() + 1)

    @property
    def initial_fidelity(self) -> float:
        """Mean fidelity of a fresh pair with its heralded Bell state."""
        return self.odds.fidelity

    def slot_now(self) -> int:
        """The slot that is under way."""
        return math.floor(self._time_s() / self.period_s)

    def attempting(self, member: str) -> bool:
        """Whether this device takes part."""
        return member in self._runs

    def made(self, member: str) -> int:
        """How many attempts this device has made, those of ended runs included."""
        run = self._runs.get(member)
        return self._done.get(member, 0) + (0 if run is None else len(self._slots_of(run)))

    def latest(self, member: str, count: int) -> list[range]:
        """The slots of this device's last `count` attempts, the newest span first."""
        run = self._runs.get(member)
        running = [] if run is None else [self._slots_of(run)]
        latest: list[range] = []
        for span in chain(running, reversed(self._ended.get(member, deque()))):
            if count <= 0:
                break
            if span:
                latest.append(span[-count:])
                count -= len(latest[-1])
        return latest

    def start(self, member: str, count: int, start_slot: int = 0) -> int:
        """Take part for `count` slots (0: no limit) from the next one on, not before `start_slot`.

        Returns the first slot.
        """
        self._end(member)
        first = max(self.slot_now() + 1, start_slot)
        self._runs[member] = _Run(first, first + count - 1 if count > 0 else _NEVER)
        if member == self._station:
            self._triggered_from = first
        self._due = None
        self._draw()
        return first

    def abort(self, member: str) -> None:
        """Take part no longer."""
        self._end(member)
        self._due = self._success_slot = None

    def next_event_s(self) -> float | None:
        """When something will happen of itself, in lab seconds."""
        if self._due is None:
            slot = min((run.last_slot for run in self._runs.values()), default=_NEVER)
            if self._success_slot is not None:
                slot = min(slot, self._success_slot)
            self._due = (None if slot >= _NEVER else (slot + 1) * self.period_s,)
        return self._due[0]

    def take_due(self) -> Herald | tuple[str, StoppedEvent] | None:
        """The next thing that has happened by now: a herald, or a device that is done."""
        due_s = self.next_event_s()
        if due_s is None or due_s > self._time_s() + _EARLY_S:
            return None
        ends_first = min(self._runs, key=lambda member: self._runs[member].last_slot)
        last = self._runs[ends_first].last_slot
        if self._success_slot is None or last < self._success_slot:
            self.abort(ends_first)
            return ends_first, StoppedEvent(last)
        slot, told, joint_from = self._success_slot, self._outcome, self._joint_from
        self._joint_from = None
        if self.multimode:
            self._draw(slot + 1)
        else:
            for member in list(self._runs):
                self._end(member, slot + 1)
            self._due = self._success_slot = None
        herald = told or self._herald_of(slot)
        self._note(joint_from, slot + 1, herald)
        return herald

    def take_joint(self, until_slot: int) -> list[Joint]:
        """The slots before `until_slot` in which all took part and that were not taken before.

        What a slot brings may be asked as soon as it is under way; it is so even if somebody
        leaves before its end.
        """
        if self._joint is None:
            return []
        success = self._success_slot
        if self._joint_from is not None:
            stop = min(until_slot, *(run.last_slot + 1 for run in self._runs.values()))
            if success is not None and stop > success:
                stop = success + 1
                self._outcome = self._outcome or self._herald_of(success)
            self._note(self._joint_from, stop, self._outcome if stop - 1 == success else None)
            self._joint_from = max(self._joint_from, stop)
        joint = list(self._joint)
        self._joint.clear()
        return joint

    def take_triggered(self, until_slot: int) -> list[range]:
        """The slots before `until_slot`, all under way, in which the station attempted and that
        were not taken before."""
        if self._triggered is None:
            return []
        if self._success_slot is not None and not self.multimode:
            until_slot = min(until_slot, self._success_slot + 1)
        self._trigger(until_slot)
        triggered = list(self._triggered)
        self._triggered.clear()
        return triggered

    def _trigger(self, stop: int) -> None:
        run = self._runs.get(self._station)
        if self._triggered is None or run is None:
            return
        stop = min(stop, run.last_slot + 1)
        if stop > self._triggered_from:
            self._triggered.append(range(self._triggered_from, stop))
            self._triggered_from = stop

    def _note(self, begin: int | None, stop: int, herald: Herald | None = None) -> None:
        if self._joint is not None and begin is not None and begin < stop:
            self._joint.append(Joint(range(begin, stop), herald))

    def _herald_of(self, slot: int) -> Herald:
        psi_minus = bool(self._rng.random() >= 0.5)
        cause = self.odds.drawn(float(self._rng.random()))
        angle_rad = phase_rad(self.config, self.setting, slot * self.period_s)
        return Herald(
            slot,
            "PSI_MINUS" if psi_minus else "PSI_PLUS",
            cause.name == "pair",
            dephased(cause.pair(psi_minus), angle_rad),
            cause.name,
        )

    def _end(self, member: str, stop: int | None = None) -> None:
        self._due = None
        if member == self._station:
            self._trigger(self.slot_now() + 1 if stop is None else stop)
        if self._joint_from is not None and member in self._runs:
            over = math.floor((self._time_s() + _EARLY_S) / self.period_s)
            last = min(run.last_slot for run in self._runs.values())
            self._note(self._joint_from, min(over, last + 1))
            self._joint_from = None
        run = self._runs.pop(member, None)
        if run is not None:
            slots = self._slots_of(run)
            self._done[member] = self._done.get(member, 0) + len(slots)
            if self.multimode and slots:
                self._ended.setdefault(member, deque(maxlen=_RUNS_KNOWN)).append(slots)

    def _slots_of(self, run: _Run) -> range:
        """Slots of a run that are over by now; a herald ends with its slot."""
        over = math.floor((self._time_s() + _EARLY_S) / self.period_s)
        return range(run.first_slot, max(run.first_slot, min(over, run.last_slot + 1)))

    def _draw(self, from_slot: int = 0) -> None:
        self._due = self._success_slot = self._outcome = None
        if set(self._runs) != self._members:
            return
        begin = max(from_slot, *(run.first_slot for run in self._runs.values()))
        if self._joint is not None:
            self._note(self._joint_from, begin)
            self._joint_from = max(begin, self._joint_from or 0)
        if self.odds.total <= 0.0:
            return
        end = min(run.last_slot for run in self._runs.values())
        slot = begin - 1 + int(self._rng.geometric(min(self.odds.total, 1.0)))
        if slot <= end:
            self._success_slot = slot
