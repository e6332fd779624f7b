"""`python -m benchmarks` lists the benchmarks, `python -m benchmarks NAME` runs one.

Exit status: 0 if every target holds, 1 if one falls short, 2 if the benchmark could not run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path

from benchmarks.frame import (
    CannotRunError,
    Row,
    all_benchmarks,
    machine,
    versions,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", help="which one to run; without it all are listed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON")
    parser.add_argument("--seeds", type=int, metavar="N", help="how many; of egp alone")
    asked = parser.parse_args(arguments)
    if asked.seeds is not None:
        if asked.name != "egp" or asked.seeds < 1:
            return _refuse("--seeds is a number from 1 on, of egp alone")
        os.environ["QNODEOS_EGP_SEEDS"] = str(asked.seeds)
    known = all_benchmarks()
    if asked.name is None:
        for entry in known.values():
            print(f"{entry.name:<14} {entry.line}")
        return 0
    if asked.name not in known:
        return _refuse(f"no benchmark {asked.name!r}; there are: {', '.join(known)}")
    if asked.json is not None and not asked.json.absolute().parent.is_dir():
        return _refuse(f"--json {asked.json}: there is no folder {asked.json.absolute().parent}")
    try:
        rows = known[asked.name].run()
    except CannotRunError as error:
        return _refuse(str(error))
    print(table(rows))
    if asked.json is not None:
        try:
            asked.json.write_text(json.dumps(report(asked.name, rows), indent=2) + "\n")
        except OSError as error:
            return _refuse(f"--json {asked.json}: {error.strerror or error}")
    return 1 if any(row.holds is False for row in rows) else 0


def _plain(value: float) -> float | None:
    """A number as JSON has it; numpy's own are no numbers to it."""
    if not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)


def report(name: str, rows: list[Row]) -> dict[str, object]:
    """The result as JSON holds it; a value that is not finite becomes null."""
    return {
        "benchmark": name,
        "machine": machine(),
        "versions": versions(),
        "rows": [
            {
                "what": row.what,
                "value": _plain(row.value),
                "unit": row.unit,
                "target": row.target,
                "holds": row.holds,
            }
            for row in rows
        ],
    }


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    words = {None: "", True: "yes", False: "NO"}
    cells = [("what", "value", "unit", "target", "holds")] + [
        (row.what, number(row.value), row.unit, row.target or "", words[row.holds]) for row in rows
    ]
    widths = [max(len(line[k]) for line in cells) for k in range(5)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if k == 1 else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def number(value: float) -> str:
    """Whole numbers in full, others with four digits."""
    whole = math.isfinite(value) and value == int(value)
    return f"{int(value):,}" if whole else f"{value:.4g}"


def _refuse(message: str) -> int:
    print(f"benchmarks: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
