"""`qnodeos demo`: the two-node example from start to a table of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SHORTEST_S = 15.0
LONGEST_S = 3600.0
RECOVERY_S = 10.0


def demo(
    seconds: Annotated[
        float,
        typer.Option(min=SHORTEST_S, max=LONGEST_S, help="How long to measure, start-up included."),
    ] = 40.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to this file as JSON.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for logs, journals and data; new or empty.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="An MQTT broker to use, mqtt://host:port; default: our own.")
    ] = None,
    kill: Annotated[
        str | None, typer.Option(help="SIGKILL this node in mid-run and watch the recovery.")
    ] = None,
    kill_at: Annotated[float, typer.Option(help="When, in seconds from the start.")] = 10.0,
    example: Annotated[
        Path | None, typer.Option(help="Folder of the example; default: examples/two_nodes.")
    ] = None,
) -> None:
    """Run two nodes, a station and a simulated lab as separate processes, and report.

    Exit status: 0 if every part worked and every figure is within its tolerance, else 1.
    """
    import asyncio

    from rich.console import Console

    from qnodeos.errors import UserError

    try:
        from qnodeos.demo.layout import NODES, example_folder
        from qnodeos.demo.report import make_report
        from qnodeos.demo.run import Options, run_demo
        from qnodeos.demo.table import print_report
    except ModuleNotFoundError as error:
        raise UserError(
            "the demo needs more than the base installation",
            found=f"no package '{error.name}'",
            expected="the extra 'demo' of qnodeos",
            do="pip install 'qnodeos[demo]'",
        ) from error

    if kill is not None and kill not in NODES:
        raise UserError(
            "no such node to kill", found=kill, expected=" or ".join(NODES), do="name one of them"
        )
    if kill is not None and kill_at > seconds - RECOVERY_S:
        raise UserError(
            "the kill comes too late to watch the recovery",
            found=f"--kill-at {kill_at:g} in a run of {seconds:g} s",
            expected=f"at least {RECOVERY_S:g} s before the end",
            do="choose an earlier --kill-at or a longer --seconds",
        )
    if json_file is not None and not json_file.resolve().parent.is_dir():
        raise UserError(
            "the report cannot be written there",
            where=str(json_file),
            expected="a file in a folder that exists",
        )
    console = Console()
    options = Options(
        seconds=seconds,
        example=example or example_folder(),
        output=output,
        broker_url=broker,
        kill=kill,
        kill_at_s=kill_at,
    )
    run = asyncio.run(run_demo(options, console))
    report = make_report(run)
    print_report(report, console)
    if json_file is not None:
        json_file.write_text(report.as_json() + "\n", encoding="utf-8")
        console.print(f"report: {json_file}")
    raise typer.Exit(0 if report.holds else 1)
