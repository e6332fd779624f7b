"""What every benchmark is made of: rows with targets, a registry, peers and a stopwatch."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import pkgutil
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


class CannotRunError(Exception):
    """A peer or its data are missing; `str()` is one line that says how to get them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value and the target it has to meet, if it has one."""

    what: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str | None:
        """The target as text, such as `>= 1`."""
        bounds = [
            f"{sign} {bound:g}"
            for sign, bound in ((">=", self.at_least), ("<=", self.at_most))
            if bound is not None
        ]
        return " and ".join(bounds) or None

    @property
    def holds(self) -> bool | None:
        """Whether the target is met; None without one. A value that is not a number meets none."""
        if self.target is None:
            return None
        above = self.at_least is None or self.value >= self.at_least
        below = self.at_most is None or self.value <= self.at_most
        return above and below


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named measurement."""

    name: str
    line: str
    run: Callable[[], list[Row]]


# Filled once, at import of the benchmark files, and only read afterwards.
_registry: dict[str, Benchmark] = {}


def benchmark(name: str, line: str) -> Callable[[Callable[[], list[Row]]], Callable[[], list[Row]]]:
    """Register a function that measures and returns its rows; ValueError for a name twice."""

    def register(run: Callable[[], list[Row]]) -> Callable[[], list[Row]]:
        if name in _registry:
            raise ValueError(f"two benchmarks are named {name!r}")
        _registry[name] = Benchmark(name, line, run)
        return run

    return register


def all_benchmarks() -> dict[str, Benchmark]:
    """Every benchmark in this folder, by name in alphabetic order."""
    package = importlib.import_module("benchmarks")
    for found in pkgutil.iter_modules(package.__path__, "benchmarks."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    return dict(sorted(_registry.items()))


def need(module: str) -> Any:
    """The peer's module; CannotRunError if it is absent."""
    try:
        found: ModuleType = importlib.import_module(module)
    except ImportError as error:
        raise CannotRunError(
            f"the peer {module} cannot be imported ({error}); "
            "install the peers with: pip install .[peers]"
        ) from None
    return found


def best_of(repeats: int, work: Callable[[], T]) -> tuple[T, float]:
    """The result of `work` and the shortest of its times, seconds."""
    shortest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        shortest = min(shortest, time.perf_counter() - start)
    return result, shortest


def machine() -> str:
    """Processor, cores and system in one line."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def versions() -> dict[str, str]:
    """Versions of Python, qnodeos, and what the peers extra and the kernels depend on."""
    found = {"python": platform.python_version()}
    for name in ("qnodeos", "numpy", "ptufile", "pycorrelate", "tomtag", "numba"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.split(":", 1)[1] for line in text.splitlines() if line.startswith("model name")]
    return models[0].strip() if models else platform.machine()
