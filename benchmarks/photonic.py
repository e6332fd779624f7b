"""A photonic link at a million clicks a second and side: is all of it matched, and at what cost.

Two nodes of `examples/two_nodes` and the lab are processes of their own on the loopback. The tags
come from time taggers, go to the leading end by the wire, and are matched live while the analyzers
turn from basis to basis. QNODEOS_PHOTONIC_S (20) is how long it is looked at.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.frame import Row, benchmark

EXAMPLE = Path(__file__).parents[1] / "examples" / "two_nodes"
ENDS = ("alice", "bob")
PAIRS_PER_S_PER_MW = 540_000.0
OF_PAIRS = 10**-0.6 * 0.80
"""Share of the pairs' photons that alice's detectors click for, but for their dead time."""

FIRST_PORT = 7200
SOCKETS = ("dlt", "tags1", "tags2", "tags3", "tags4")
"""Of a Time Controller and its service, besides the control port."""

SETTLED_S = 20.0
CLICKS_PER_S = 1e6
CORE = 30.0
"""Percent of a core that a node may take."""


@benchmark("photonic", "a photonic link at 1 Mcps a side: what is matched, and what the nodes take")
def run() -> list[Row]:
    """Clicks, what was left out, coincidences beside the lab's numbers, processor time by node."""
    seconds = float(os.environ.get("QNODEOS_PHOTONIC_S", "20"))
    before, after, shares, took_s = asyncio.run(_measured(seconds))
    told = after["alice"]
    true_cps = told["coincidences_cps"] - told["accidentals_cps"]
    return [
        *(
            Row(
                f"clicks at {name}",
                (after[name]["tags"] - before[name]["tags"]) / took_s,
                "1/s",
                at_least=CLICKS_PER_S,
            )
            for name in ENDS
        ),
        *(
            Row(f"{each} at {name}", after[name][each] - before[name][each], "", at_most=0)
            for name in ENDS
            for each in ("tag_overflows", "tag_losses", "reports_thinned")
        ),
        Row("true coincidences", true_cps, "1/s"),
        Row(
            "these over bob's clicks times alice's efficiency",
            true_cps / (told["singles_remote_cps"] * OF_PAIRS),
            "",
            at_least=0.9,
            at_most=1.02,
        ),
        *(Row(f"share of a core, {name}", shares[name], "%", at_most=CORE) for name in ENDS),
    ]


Told = dict[str, dict[str, Any]]
"""What each end says of the link."""


async def _measured(seconds: float) -> tuple[Told, Told, dict[str, float], float]:
    """The link before and after so long, percent of a core by node, and how long it was."""
    from qnodeos.client import connect
    from qnodeos.launch.network import network

    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        data = Path(folder) / "net" / "data"
        async with (
            network(_bright(Path(folder) / "bright"), Path(folder) / "net"),
            connect(data / "alice") as alice,
            connect(data / "bob") as bob,
        ):

            async def told() -> Told:
                return {
                    node.name: (await node.status())["links"]["photonic"] for node in (alice, bob)
                }

            await asyncio.sleep(SETTLED_S)
            began_s, taken, before = time.monotonic(), _processor_s(), await told()
            await asyncio.sleep(seconds)
            after, taken_since, took_s = await told(), _processor_s(), time.monotonic() - began_s
    shares = {name: 100 * (taken_since[name] - taken[name]) / took_s for name in ENDS}
    return before, after, shares, took_s


def _bright(example: Path) -> Path:
    """The example with a brighter source, no fibre but what is in the same room, and time taggers
    that are up to it."""
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns("run", "data", "keys"))
    changes = [
        ("pairs_per_s_per_mw = 12000.0", f"pairs_per_s_per_mw = {PAIRS_PER_S_PER_MW}"),
        ("length_km = 10.0", "length_km = 0.0"),
    ]
    for number, name in enumerate(ENDS):
        ports = [FIRST_PORT + 10 * number + each for each in range(6)]
        named = ", ".join(
            f"{each}_port = {port}" for each, port in zip(SOCKETS, ports[1:], strict=True)
        )
        changes.append(
            (
                f'type = "tdc1", of = "taggers.{name}", pty = "{name}-tagger"',
                f'type = "id900", of = "taggers.{name}", port = {ports[0]}, {named}',
            )
        )
        control, dlt, *streams = (f"://${{LAB_HOST:-127.0.0.1}}:{port}" for port in ports)
        places = ", ".join(f'"zmq+pair{each}"' for each in streams)
        options = f'inputs = [1, 2], dlt = "zmq{dlt}", streams = [{places}]'
        _change(
            example / f"{name}.toml",
            [
                ('driver = "sfifteen.tdc1"', 'driver = "idquantique.id900"'),
                (f'resource = "serial://run/{name}-tagger"', f'resource = "zmq{control}"'),
                ('settings = { level = "NIM" }', f"options = {{ {options} }}"),
            ],
        )
    _change(example / "lab.toml", changes)
    return example


def _change(file: Path, changes: list[tuple[str, str]]) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def _processor_s() -> dict[str, float]:
    """Seconds of processor time that each node and what it has started have taken."""
    taken = dict.fromkeys(ENDS, 0.0)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that has just ended
            node = next((each for each in ENDS if _is_of(process, each)), None)
            if node is not None:
                taken[node] += sum(process.cpu_times()[:2])
    return taken


def _is_of(process: psutil.Process, node: str) -> bool:
    """It runs a node's file, or somebody does who has started it."""
    return any(
        "run" in command and any(Path(each).name == f"{node}.toml" for each in command)
        for command in (each.cmdline() for each in (process, *process.parents()))
    )
