"""Faults of the line to an instrument, and of its power; all sockets of it suffer together."""

from __future__ import annotations

import asyncio

import numpy as np

from sim_backends.bench import Bench
from sim_backends.faults.script import FaultConfig
from sim_backends.faulty_line import FaultyLine

__all__ = ["LineFaults"]

_NOISE_EVERY_S = 0.01


class LineFaults:
    """What acts on each instrument's line is the sum, or the worst, of its faults."""

    def __init__(self, bench: Bench, rng: np.random.Generator) -> None:
        self._bench = bench
        self._rng = rng
        self._acting: dict[str, dict[int, tuple[FaultConfig, float]]] = {}
        self._noise: dict[str, asyncio.TimerHandle] = {}

    def once(self, fault: FaultConfig) -> None:
        """What happens and is over."""
        for line in self._lines(fault.name):
            if fault.kind == "drop":
                line.hang_up()
            else:
                line.go_half_open()

    def level(self, number: int, fault: FaultConfig, level: float) -> None:
        """Let a fault be this strong from now on; 0 ends it."""
        name = fault.name
        acting = self._acting.setdefault(name, {})
        before = {each.kind for each, _ in acting.values()}
        if level > 0.0:
            acting[number] = (fault, level)
        else:
            acting.pop(number, None)
        now = {each.kind for each, _ in acting.values()}
        delay_s = sum(self._sizes(name, "delay"))
        share = max(self._sizes(name, "truncation"), default=0.0)
        for line in self._lines(name):
            line.delay_s = delay_s
            line.cut_share = share
            line.rng = self._rng
            if "stall" in now:
                line.pulled = True
            elif line.pulled:
                line.plug_in()
        if "power-cycle" in now - before:
            self._bench.power_off(name)
        elif "power-cycle" in before - now:
            self._bench.power_on(name)
        if "garbage" in now and name not in self._noise:
            self._spill(name)

    def close(self) -> None:
        """End what goes on by itself."""
        for timer in self._noise.values():
            timer.cancel()
        self._noise.clear()

    def _spill(self, name: str) -> None:
        rate = sum(self._sizes(name, "garbage"))
        if rate <= 0.0:
            del self._noise[name]
            return
        count = int(self._rng.poisson(rate * _NOISE_EVERY_S))
        for line in self._lines(name):
            if count and not line.pulled:
                line.spill(self._rng.bytes(count))
        self._noise[name] = asyncio.get_running_loop().call_later(_NOISE_EVERY_S, self._spill, name)

    def _sizes(self, name: str, kind: str) -> list[float]:
        return [
            fault.full_size * level
            for fault, level in self._acting.get(name, {}).values()
            if fault.kind == kind
        ]

    def _lines(self, name: str) -> list[FaultyLine]:
        return list(self._bench.lines[name].values())
