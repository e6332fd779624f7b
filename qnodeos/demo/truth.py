"""The simulator's own record of a run. Read here and in tests; no node ever sees it."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """Records by kind; `started_s` is the lab's start on the machine's monotonic clock."""

    started_s: float
    by_kind: dict[str, list[Record]]

    def of(self, kind: str) -> list[Record]:
        """Records of one kind, in the order in which they happened."""
        return self.by_kind.get(kind, [])


def read_truth(path: Path) -> Truth:
    """Read a truth file; raises OSError or ValueError."""
    by_kind: dict[str, list[Record]] = defaultdict(list)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            by_kind[record["kind"]].append(record)
    starts = by_kind.get("start")
    if not starts:
        raise ValueError(f"{path}: no record says when the lab started")
    return Truth(float(starts[0]["clock_s"]), dict(by_kind))


def nearest(times: list[float], at: float, within: float) -> int | None:
    """Index of the entry of an ascending list nearest to `at`; None if none is near enough."""
    right = bisect_left(times, at)
    near = [i for i in (right - 1, right) if 0 <= i < len(times) and abs(times[i] - at) <= within]
    return min(near, key=lambda i: abs(times[i] - at), default=None)


def mean(values: Iterable[float]) -> float | None:
    """Arithmetic mean; None of nothing."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None
