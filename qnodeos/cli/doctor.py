"""`qnodeos doctor`: is this computer ready to be a node's rack PC?"""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qnodeos.checking.findings import Finding

PORTS = {7101: "wire", 7183: "broker", 9464: "metrics"}


def doctor(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Nodes' TOML files: look at what they need too."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.05, help="For how long the event loop is timed.")
    ] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at this computer: programs, kernels, time, serial ports, rules, limits, latency.

    Each finding says what to do. `qnodeos instrument doctor` examines one instrument. Ends with 1
    when something is wrong.
    """
    from qnodeos.checking.findings import any_wrong
    from qnodeos.cli.check import show_findings

    findings = _findings(files or [], seconds, json)
    if json:
        typer.echo(json_module.dumps([asdict(each) for each in findings], indent=2))
    else:
        show_findings(findings, quiet=False)
    if any_wrong(findings):
        raise typer.Exit(1)


def _findings(files: list[Path], seconds: float, quiet: bool) -> list[Finding]:
    import asyncio

    from qnodeos.checking import host, readiness, usb
    from qnodeos.checking.latency import lateness_finding, loop_lateness_ms
    from qnodeos.cli.progress import bar
    from qnodeos.config import load_node

    findings = [*host.programs(), *host.time_sync(), *host.limits()]
    findings += [*usb.serial_ports(), usb.udev_rules(), *usb.ftdi_latency()]
    for file in files:
        config = load_node(file)
        findings += readiness.of_this_machine(config, runs=readiness.is_running(config))
    if not files:
        findings += [readiness.usual_port(port, who) for port, who in PORTS.items()]
    with bar("timing the event loop", quiet=quiet) as told:
        findings.append(lateness_finding(asyncio.run(loop_lateness_ms(seconds, told))))
    return findings
