"""`qnodeos sim`: serve a lab file, or make one of a published experiment."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from qnodeos.cli.sim import sim
from qnodeos.errors import UserError


class _ServeByDefault(TyperGroup):
    """Takes a lab file where a command's name could stand: `qnodeos sim LAB.toml`."""

    # Any: which module the context is of depends on the version of typer.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["serve", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ServeByDefault,
    no_args_is_help=True,
    help="Serve a simulated lab: `qnodeos sim LAB.toml`, or make one of a published experiment.",
)
app.command(name="serve")(sim)


@app.command()
def presets(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the published experiments that a lab can be made of."""
    from rich.console import Console
    from rich.table import Table

    from sim_backends.preset_files import load_preset, preset_names

    if json:
        found = {name: load_preset(name) for name in preset_names()}
        rows = [
            {
                "preset": name,
                "what": each.title,
                "kind": each.kind,
                "points": [point.name for point in each.points if point.name],
            }
            for name, each in found.items()
        ]
        typer.echo(json_module.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table("preset", "what", "points", box=None, pad_edge=False)
    for name in preset_names():
        each = load_preset(name)
        points = ", ".join(point.name for point in each.points if point.name)
        table.add_row(name, each.title, "(data only)" if each.kind == "data" else points)
    # Wide enough for the longest row, as names are there to be copied.
    Console(width=200, highlight=False, markup=False).print(table)


@app.command()
def preset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `qnodeos sim presets` lists it.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write to; default: ./NAME.")
    ] = None,
    point: Annotated[
        str | None, typer.Option(help="Which of the preset's points; default: the first.")
    ] = None,
) -> None:
    """Write lab.toml and the nodes' files of a published experiment. Raises UserError.

    Nothing is overwritten.
    """
    from sim_backends.lab_file import LabError
    from sim_backends.preset_files import load_preset
    from sim_backends.preset_lab import CannotBuild, preset_files

    try:
        found = load_preset(name)
    except LabError as error:
        raise UserError(f"no preset {name!r}", do=error.problem) from error
    names = [item.name for item in found.points]
    if point is not None and point not in names:
        raise UserError(
            f"no point {point!r} of {name}",
            do="expected one of " + ", ".join(repr(known) for known in names),
        )
    try:
        files = preset_files(found, found.points[0 if point is None else names.index(point)])
    except CannotBuild as error:
        raise UserError("no lab can be made of this preset", do=str(error)) from error
    folder = Path(name) if out is None else out
    taken = [file for file in files if (folder / file).exists()]
    if taken:
        raise UserError(
            "the files are there already",
            where=str(folder),
            found=", ".join(taken),
            do="choose another folder with --out, or remove them",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            "the files cannot be written", where=str(folder), do=error.strerror or str(error)
        ) from error
    typer.echo(f"{folder}: {', '.join(files)}")
    typer.echo(f"serve the lab:  qnodeos sim {folder / 'lab.toml'}")
    nodes = [file.removesuffix(".toml") for file in files if file != "lab.toml"]
    typer.echo(
        f"keys for nodes: qnodeos keys new NAME --dir {folder / 'keys'}  ({', '.join(nodes)})"
    )
