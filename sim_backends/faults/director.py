"""Brings each fault on at its instant, changes its strength, takes it back, and writes it down."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sim_backends.bench import Bench
from sim_backends.faults.lines import LineFaults
from sim_backends.faults.network import NetworkFaults
from sim_backends.faults.physics import PhysicsFaults
from sim_backends.faults.script import FaultConfig
from sim_backends.seeds import generator

__all__ = ["Acting", "Director", "direct"]


_EARLY_S: Final = 1e-8
_SOONEST_S: Final = 1e-6


class _Place(Protocol):
    def level(self, number: int, fault: FaultConfig, level: float) -> None: ...


@dataclass(slots=True)
class Acting:
    """A fault that has begun and not ended; `began_s` by the lab's time."""

    fault: FaultConfig
    began_s: float
    level: float = 0.0
    timer: asyncio.TimerHandle | None = None


class Director:
    """Directs the faults of one lab, by its own time; `faults` come in the order of their onsets.

    The truth gets a record at each onset and end, and at each turn of a periodic one: `kind` is
    "fault", `state` is "onset", "on", "off" or "end", `n` counts the faults.
    """

    def __init__(
        self,
        bench: Bench,
        faults: Iterable[FaultConfig] = (),
        *,
        network: NetworkFaults,
        lines: LineFaults,
    ) -> None:
        self._bench = bench
        self._coming: Iterator[FaultConfig] = iter(faults)
        self._next: asyncio.TimerHandle | None = None
        self._acting: dict[int, Acting] = {}
        self._count = 0
        self.physics = PhysicsFaults(bench)
        self.lines = lines
        self.network = network

    @property
    def acting(self) -> list[FaultConfig]:
        """The faults that have begun and not ended."""
        return [each.fault for each in self._acting.values()]

    @property
    def numbered(self) -> dict[int, Acting]:
        """The same by their numbers, with when they began."""
        return dict(self._acting)

    def start(self) -> None:
        """Begin with the script."""
        fault = next(self._coming, None)
        if fault is not None:
            wait_s = fault.at_s - self._bench.world.time_s()
            loop = asyncio.get_running_loop()
            self._next = loop.call_later(max(0.0, wait_s), self._begin_next, fault)

    def begin(self, fault: FaultConfig) -> int:
        """Bring a fault on now, whatever its `at_s` says; returns its number."""
        self._count += 1
        number = self._count
        now_s = self._bench.world.time_s()
        acting = Acting(fault, now_s)
        self._tell(number, fault, "onset", **_course(fault))
        if fault.what.once and fault.shape == "step":
            self._once(fault)
            self._tell(number, fault, "end")
            return number
        self._acting[number] = acting
        self._turn(number)
        return number

    def end(self, number: int) -> bool:
        """Take a fault back before its time; False when there is none of this number."""
        acting = self._acting.pop(number, None)
        if acting is None:
            return False
        if acting.timer is not None:
            acting.timer.cancel()
        self._end(number, acting)
        return True

    def close(self) -> None:
        """Nothing more happens; what acts goes on acting."""
        if self._next is not None:
            self._next.cancel()
        for acting in self._acting.values():
            if acting.timer is not None:
                acting.timer.cancel()
        self.lines.close()

    def _begin_next(self, fault: FaultConfig) -> None:
        self.begin(fault)
        self.start()

    def _turn(self, number: int) -> None:
        """Set the level that is due, and come back when the next one is."""
        acting = self._acting[number]
        fault, form = acting.fault, acting.fault.form
        # A timer may be early by the clock's resolution.
        since_s = max(0.0, self._bench.world.time_s() - acting.began_s) + _EARLY_S
        if since_s >= form.for_s:
            del self._acting[number]
            self._end(number, acting)
            return
        level = form.level(since_s)
        if level != acting.level:
            if fault.shape == "periodic":
                self._tell(number, fault, "on" if level > 0.0 else "off")
            if not fault.what.once:
                self._set(number, fault, level)
            elif level > 0.0:
                self._once(fault)
            acting.level = level
        wait_s = form.next_change_s(since_s) - since_s
        if wait_s < math.inf:
            wait_s = max(wait_s, _SOONEST_S)
            acting.timer = asyncio.get_running_loop().call_later(wait_s, self._turn, number)

    def _end(self, number: int, acting: Acting) -> None:
        if not acting.fault.what.once:
            self._set(number, acting.fault, 0.0)
        self._tell(number, acting.fault, "end")

    def _once(self, fault: FaultConfig) -> None:
        if fault.what.place == "physics":
            self.physics.once(fault)
        else:
            self.lines.once(fault)

    def _set(self, number: int, fault: FaultConfig, level: float) -> None:
        places: dict[str, _Place] = {
            "physics": self.physics,
            "line": self.lines,
            "network": self.network,
        }
        places[fault.what.place].level(number, fault, level)

    def _tell(self, number: int, fault: FaultConfig, state: str, **more: object) -> None:
        self._bench.world.truth.record(
            "fault",
            n=number,
            state=state,
            t_s=self._bench.world.time_s(),
            fault=fault.kind,
            of=fault.of,
            **more,
        )


def direct(
    bench: Bench,
    script: Sequence[FaultConfig] = (),
    *,
    drawn: Iterable[FaultConfig] = (),
    network: NetworkFaults | None = None,
) -> Director:
    """A director of a script, those of the lab file included, and of faults drawn by chance."""
    seed = bench.config.lab.seed
    written = sorted((*bench.config.faults, *script), key=lambda fault: fault.at_s)
    return Director(
        bench,
        heapq.merge(written, drawn, key=lambda fault: fault.at_s),
        network=network or NetworkFaults(generator(seed, "faults.network")),
        lines=LineFaults(bench, generator(seed, "faults.lines")),
    )


def _course(fault: FaultConfig) -> dict[str, object]:
    return {
        "place": fault.what.place,
        "shape": fault.shape,
        "for_s": fault.for_s,
        "rise_s": fault.rise_s,
        "period_s": fault.period_s,
        "duty": fault.duty if fault.shape == "periodic" else None,
        "size": fault.full_size if fault.what.unit else None,
        "unit": fault.what.unit or None,
    }
