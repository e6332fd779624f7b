"""The report as a person reads it: one table, then where things lie."""

from __future__ import annotations

import math

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from qnodeos.demo.report import Report, Row


def print_report(report: Report, console: Console) -> None:
    """Print the table, the verdict, and where things lie."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("figure")
    table.add_column("found", justify="right", no_wrap=True)
    table.add_column("truth", justify="right", no_wrap=True)
    table.add_column("tolerance", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_row(Text("instruments", "bold"))
    for node in dict.fromkeys(row.node for row in report.instruments):
        mine = [row for row in report.instruments if row.node == node]
        online = sum(row.state == "online" for row in mine)
        table.add_row(
            f"  {node}",
            f"{online} of {len(mine)} online",
            "",
            "all",
            _mark(online == len(mine)),
        )
        table.add_row(Text("    " + ", ".join(row.name for row in mine), "dim"))
    section = ""
    for figure in report.rows:
        if figure.section != section:
            section = figure.section
            table.add_row(Text(section, "bold"))
        table.add_row(
            f"  {figure.what}",
            _found(figure),
            "" if figure.truth is None else _digits(figure.truth, figure.error),
            figure.tolerance,
            _mark(figure.holds),
        )
    console.print(table)
    for trouble in report.troubles:
        console.print(f"[red]trouble:[/red] {escape(trouble)}")
    verdict = "[green]all holds[/green]" if report.holds else "[red]not everything holds[/red]"
    console.print(f"{verdict} after {report.seconds:.0f} s")
    for name, path in report.files.items():
        console.print(f"{name + ':':10}{path}", soft_wrap=True, highlight=False)


def _mark(holds: bool | None) -> Text:
    if holds is None:
        return Text("")
    return Text("ok", "green") if holds else Text("NO", "bold red")


def _found(row: Row) -> str:
    if row.value is None:
        return "nothing"
    if isinstance(row.value, str):
        return row.value
    if isinstance(row.value, int):
        shown = f"{row.value:,}".replace(",", " ")
    else:
        shown = _digits(row.value, row.error)
    if row.error is not None:
        shown += f" ± {_digits(row.error, row.error)}"
    return f"{shown} {row.unit}".rstrip()


def _digits(value: float, error: float | None) -> str:
    """A number with as many decimals as its error has meaning for, or four figures."""
    if error is not None and error > 0:
        decimals = max(0, 1 - math.floor(math.log10(error)))
    elif value == 0 or not math.isfinite(value):
        decimals = 0
    else:
        decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 12)}f}"
