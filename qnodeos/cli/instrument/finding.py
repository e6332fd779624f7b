"""`list`, `show`, `scan` and `identify`: which drivers and which instruments are there."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qnodeos.cli.instrument.target import (
    DriverOption,
    JsonOption,
    NodeOption,
    driver_class,
    find_target,
    print_json,
    told_as_user_errors,
)

if TYPE_CHECKING:
    from drivers.devices import Instrument


def list_drivers(as_json: JsonOption = False) -> None:
    """Show the installed drivers: kind, links, what they need."""
    from drivers.plugin import driver_names, load_driver
    from qnodeos.checking.packages import missing_package

    rows: list[dict[str, Any]] = []
    for name in driver_names():
        try:
            manifest = load_driver(name).manifest
        except Exception as error:
            # Whatever a package of somebody else raises at import: the others are still there.
            rows.append(
                {"driver": name, "kind": "?", "problem": f"{type(error).__name__}: {error}"}
            )
            continue
        rows.append(
            {
                "driver": name,
                "kind": manifest.kind,
                "links": list(manifest.links),
                "emits": manifest.emits,
                "needs_package": manifest.needs_package,
                "problem": missing_package(manifest.needs_package),
            }
        )
    if as_json:
        print_json(rows)
        return
    shown = [
        (
            row["driver"],
            row["kind"],
            " ".join(row.get("links", ())),
            "yes" if row.get("emits") else "",
            row["problem"],
        )
        for row in rows
    ]
    print_table(("driver", "kind", "links", "emits", "problem"), shown)


def show(
    target: Annotated[
        str, typer.Argument(metavar="DRIVER|NAME", help="A driver, or a name with --node.")
    ],
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a driver is, what can be called, and what an instrument's table says."""
    table = None if node is None else find_target(target, node, None)
    driver = driver_class(target if table is None else table.driver)
    manifest = driver.manifest
    facts: dict[str, Any] = {
        key: value for key, value in asdict(manifest).items() if key not in ("serial", "asking")
    }
    if "serial" in manifest.links:
        facts["serial_line"] = asdict(manifest.serial)
    if table is not None:
        facts["instrument"] = {
            key: value for key, value in asdict(table).items() if key not in ("driver",)
        }
        facts["instrument"]["options"] = {
            key: value for key, value in table.options.items() if "password" not in key
        }
    methods = _methods(driver)
    about = inspect.getdoc(driver) or ""
    if as_json:
        print_json({**facts, "about": about, "methods": methods})
        return
    typer.echo(f"{manifest.driver}\n\n{about}\n")
    print_table(
        ("", ""), [(key, _shown(value)) for key, value in facts.items() if value not in ("", 0, ())]
    )
    typer.echo("")
    print_table(
        ("method", "read-only", ""),
        [(m["signature"], "yes" if m["read_only"] else "", m["about"]) for m in methods],
    )


def scan(
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="Also try the drivers' TCP ports of this host; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show serial ports, VISA resources, and listening ports of the hosts that are named.

    Nothing is sent to anything; `identify` asks who is there.
    """
    from qnodeos.cli.instrument.ports import listening, serial_ports, visa_resources

    found = [*serial_ports(), *visa_resources()]
    for each in host or ():
        found += asyncio.run(listening(each))
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("no serial port, no VISA resource; --host HOST tries a host's TCP ports")
        return
    print_table(("resource", "what"), [(each.resource, each.what) for each in found])


def identify(
    resource: Annotated[str, typer.Argument(help="Where it is, as tcp://192.0.2.7:1998.")],
    driver: DriverOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask who is there, with questions that change nothing; with --driver, let that one connect.

    Ends with status 1 when nobody answers that a driver knows.
    """
    from qnodeos.cli.instrument.asking import connect_with, who_is_there

    with told_as_user_errors("it cannot be asked who it is"):
        if driver is not None:
            answers = [asyncio.run(connect_with(resource, driver))]
        else:
            answers = asyncio.run(who_is_there(resource))
    known = [answer for answer in answers if answer.driver]
    if as_json:
        print_json(answers)
    else:
        print_table(
            ("driver", "asked", "answer"), [(a.driver or "?", a.asked, a.answer) for a in answers]
        )
    if not known:
        raise typer.Exit(1)


def print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """A plain table; where the output is no terminal it is as wide as it has to be."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, show_header=any(columns))
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        widest = [max(len(str(row[i])) for row in [columns, *rows]) for i in range(len(columns))]
        console.width = sum(widest) + 2 * len(widest)
    console.print(table)


def _methods(driver: type[Instrument]) -> list[dict[str, Any]]:
    methods = []
    for name, method in inspect.getmembers(driver, inspect.iscoroutinefunction):
        if name.startswith("_") or name in ("connect", "disconnect"):
            continue
        signature = str(inspect.signature(method)).replace("'", "")
        signature = signature.replace("(self, ", "(").replace("(self)", "()")
        methods.append(
            {
                "name": name,
                "signature": name + signature,
                "read_only": name in driver.manifest.read_only,
                "about": (inspect.getdoc(method) or "").partition("\n")[0],
            }
        )
    return methods


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {item!r}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
