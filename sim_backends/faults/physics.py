"""Faults of the physics: values of the lab that are not what they should be, for a while."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from sim_backends.bench import Bench
from sim_backends.changing import value_of
from sim_backends.faults.script import FaultConfig

__all__ = ["PhysicsFaults"]

_Bent = Callable[[float, float, float], float]
"""What a value becomes, of its undisturbed value, the size of the fault and its level."""


def _factor(size: float, level: float) -> float:
    return 1.0 + (size - 1.0) * level


_BENT: Final[Mapping[tuple[str, str], Mapping[str, _Bent]]] = {
    ("channels", "cut"): {
        "loss_db": lambda value, size, level: min(200.0, value + size * level),
    },
    ("channels", "intruder"): {
        "blinding_uw": lambda value, size, level: min(1e6, value + size * level),
    },
    ("channels", "turned"): {
        "rotation_deg": lambda value, size, level: math.fmod(value + size * level, 360.0),
    },
    ("detectors", "darks"): {
        "dark_cps": lambda value, size, level: min(1e6, value * _factor(size, level)),
    },
    ("detectors", "blinded"): {
        "efficiency": lambda value, size, level: value if level <= 0.0 else 0.0,
        "dark_cps": lambda value, size, level: value if level <= 0.0 else 0.0,
    },
    ("sources", "drift"): {
        "pairs_per_s_per_mw": lambda value, size, level: value * (1.0 - size * level),
    },
    ("sources", "depolarised"): {
        "fidelity": lambda value, size, level: 0.25 + (value - 0.25) * (1.0 - size * level),
    },
    ("memories", "t2-collapse"): {
        "t2_s": lambda value, size, level: value / _factor(size, level),
    },
    ("midpoints", "darks"): {
        "dark_probability": lambda value, size, level: min(0.1, value * _factor(size, level)),
    },
    ("midpoints", "overlap"): {
        "visibility": lambda value, size, level: value * (1.0 - size * level),
    },
    ("midpoints", "phase"): {
        "phase_deg": lambda value, size, level: math.fmod(value + size * level, 360.0),
    },
    ("midpoints", "late"): {
        "late_ns": lambda value, size, level: value + size * level,
    },
}
"""Which fields a fault bends, and how."""


class PhysicsFaults:
    """Several faults of one value act one after the other; without any it is as it was."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._undisturbed: dict[str, float] = {}
        self._acting: dict[str, dict[int, tuple[FaultConfig, float]]] = {}

    def once(self, fault: FaultConfig) -> None:
        """What happens and is over."""
        world = self._bench.world
        world.advance()
        world.taggers[fault.name].clock.jump(round(fault.full_size * 1000.0))

    def level(self, number: int, fault: FaultConfig, level: float) -> None:
        """Let a fault be this strong from now on; 0 ends it."""
        acting = self._acting.setdefault(f"{fault.of} {fault.kind}", {})
        if level > 0.0:
            acting[number] = (fault, level)
        else:
            acting.pop(number, None)
        if (fault.section, fault.kind) == ("memories", "crosstalk"):
            shares = [each.full_size * strength for each, strength in acting.values()]
            self._bench.world.memories[fault.name].crosstalk = max(shares, default=0.0)
            return
        for field in _BENT[fault.section, fault.kind]:
            self._bend(f"{fault.of}.{field}")

    def set(self, path: str, value: Any, *, by: str) -> None:
        """Change a value by hand; while a fault acts on it, its undisturbed value. Raises
        ChangeError."""
        self._bench.change(path, value, by=by)
        if path in self._undisturbed:
            self._undisturbed[path] = value
            self._bend(path)

    def _bend(self, path: str) -> None:
        of, _, field = path.rpartition(".")
        acting = [
            (_BENT[fault.section, fault.kind][field], fault.full_size, level)
            for faults in self._acting.values()
            for fault, level in faults.values()
            if fault.of == of and field in _BENT.get((fault.section, fault.kind), {})
        ]
        if not acting and path not in self._undisturbed:
            return
        value = self._undisturbed.setdefault(path, value_of(self._bench.world, path))
        if not acting:
            del self._undisturbed[path]
        for bent, size, level in acting:
            value = bent(value, size, level)
        if value != value_of(self._bench.world, path):
            self._bench.change(path, value, by="fault")
