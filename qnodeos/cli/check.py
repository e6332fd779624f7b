"""`qnodeos check NODE.toml...`: what the files mean, what is missing, what would be refused."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from qnodeos.checking.findings import Finding
    from qnodeos.checking.tables import Meaning
    from qnodeos.config import ConfigError, NodeConfig

REFUSED = 2


def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="A node's TOML file; with several, do they agree too."
        ),
    ],
    elsewhere: Annotated[
        bool,
        typer.Option(
            help="The node is for another computer: leave keys, ports, devices of this one out."
        ),
    ] = False,
    reach: Annotated[
        bool, typer.Option(help="Also try whether peers and broker listen; nothing is said.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only what is wrong or worth knowing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain a node's file, and say what of it is missing or would be refused.

    Nothing is started, and nothing is sent to an instrument. Ends with 0 when the node can start, 1
    when something that it needs is wrong or not there, 2 when a file cannot be understood.
    """
    from qnodeos.checking.findings import any_wrong
    from qnodeos.checking.partners import partner_findings
    from qnodeos.checking.tables import meanings
    from qnodeos.config import ConfigError, load_node

    configs, refused, shown = [], False, []
    findings: list[Finding] = []
    for file in files:
        try:
            config = load_node(file)
        except ConfigError as error:
            refused = True
            shown.append({"file": str(file), "refused": _problems(error)})
            if not json:
                _show_refused(error)
            continue
        configs.append(config)
        found = _looked_at(config, elsewhere, reach)
        findings += found
        told = meanings(config)
        shown.append(
            {
                "file": str(config.path),
                "node": config.node.name,
                "tables": [asdict(each) for each in told],
                "findings": [asdict(each) for each in found],
            }
        )
        if not json:
            _show(config, [] if quiet else told, found, quiet)
    together = partner_findings(configs)
    findings += together
    if json:
        document = {"files": shown, "together": [asdict(each) for each in together]}
        typer.echo(json_module.dumps(document, indent=2))
    elif len(configs) > 1:
        names = ", ".join(config.node.name for config in configs)
        agree = "agree" if not together else "do not agree in all"
        _print(f"\n[bold]together[/]: {names} {agree}")
        show_findings(together, quiet)
    if refused or any_wrong(findings):
        raise typer.Exit(REFUSED if refused else 1)


def _looked_at(config: NodeConfig, elsewhere: bool, reach: bool) -> list[Finding]:
    from qnodeos.checking import readiness

    found = readiness.of_the_file(config)
    if not elsewhere:
        found += readiness.of_this_machine(config, runs=readiness.is_running(config))
    if reach:
        found += readiness.reach(config)
    return found


def _show(config: NodeConfig, told: list[Meaning], found: list[Finding], quiet: bool) -> None:
    from rich.markup import escape

    wrong = sum(each.state == "wrong" for each in found)
    verdict = f"[bold red]{wrong} wrong[/]" if wrong else "[bold green]can start[/]"
    _print(f"[bold]{escape(str(config.path))}[/]: node {config.node.name}, {verdict}")
    for each in told:
        _print(f"[bold cyan]{escape(f'[{each.table}]')}[/]", indent=2)
        _print(escape(each.says), indent=4)
    show_findings(found, quiet)


def show_findings(found: list[Finding], quiet: bool) -> None:
    """The bad ones last, where the eye is when the command has ended; `quiet` leaves "ok" out."""
    from rich.markup import escape

    styles = {"ok": "green", "note": "yellow", "wrong": "bold red"}
    for state in ("ok", "note", "wrong"):
        for each in found:
            if each.state == state and not (quiet and state == "ok"):
                _print(f"[{styles[state]}]{state:<5}[/] {escape(f'{each.what}: {each.found}')}")
                if each.do:
                    _print(escape(each.do), indent=6)


def _show_refused(error: ConfigError) -> None:
    from rich.markup import escape

    number = len(error.problems)
    things = "1 entry" if number == 1 else f"{number} entries"
    _print(f"[bold]{escape(str(error.file))}[/]: [bold red]refused[/], {things} to mend")
    for placed in error.problems:
        problem, line = placed.problem, f"line {placed.line}, " if placed.line else ""
        _print(f"[bold red]wrong[/] {line}{escape(placed.entry)}: {escape(problem.what)}")
        compared = [
            f"{word} {text}"
            for word, text in (("found", problem.found), ("expected", problem.expected))
            if text
        ]
        if compared:
            _print(escape(", ".join(compared)), indent=6)
        if problem.do:
            _print(escape(problem.do), indent=6)


def _problems(error: ConfigError) -> list[dict[str, Any]]:
    return [
        {
            "line": placed.line,
            "entry": placed.entry,
            "what": placed.problem.what,
            "found": placed.problem.found,
            "expected": placed.problem.expected,
            "do": placed.problem.do,
        }
        for placed in error.problems
    ]


def _print(text: str, indent: int = 0) -> None:
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent)))
    else:
        console.print(" " * indent + text, soft_wrap=True)
