"""`qnodeos tags play`: recorded tags through whole nodes, in the place of their taggers."""

from __future__ import annotations

import asyncio
import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qnodeos.errors import UserError

if TYPE_CHECKING:
    from qnodeos.config import NodeConfig

DRIVER = "drivers.taggers.replay:ReplayTagger"


def play(
    recording: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `rehearse --record` or a node recorded.")
    ],
    into: Annotated[
        Path,
        typer.Option(
            help="A node's file, which is then run; or a folder to rehearse, as `rehearse` does."
        ),
    ],
    seconds: Annotated[
        float, typer.Option(min=1.0, max=1e7, help="Of a rehearsal, in simulated seconds.")
    ] = 60.0,
    seed: Annotated[
        int | None, typer.Option(min=0, help="As in the run that was recorded.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Of a rehearsal: folder for journals and report.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Of a rehearsal: print the report as JSON.")
    ] = False,
) -> None:
    """Play recorded tags back, batch by batch as they came, through whole nodes.

    Every tagger of which DIR holds a recording is replaced by it: DIR/TAGGER for one node's file,
    DIR/NODE/TAGGER for a folder of nodes; `records` in between is found too. All else is as the
    files say.
    """
    recording = recording.absolute()
    if into.is_dir():
        from qnodeos.cli.rehearse import print_report, rehearsed

        played: list[str] = []

        def change(config: NodeConfig) -> NodeConfig:
            changed, names = with_recorded(config, recording / config.node.name)
            played.extend(f"{config.node.name}/{name}" for name in names)
            return changed

        report, where = rehearsed(into, seconds, output, seed=seed, change=change, quiet=json)
        _require(played, recording, into)
        if json:
            typer.echo(json_module.dumps({**report, "played": played}, indent=2))
            return
        print_report(report, where)
        typer.echo(f"played: {', '.join(played)}")
        return
    from qnodeos.cli.run import run_node
    from qnodeos.config import load_node

    config, names = with_recorded(load_node(into), recording)
    _require(names, recording, into)
    typer.echo(f"plays: {', '.join(names)}", err=True)
    asyncio.run(run_node(config, seed, False))


def with_recorded(config: NodeConfig, records: Path) -> tuple[NodeConfig, list[str]]:
    """The node with recordings in the place of its taggers, and the names of those.

    They are in `records`, or in a folder of that name in it, as a node's data directory has it.
    """
    if (records / "records").is_dir():
        records = records / "records"
    instruments = dict(config.instruments)
    names = [name for name in instruments if (records / name).is_dir()]
    for name in names:
        instruments[name] = instruments[name].model_copy(
            update={
                "driver": DRIVER,
                "resource": f"file://{(records / name).as_posix()}",
                "serial": "",
                "options": {},
                "settings": {},
            }
        )
    off = config.record.model_copy(update={"record": False})
    return config.model_copy(update={"instruments": instruments, "record": off}), names


def _require(names: list[str], recording: Path, into: Path) -> None:
    if not names:
        raise UserError(
            "there is nothing to play",
            where=str(recording),
            found="no folder that is named as an instrument of these nodes",
            expected=(
                "NODE/records/TAGGER in it, as `qnodeos rehearse --record --output` writes it"
                if into.is_dir()
                else "TAGGER in it, as `qnodeos tags record` writes it"
            ),
        )
