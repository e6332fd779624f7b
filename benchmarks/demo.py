"""The two-node example as a whole: recovery, latency, memory, and what an idle node costs."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from benchmarks import CannotRunError, Row, benchmark

SECONDS = 30.0
KILL_AT_S = 12.0
IDLE_SECONDS = 25.0


@benchmark("demo", "two nodes end to end: recovery after SIGKILL, latency, memory, an idle node")
def demo() -> list[Row]:
    """One run with alice killed in the middle, and one in which no application asks."""
    try:
        from qnodeos.demo.layout import example_folder
        from qnodeos.demo.report import make_report
        from qnodeos.demo.run import Options, run_demo
    except ModuleNotFoundError as error:
        raise CannotRunError(f"{error}; pip install .[demo]") from error
    from rich.console import Console

    console = Console(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        busy = Options(SECONDS, example_folder(), Path(folder) / "busy", None, "alice", KILL_AT_S)
        report = make_report(asyncio.run(run_demo(busy, console)))
        quiet = Path(folder) / "example"
        shutil.copytree(example_folder(), quiet)
        for file in quiet.glob("*.toml"):
            text = file.read_text(encoding="utf-8")
            file.write_text(text.partition("\n[applications")[0] + "\n", encoding="utf-8")
        idle = asyncio.run(run_demo(Options(IDLE_SECONDS, quiet, Path(folder) / "idle"), console))
    found = {row.what: row for row in report.rows}

    def value(what: str) -> float:
        row = found[what]
        if not isinstance(row.value, int | float):
            raise CannotRunError(f"the run has no figure for '{what}': {report.troubles}")
        return float(row.value)

    memory = next(row for what, row in found.items() if what.startswith("memory of"))
    return [
        Row(
            "bob says that a killed node is lost",
            value("bob misses alice after"),
            "s",
            at_most=2.0,
        ),
        Row(
            "station says that a killed node is lost",
            value("station misses alice after"),
            "s",
            at_most=2.0,
        ),
        Row("laser of a killed node is dark", value("pump dark after"), "s", at_most=2.0),
        Row(
            "photonic pairs flow again",
            value("photonic pairs flow again after"),
            "s",
            at_most=10.0,
        ),
        Row("memory pairs flow again", value("memory pairs flow again after"), "s", at_most=10.0),
        Row(
            "clock residual over its bound",
            value("residual, rms") / value("bound of the residual"),
            "",
            at_most=3.0,
        ),
        Row("herald to correction, p50", value("herald to correction, p50"), "ms"),
        Row("herald to correction, p99", value("herald to correction, p99"), "ms"),
        Row(memory.what, float(memory.value or 0), "MiB", at_most=1024.0),
        *(
            Row(f"idle node, {name}", 100 * share, "% of a core", at_most=3.0)
            for name, share in idle.cpu_share.items()
        ),
    ]
