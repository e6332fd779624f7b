"""Overload: a memory link that is asked for three times what it can make, in virtual time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.frame import Row, benchmark

TIMES = 3.0
SECONDS = 120.0


@benchmark("overload", "deadlines of admitted requests when three times too much is asked")
def run() -> list[Row]:
    """Requests of two priorities with random sizes and times, from both ends."""
    from benchmarks.overload_scene import run_one

    with tempfile.TemporaryDirectory() as folder:
        found = run_one(1, Path(folder), times=TIMES, seconds=SECONDS)
    rows = [
        Row("pairs a second that the link makes, saturated", found.capacity_hz, "1/s"),
        Row("pairs asked for, as a multiple of that", TIMES, "", at_least=TIMES),
        Row("pairs made, as a share of that", 100 * found.served_hz / found.capacity_hz, "%"),
        Row("admitted requests met in their time", 100 * found.met, "%", at_least=99.0),
    ]
    for priority, each in found.tallies.items():
        rows += [
            Row(f"priority {priority}: asked", each.asked, ""),
            Row(f"priority {priority}: admitted", each.admitted, ""),
            Row(
                f"priority {priority}: of these in their time",
                100 * each.met / each.admitted,
                "%",
                at_least=99.0,
            ),
            Row(f"priority {priority}: refused without the sum", each.unexplained, "", at_most=0),
        ]
        for text, count in each.failed.items():
            print(f"priority {priority}: {count} x {text}")
    return rows
