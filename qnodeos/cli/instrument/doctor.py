"""`doctor`: why an instrument cannot be reached, or how well it can."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qnodeos.checking.findings import Finding, any_wrong
from qnodeos.cli.instrument.target import (
    DriverOption,
    JsonOption,
    NodeOption,
    OptionOption,
    Target,
    TargetArgument,
    find_target,
    print_json,
)

if TYPE_CHECKING:
    from drivers.plugin import Manifest

PINGS = 20
_SLOW_MS = 200.0


def doctor(
    target: TargetArgument,
    node: NodeOption = None,
    driver: DriverOption = None,
    option: OptionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at library, port, permissions, claims, identity and latency.

    Nothing is set; the driver connects and pings. Ends with status 1 when something is wrong.
    """
    findings = asyncio.run(_examine(find_target(target, node, driver, option)))
    if as_json:
        print_json(findings)
    else:
        for each in findings:
            typer.echo(f"{each.state:<6} {each.what}: {each.found}")
            if each.do:
                typer.echo(f"       {each.do}")
    if any_wrong(findings):
        raise typer.Exit(1)


async def _examine(target: Target) -> list[Finding]:
    from drivers.claims import Claims
    from drivers.links.open import scheme
    from qnodeos.cli.instrument.target import driver_class

    manifest = driver_class(target.driver).manifest
    findings = [*_library(manifest)]
    if scheme(target.resource) == "serial":
        findings += _serial_port(target, manifest)
    holder = Claims().holder(target.resource)
    if holder is not None:
        findings.append(
            Finding(
                "wrong",
                "claim",
                f"{holder.owner} (process {holder.pid}) has it",
                "stop that program, or look at its own status",
            )
        )
    if any_wrong(findings):
        return findings
    return [*findings, *await _connection(target)]


def _library(manifest: Manifest) -> list[Finding]:
    from qnodeos.checking.packages import missing_package

    if not manifest.needs_package:
        return [Finding("ok", "library", "none is needed")]
    problem = missing_package(manifest.needs_package)
    if problem:
        return [Finding("wrong", "library", problem, f"install {manifest.needs_package}")]
    return [Finding("ok", "library", f"{manifest.needs_package} is installed")]


def _serial_port(target: Target, manifest: Manifest) -> list[Finding]:
    import grp
    import os
    import stat

    from drivers.links.open import serial_path

    path = Path(serial_path(target.resource))
    hint = f"a udev rule for it: {manifest.udev_hint}" if manifest.udev_hint else ""
    try:
        status = path.stat()
    except OSError as error:
        do = "is it plugged in and on? `qnodeos instrument scan` shows the ports"
        return [Finding("wrong", "port", f"{path}: {error.strerror}", do)]
    if not stat.S_ISCHR(status.st_mode):
        return [Finding("wrong", "port", f"{path} is not a serial port", "correct the resource")]
    if not os.access(path, os.R_OK | os.W_OK):
        try:
            group = grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            group = str(status.st_gid)
        do = f"sudo usermod -aG {group} $USER, then log in again" + (f"; or {hint}" if hint else "")
        found = f"{path} may not be opened by this user ({stat.filemode(status.st_mode)} {group})"
        return [Finding("wrong", "permission", found, do)]
    findings = [Finding("ok", "permission", f"{path} may be read and written")]
    if hint and "by-id" not in target.resource and path.name.startswith(("ttyACM", "ttyUSB")):
        do = f"use its name in /dev/serial/by-id, or {hint}"
        findings.append(Finding("note", "name", f"{path} may be another port after a restart", do))
    return findings


async def _connection(target: Target) -> list[Finding]:
    from drivers.errors import InstrumentProblem
    from qnodeos.cli.instrument.target import connected

    started_s = time.perf_counter()
    try:
        async with connected(target, "doctor") as (instrument, identity):
            connect_ms = 1e3 * (time.perf_counter() - started_s)
            pings_ms = []
            for _ in range(PINGS):
                started_s = time.perf_counter()
                await instrument.ping()
                pings_ms.append(1e3 * (time.perf_counter() - started_s))
            unasked = instrument.link.unasked_bytes
    except InstrumentProblem as problem:
        do = "check power, cable and address; `qnodeos instrument identify` asks who is there"
        return [Finding("wrong", "connection", str(problem), do)]
    pings_ms.sort()
    middle, slowest = pings_ms[PINGS // 2], pings_ms[-1]
    slow = slowest > _SLOW_MS
    findings = [
        Finding("ok", "identity", f"{identity.text} (serial number {identity.serial or 'none'})"),
        Finding("ok", "connecting", f"took {connect_ms:.1f} ms"),
        Finding(
            "note" if slow else "ok",
            "ping",
            f"median {middle:.2f} ms, slowest {slowest:.2f} ms of {PINGS}",
            "the link is slow or shared: a cable instead of wireless, fewer clients"
            if slow
            else "",
        ),
    ]
    if unasked:
        findings.append(
            Finding("note", "noise", f"{unasked} bytes came unasked", "does somebody else use it?")
        )
    return findings
