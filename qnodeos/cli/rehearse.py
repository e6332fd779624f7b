"""`qnodeos rehearse FOLDER`: a network and its simulated lab in one process, in virtual time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qnodeos.cli.progress import bar
from qnodeos.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qnodeos.config import NodeConfig
    from qnodeos.rehearsal import Rehearsal
    from sim_backends.faults.script import FaultConfig
    from sim_backends.lab import LabConfig


def rehearse(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with lab.toml and the nodes' files; default: examples/two_nodes."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=1e7, help="How long to rehearse, in simulated seconds.")
    ] = 60.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of lab and nodes; default: that of the lab file.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="A file of [[faults]], beside those of the lab file.")
    ] = None,
    fault_seed: Annotated[
        int | None, typer.Option(min=0, help="Draw faults by chance, from this seed.")
    ] = None,
    fault_rate: Annotated[
        float, typer.Option(min=0.0, max=1e4, help="So many faults a minute, with --fault-seed.")
    ] = 2.0,
    record: Annotated[
        bool, typer.Option("--record", help="Every node records its tags, for `tags play`.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for journals, truth and report; new or empty.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Run all nodes of a folder against its lab, an hour in minutes, the same at every run.

    Writes every node's journal, the truth, and report.json with a digest of what was said on each
    wire: two runs of one seed give the same. Raises UserError.
    """
    from qnodeos.demo.layout import example_folder

    report, where = rehearsed(
        folder or example_folder(),
        seconds,
        output,
        seed=seed,
        faults=faults,
        fault_seed=fault_seed,
        fault_rate=fault_rate,
        change=recording if record else lambda config: config,
        quiet=as_json,
    )
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        print_report(report, where)


def recording(config: NodeConfig) -> NodeConfig:
    """The same node, which records its tags."""
    table = config.record.model_copy(update={"record": True})
    return config.model_copy(update={"record": table})


def rehearsed(
    folder: Path,
    seconds: float,
    output: Path | None,
    *,
    change: Callable[[NodeConfig], NodeConfig],
    seed: int | None = None,
    faults: Path | None = None,
    fault_seed: int | None = None,
    fault_rate: float = 2.0,
    quiet: bool = False,
) -> tuple[dict[str, Any], Path]:
    """Rehearse the nodes as `change` makes them; the report, and where all is written.

    Raises UserError.
    """
    import asyncio
    import logging

    from qnodeos.demo.layout import fresh_folder
    from sim_backends.lab import LabError
    from timing.loop import run_virtual

    logging.getLogger("qnodeos").setLevel(logging.ERROR)
    logging.getLogger("drivers").setLevel(logging.ERROR)
    where = fresh_folder(output, Path("rehearsal-output"))
    try:
        lab, nodes, script = load(folder, where, seed=seed, faults=faults)
    except LabError as error:
        raise UserError(
            "the lab cannot be rehearsed",
            where=": ".join(part for part in (str(error.path), error.where) if part),
            do=error.problem,
        ) from error

    async def run() -> dict[str, Any]:
        from qnodeos.rehearsal import Transcript, rehearsal
        from sim_backends.faults.chance import drawn_faults

        transcript = Transcript(asyncio.get_running_loop().time)
        things = {**lab.things, "network": [f"{a}-{b}" for a, b in _pairs(nodes)]}
        drawn = (
            ()
            if fault_seed is None
            else drawn_faults(things, seed=fault_seed, per_minute=fault_rate)
        )
        async with rehearsal(
            lab,
            [change(config) for config in nodes],
            seed=seed,
            tap=transcript,
            faults=script,
            drawn=drawn,
        ) as network:
            clock = asyncio.get_running_loop().time
            begun_s = clock()
            with bar("rehearsing", quiet=quiet, done=lambda: (clock() - begun_s) / seconds):
                await network.lasts(seconds)
            report = _report(network, seconds)
        return {**report, "digests": transcript.digests()}

    report = run_virtual(run())
    (where / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report, where


def load(
    folder: Path, output: Path, *, seed: int | None = None, faults: Path | None = None
) -> tuple[LabConfig, list[NodeConfig], list[FaultConfig]]:
    """The lab, the nodes and the script of a rehearsal, with all they write in `output`.

    Raises UserError and LabError.
    """
    import tomllib

    from qnodeos.config import load_node
    from qnodeos.rehearsal import ends_of
    from sim_backends.faults.script import load_faults
    from sim_backends.lab import load_lab

    files = sorted(folder.glob("*.toml"))
    if not (folder / "lab.toml").is_file():
        raise UserError(
            "there is no lab to rehearse in",
            where=str(folder),
            expected="a folder with lab.toml and the nodes' files, as examples/two_nodes",
        )
    nodes = []
    for file in files:
        try:
            is_node = "node" in tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            is_node = file.name != "lab.toml"  # told by whoever reads it in earnest
        if is_node:
            config = load_node(file)
            table = config.node.model_copy(update={"data_dir": output / config.node.name})
            nodes.append(config.model_copy(update={"node": table}))
    if not nodes:
        raise UserError(
            "there is no node to rehearse",
            where=str(folder),
            expected="the files of the nodes, each with a table [node]",
        )
    ends = ends_of(nodes)
    lab = load_lab(folder / "lab.toml", network=ends)
    script = [] if faults is None else load_faults(faults, {**lab.things, "network": ends})
    section = lab.lab.model_copy(
        update={
            "truth": output / "truth.jsonl",
            "seed": lab.lab.seed if seed is None else seed,
        }
    )
    return lab.model_copy(update={"lab": section}), nodes, script


def _pairs(nodes: list[NodeConfig]) -> list[tuple[str, str]]:
    names = [config.node.name for config in nodes]
    return [(one, other) for i, one in enumerate(names) for other in names[i + 1 :]]


def _report(network: Rehearsal, seconds: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "nodes": {
            name: {
                "instruments": {
                    each: supervisor.status.state
                    for each, supervisor in node.rack.supervisors.items()
                },
                "peers": {peer: status.state for peer, status in node.wire.peers.items()},
                "links": {link: each.status() for link, each in node.links.items()},
                "applications": {app: each.status() for app, each in node.apps.items()},
            }
            for name, node in network.nodes.items()
        },
    }


def print_report(report: dict[str, Any], where: Path) -> None:
    """The figures of each link at the end of a rehearsal."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for name, node in report["nodes"].items():
        away = [f"{i} {s}" for i, s in node["instruments"].items() if s != "online"]
        console.print(f"[bold]{name}[/bold]: {', '.join(away) or 'all instruments online'}")
        for link, status in node["links"].items():
            figures = ("clock", "heralds", "delivered", "fidelity", "fidelity_error")
            shown = ", ".join(
                f"{key} {round(status[key], 4) if isinstance(status[key], float) else status[key]}"
                for key in figures
                if key in status
            )
            console.print(f"  link {link}: {shown}")
    console.print(f"{report['seconds']:g} s simulated; journals, truth and report.json: {where}")
