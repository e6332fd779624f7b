"""What of a node's file would be refused on this machine, or would not work, and what helps.

Nothing is sent to an instrument and nothing is changed: files are read, ports are tried.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from drivers.errors import InstrumentProblem
from drivers.links.open import scheme, serial_path
from drivers.plugin import Manifest, UnknownDriver, load_driver, make_instrument
from qnodeos.awake import HELP, LATENCY_FILE
from qnodeos.checking.findings import Finding
from qnodeos.checking.packages import missing_package
from qnodeos.checking.records import records_ready
from qnodeos.checking.tables import manifest_of
from qnodeos.config import (
    InstrumentTable,
    MemoryLinkTable,
    MidpointTable,
    NodeConfig,
    PhotonicLinkTable,
)
from qnodeos.errors import UserError
from qnodeos.keys import load_key_pair, load_public_key

LEAST_FREE_BYTES = 1_000_000_000


def of_the_file(config: NodeConfig) -> list[Finding]:
    """What is the same on every machine: drivers, their options, and what links use them for."""
    return [*_instruments(config), *_roles(config), *_purpose(config)]


def of_this_machine(config: NodeConfig, *, runs: bool) -> list[Finding]:
    """Keys, ports, data directory and devices. `runs`: the node itself holds its ports."""
    return [
        *_keys(config),
        *_ports(config, runs),
        *_data(config),
        *records_ready(config),
        *_devices(config),
        *_awake(config),
    ]


def _keys(config: NodeConfig) -> Iterator[Finding]:
    ours = None
    try:
        ours = load_key_pair(config.wire.secret_key).public
    except UserError as error:
        yield _told("wire.secret_key", error)
    else:
        yield Finding("ok", "wire.secret_key", "is there, and nobody else can read it")
    seen = {ours: "this node's own"} if ours else {}
    for name, peer in config.wire.peers.items():
        where = f"wire.peers.{name}.public_key"
        try:
            key = load_public_key(peer.public_key)
        except UserError as error:
            yield _told(where, error)
            continue
        if key in seen:
            do = f"copy {name}.key from node {name}, where `qnodeos keys new {name}` made it"
            yield Finding("wrong", where, f"{peer.public_key} is {seen[key]} key", do)
        else:
            yield Finding("ok", where, "is there")
        seen.setdefault(key, f"{name}'s")


def _ports(config: NodeConfig, runs: bool) -> Iterator[Finding]:
    places = {
        "wire.listen": config.wire.listen,
        "metrics.listen": config.metrics.listen if config.metrics else None,
        "processes.listen": config.processes.listen,
    }
    taken: dict[int, str] = {}
    for where, listen in places.items():
        parts = urlsplit(listen or "")
        if listen is None or parts.port is None:
            continue
        if parts.port in taken:
            do = "give each a port of its own"
            yield Finding("wrong", where, f"{listen}, the port of {taken[parts.port]}", do)
            continue
        taken[parts.port] = where
        if runs:
            yield Finding("ok", where, f"{listen}, held by this node, which runs")
        else:
            yield _port(where, listen, parts.hostname or "", parts.port)


def _port(where: str, listen: str, host: str, port: int) -> Finding:
    """Is it free, as a server would find it?"""
    host = "" if host == "*" else host
    try:
        family = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except socket.gaierror as error:
        do = "give an address of this machine, or * for all of them"
        return Finding("wrong", where, f"{listen} cannot be found: {error.strerror}", do)
    except OSError as error:
        do = {
            errno.EADDRINUSE: f"give another port, or see who has it: ss -ltnp 'sport = :{port}'",
            errno.EADDRNOTAVAIL: "it is no address of this machine: give one that is, or *",
            errno.EACCES: "ports below 1024 are for root: give a higher one",
        }.get(error.errno or 0, "give another address")
        return Finding("wrong", where, f"{listen}: {error.strerror}", do)
    return Finding("ok", where, f"{listen} is free")


def usual_port(port: int, who: str) -> Finding:
    """Is a port that nodes usually have free? Whoever has it may be a node: that is no fault."""
    found = _port(f"port {port}", f"{who} tcp://127.0.0.1:{port}", "127.0.0.1", port)
    return found if found.state == "ok" else replace(found, state="note")


def _data(config: NodeConfig) -> Iterator[Finding]:
    where, folder = "node.data_dir", config.node.data_dir
    there = next(p for p in (folder, *folder.parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        do = "give another directory, or let this user write there"
        yield Finding("wrong", where, f"{folder} cannot be written by this user", do)
        return
    free = shutil.disk_usage(there).free
    if free < LEAST_FREE_BYTES:
        yield Finding("note", where, f"{free / 1e9:.2f} GB are left in {folder}", "make room")
    else:
        made = "can be written" if folder.exists() else "will be made"
        yield Finding("ok", where, f"{folder} {made}; {free / 1e9:.0f} GB are free")


def _instruments(config: NodeConfig) -> Iterator[Finding]:
    for name, table in config.instruments.items():
        where = f"instruments.{name}"
        try:
            driver = load_driver(table.driver)
            make_instrument(driver, table.resource, owner=name, options=table.options)
        except (UnknownDriver, ImportError) as error:
            do = "correct `driver`, or install the package that brings it"
            yield Finding("wrong", f"{where}.driver", str(error), do)
            continue
        except (ValueError, InstrumentProblem) as error:
            yield Finding("wrong", where, str(error), "correct `resource` or `options`")
            continue
        yield from _arming(where, table, driver.manifest)


def _arming(where: str, table: InstrumentTable, manifest: Manifest) -> Iterator[Finding]:
    if problem := missing_package(manifest.needs_package):
        yield Finding("wrong", where, problem, f"pip install {manifest.needs_package}")
    if manifest.emits and not table.arm and not table.read_only:
        do = "add `arm = true` to let it emit while the node runs"
        yield Finding(
            "note", where, "it emits, and nothing arms it: it stays in its safe state", do
        )
    if table.arm and not manifest.emits:
        yield Finding("note", f"{where}.arm", "it emits nothing", "remove `arm`")


def _devices(config: NodeConfig) -> Iterator[Finding]:
    for name, table in config.instruments.items():
        path = serial_path(table.resource)
        if scheme(table.resource) == "serial" and path:
            yield _device(f"instruments.{name}.resource", Path(path))


def _device(where: str, path: Path) -> Finding:
    """A node starts without an instrument: a port that is not there does not keep it from that."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        do = "is it plugged in and on? `qnodeos instrument scan` shows the ports"
        return Finding("note", where, f"{path}: {error.strerror}; the node waits for it", do)
    if not stat.S_ISCHR(mode):
        return Finding("wrong", where, f"{path} is not a serial port", "correct the resource")
    if not os.access(path, os.R_OK | os.W_OK):
        do = "`qnodeos doctor` says what this user lacks"
        return Finding("wrong", where, f"{path} may not be opened by this user", do)
    return Finding("ok", where, f"{path} may be read and written")


