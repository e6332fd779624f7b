"""The memories of a lab, the midpoints between them, and the heralds that are due."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from sim_backends.clocks import clock_of
from sim_backends.lab import LabConfig, MemoryConfig, MidpointConfig
from sim_backends.memories import MemoryDevice
from sim_backends.midpoint import Attempts, Herald, HeraldEvent, StoppedEvent
from sim_backends.pairs import PairBook
from sim_backends.register import QubitRegister
from sim_backends.seeds import generator
from sim_backends.station import MidpointModel
from sim_backends.truth import TruthLog

__all__ = ["MemoryNetwork"]

_PS: Final = 10**12


class MemoryNetwork:
    """All memories and midpoints by name, and the trigger line of each midpoint in `attempts`.

    `time_s` and `time_ps` are the lab's own time. What happens of itself is announced by
    `next_event_s` and done by `fire_due`. `seen` are the midpoints whose detectors a tagger sees.
    """

    memories: dict[str, MemoryDevice]
    midpoints: dict[str, MidpointModel]

    def __init__(
        self,
        config: LabConfig,
        *,
        time_s: Callable[[], float],
        time_ps: Callable[[], int],
        truth: TruthLog,
        seen: Collection[str] = (),
    ) -> None:
        self._seed = config.lab.seed
        self._time_ps = time_ps
        self._truth = truth
        self._shuffle = generator(self._seed, "lab.callbacks")
        self._register = QubitRegister()
        self._pairs = PairBook(self._register, truth)
        self.attempts = {
            name: Attempts(
                name,
                item,
                time_s,
                generator(self._seed, f"midpoints.{name}"),
                multimode=any(config.memories[end].attempt_modes for end in item.ends),
                seen=name in seen,
            )
            for name, item in config.midpoints.items()
        }
        self.midpoints = {
            name: self._midpoint(name, item) for name, item in config.midpoints.items()
        }
        self.memories = {name: self._memory(name, item) for name, item in config.memories.items()}

    def next_event_s(self) -> float | None:
        """When `fire_due` has something to do next, in the lab's time; None: nothing waits."""
        first = self._first()
        return None if first is None else first[0]

    def fire_due(self) -> None:
        """Do all that is due by now, in the order of time, and call the devices' callbacks."""
        while (first := self._first()) is not None:
            line = self.attempts[first[1]]
            event = line.take_due()
            if event is None:
                return
            if isinstance(event, Herald):
                self._herald(line, event)
            else:
                member, stopped = event
                device = self._device(member)
                if device.on_stopped is not None:
                    port = device.port_of(line) if isinstance(device, MemoryDevice) else 0
                    device.on_stopped(StoppedEvent(stopped.slot, port))

    def _first(self) -> tuple[float, str] | None:
        """What waits for a time of its own and comes first: when, and at which midpoint."""
        first: tuple[float, str] | None = None
        for name, line in self.attempts.items():
            time_s = line.next_event_s()
            if time_s is not None and (first is None or (time_s, name) < first):
                first = time_s, name
        return first

    def _herald(self, line: Attempts, herald: Herald) -> None:
        due_s = (herald.slot + 1) * line.period_s
        ends = line.config.ends
        keys = [self.memories[end].heralded_key(line, herald.slot) for end in ends]
        self._pairs.heralded(line.name, herald, line.config.visibility, keys, due_s)
        devices = [self.midpoints[line.name], *(self.memories[end] for end in ends)]
        for index in self._shuffle.permutation(len(devices)):
            device = devices[index]
            if device.on_herald is None or (
                line.multimode and not isinstance(device, MidpointModel)
            ):
                continue
            time_ps = device.clock.read_ps(round(due_s * _PS))
            if isinstance(device, MidpointModel):
                event = HeraldEvent(herald.slot, time_ps, bell_state=herald.bell_state)
            else:
                event = HeraldEvent(herald.slot, time_ps, qubit=0, port=device.port_of(line))
            device.on_herald(event)

    def _device(self, member: str) -> MemoryDevice | MidpointModel:
        section, _, name = member.partition(".")
        return self.memories[name] if section == "memories" else self.midpoints[name]

    def _midpoint(self, name: str, config: MidpointConfig) -> MidpointModel:
        return MidpointModel(
            name,
            self.attempts[name],
            clock_of(config, self._seed, f"midpoints.{name}"),
            self._time_ps,
            self.fire_due,
            generator(self._seed, f"midpoints.{name}.counts"),
        )

    def _memory(self, name: str, config: MemoryConfig) -> MemoryDevice:
        return MemoryDevice(
            name,
            config,
            lines=[line for line in self.attempts.values() if name in line.config.ends],
            register=self._register,
            pairs=self._pairs,
            clock=clock_of(config, self._seed, f"memories.{name}"),
            time_ps=self._time_ps,
            fire_due=self.fire_due,
            truth=self._truth,
            rng=generator(self._seed, f"memories.{name}"),
        )
