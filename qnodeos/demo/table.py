"""The report as a person reads it: one table, then where things lie."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from qnodeos.demo.progress import STATE_STYLE
from qnodeos.demo.report import Report, Row


def print_report(report: Report, console: Console) -> None:
    """Print the table, the verdict, and the folder."""
    table = Table(title="qnodeos demo", title_justify="left", show_lines=False, expand=False)
    table.add_column("")
    table.add_column("figure")
    table.add_column("found", justify="right")
    table.add_column("truth", justify="right")
    table.add_column("tolerance")
    table.add_column("")
    for node in dict.fromkeys(row.node for row in report.instruments):
        states = Text()
        for row in report.instruments:
            if row.node == node:
                states.append(f"{row.name} ")
                states.append(f"{row.state}  ", STATE_STYLE.get(row.state, ""))
        table.add_row("instruments", node, states, "", "online", _mark(_all_online(report, node)))
    table.add_section()
    section = ""
    for figure in report.rows:
        if section and figure.section != section:
            table.add_section()
        name = figure.section if figure.section != section else ""
        section = figure.section
        table.add_row(
            name,
            figure.what,
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
    folder = report.folder
    console.print(f"logs:     {folder}/logs", soft_wrap=True, highlight=False)
    console.print(f"journals: {folder}/data/NODE/journal.sqlite", soft_wrap=True, highlight=False)
    console.print(f"truth:    {folder}/data/truth.jsonl", soft_wrap=True, highlight=False)


def _all_online(report: Report, node: str) -> bool:
    return all(row.state == "online" for row in report.instruments if row.node == node)


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