def _awake(config: NodeConfig) -> Iterator[Finding]:
    """A node starts without it."""
    if config.node.wake_within_us is None:
        return
    where, file = "node.wake_within_us", LATENCY_FILE
    if os.access(file, os.R_OK | os.W_OK):
        yield Finding("ok", where, f"{file} may be read and written")
    else:
        there = "may not be opened by this user" if file.exists() else "is not on this computer"
        yield Finding("note", where, f"{file} {there}: processors may sleep", HELP)


def _roles(config: NodeConfig) -> Iterator[Finding]:
    for name, link in config.links.items():
        wanted: dict[str, tuple[str, str]]
        match link:
            case PhotonicLinkTable():
                wanted = {
                    "tagger": (link.tagger, "TimeTagger"),
                    "analyzer": (link.analyzer, "Analyzer"),
                }
                if link.reference is not None:
                    wanted["reference"] = link.reference, "FrequencyReference"
                if (turned := link.polarization) is not None:
                    wanted["polarization.controller"] = turned.controller, "PolarizationController"
                if (pumped := link.pump) is not None:
                    wanted["pump.laser"] = pumped.laser, "Laser"
                if link.calibration is not None and (light := link.calibration.light) is not None:
                    wanted["calibration.light"] = light, "Laser"
                if link.guard is not None and (meter := link.guard.power_meter) is not None:
                    wanted["guard.power_meter"] = meter, "PowerMeter"
                if link.guard is not None and (test := link.guard.self_test) is not None:
                    wanted["guard.self_test.light"] = test.light, "Laser"
            case MemoryLinkTable():
                wanted = {"device": (link.device, "QuantumDevice")}
            case MidpointTable():
                wanted = {"device": (link.device, "QuantumDevice")}
                for part, seen in (("hom", link.hom), ("clicks", link.clicks)):
                    if seen is not None:
                        wanted[f"{part}.tagger"] = seen.tagger, "TimeTagger"
        for entry, (instrument, kind) in wanted.items():
            manifest = manifest_of(config.instruments[instrument])
            if manifest is not None and manifest.kind != kind:
                found = f"'{instrument}' is a {manifest.kind}; a {kind} is needed"
                do = "`qnodeos instrument list` shows the kinds"
                yield Finding("wrong", f"links.{name}.{entry}", found, do)


def _purpose(config: NodeConfig) -> Iterator[Finding]:
    if not config.links:
        do = "add [links.NAME] to make entanglement; it watches its instruments meanwhile"
        yield Finding("note", "links", "the node has no link", do)
    if config.metrics is None:
        do = 'add [metrics] with listen = "tcp://127.0.0.1:9464" to have figures in Grafana'
        yield Finding("note", "metrics", "no /metrics for Prometheus", do)


def is_running(config: NodeConfig) -> bool:
    """Does a node with this data directory answer on this machine?"""
    from qnodeos.local_api import socket_of

    place = socket_of(config.node.data_dir)
    if place is None:
        return False
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
        tried.settimeout(1.0)
        tried.connect(str(place))
        return True
    return False


def reach(config: NodeConfig, limit_s: float = 2.0) -> list[Finding]:
    """Do the peers and the broker listen? Nothing is said to them."""
    places = {f"wire.peers.{name}": peer.address for name, peer in config.wire.peers.items()}
    places["bus"] = config.bus.url
    findings = []
    for where, url in places.items():
        parts = urlsplit(url)
        if not parts.hostname:
            continue
        port = parts.port or {"mqtt": 1883, "mqtts": 8883}[parts.scheme]
        try:
            socket.create_connection((parts.hostname, port), timeout=limit_s).close()
        except OSError as error:
            do = "is it running there? is a firewall between? the node itself goes on without it"
            found = f"{parts.hostname}:{port} cannot be reached: {error.strerror or error}"
            findings.append(Finding("note", where, found, do))
        else:
            findings.append(Finding("ok", where, f"{parts.hostname}:{port} answers"))
    return findings


def _told(where: str, error: UserError) -> Finding:
    found = f"{error.what}: {error.where}{f' ({error.found})' if error.found else ''}"
    return Finding("wrong", where, found, error.do)
