"""`qnodeos link`: verification of links, and how they have been."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(no_args_is_help=True, help="Verify links, and see how they have been.")

NodeFile = Annotated[Path, typer.Argument(help="The node: its TOML file or data directory.")]
LinkName = Annotated[str, typer.Argument(help="The link's name in that file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def verify(
    node: NodeFile,
    link: LinkName,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs to measure.")] = 1800,
    within: Annotated[float, typer.Option(min=0.1, help="Seconds they may take.")] = 60.0,
    tomography: Annotated[
        bool, typer.Option(help="Find the most likely state, where nine settings are there.")
    ] = True,
    hom: Annotated[
        bool,
        typer.Option(
            "--hom", help="At the station: how alike the photons are, from so many coincidences."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Measure pairs in all bases at both ends: correlators, F, QBER, CHSH, the state.

    With --hom, at the station's node, the visibility of Hong-Ou-Mandel interference.
    """
    from rich.console import Console

    from qnodeos.cli.asking import ask

    if hom:
        what = f"coincidences of {link}"
        options: dict[str, Any] = {"link": link, "coincidences": pairs, "within_s": within}
        _show_hom(link, ask(node, "link.hom", what=what, quiet=json, **options), json)
        return
    found = ask(
        node,
        "link.verify",
        what=f"verifying {link}",
        quiet=json,
        link=link,
        pairs=pairs,
        within_s=within,
        tomography=tomography,
    )
    if json:
        typer.echo(json_module.dumps(found))
    else:
        Console().print(_table(link, found))


@app.command()
def history(
    node: NodeFile,
    link: LinkName,
    last: Annotated[int, typer.Option(min=1, help="So many, the newest last.")] = 20,
    json: Json = False,
) -> None:
    """The verifications of a link that are in the node's journal, also of a node that is down."""
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from qnodeos.journal import read_journal

    results = read_journal(journal_of(node)).results
    rows = [row for row in results if row.app == f"verify:{link}"][-last:]
    if json:
        typer.echo(json_module.dumps([{"time_s": row.time_s, **row.data} for row in rows]))
        return
    if not rows:
        typer.echo(f"no verification of link {link} is in the journal")
        return
    table = Table(title=f"link {link}")
    for column in ("when", "pairs", "F", "S", "e_Z", "e_X", "V"):
        table.add_column(column, justify="left" if column == "when" else "right")
    for row in rows:
        data = row.data
        table.add_row(
            datetime.fromtimestamp(row.time_s).isoformat(" ", "seconds"),
            str(data["pairs"]),
            _shown(data.get("fidelity")),
            _shown(data.get("chsh")),
            _shown(data["qber"].get("Z")),
            _shown(data["qber"].get("X")),
            _shown(data.get("hom")),
        )
    Console().print(table)


@app.command()
def calibration(node: NodeFile, link: LinkName, json: Json = False) -> None:
    """The calibrations of a link: state, age, when each is due, its last figure."""
    from qnodeos.cli.asking import ask

    _show_calibration(link, ask(node, "link.calibration", quiet=json, link=link), json)


@app.command()
def calibrate(
    node: NodeFile,
    link: LinkName,
    task: Annotated[str, typer.Option(help="This one only, e.g. delay; by default all.")] = "",
    json: Json = False,
) -> None:
    """Calibrate a link now, between two requests."""
    from qnodeos.cli.asking import ask

    what = f"calibrating {link}"
    found = ask(node, "link.calibrate", what=what, quiet=json, link=link, task=task)
    _show_calibration(link, found, json)


def _show_hom(link: str, found: dict[str, Any], json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if json:
        typer.echo(json_module.dumps(found))
        return
    low, high = found["hom_interval"]
    table = Table(title=f"link {link}: {found['pairs']} coincidences at the station")
    table.add_column("figure")
    table.add_column("value ± error", justify="right")
    table.add_column("")
    table.add_row("HOM visibility", _shown(found["hom"]), f"95 %: {low:.4f} to {high:.4f}")
    table.add_row("accidentals", f"{found['accidentals']:.1f}", "of them, taken off")
    Console().print(table)


def _show_calibration(link: str, rows: list[dict[str, Any]], json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    if json:
        typer.echo(json_module.dumps(rows))
        return
    table = Table(title=f"calibration of link {link}")
    for column in ("task", "state", "age s", "due in s", "value", "reason"):
        table.add_column(column, justify="right" if column.endswith("s") else "left")
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
        ages = ["-" if row[each] is None else f"{row[each]:.0f}" for each in ("age_s", "due_s")]
        table.add_row(row["task"], row["state"], *ages, value, row["reason"])
    Console().print(table)


def journal_of(node: Path) -> Path:
    """The journal of a node that is given by its TOML file or data directory."""
    from qnodeos.config import load_node

    return (node if node.is_dir() else load_node(node).node.data_dir) / "journal.sqlite"


def _table(link: str, found: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=f"link {link}: {found['pairs']} pairs, as {found['bell_state']}")
    table.add_column("figure")
    table.add_column("value ± error", justify="right")
    table.add_column("")
    for name, figure in found["correlators"].items():
        table.add_row(f"<{name}>", _shown(figure), "")
    if "fidelity" in found:
        low, high = found["interval"]
        table.add_row("F", _shown(found["fidelity"]), f"95 %: {low:.4f} to {high:.4f}")
    else:
        table.add_row("F", "-", "needs counts in XX, YY and ZZ")
    for basis, figure in found["qber"].items():
        table.add_row(f"QBER {basis}", _shown(figure), "")
    if found["chsh"] is not None:
        above = found["significance"]
        said = "" if above is None else f"{above:+.1f} errors from the classical limit 2"
        table.add_row("CHSH S", _shown(found["chsh"]), said)
    if found["state_fidelity"] is not None:
        table.add_row("F of the state", _shown(found["state_fidelity"]), "most likely, physical")
        table.add_row("concurrence", _shown(found["concurrence"]), "")
    else:
        table.add_row("state", "-", "needs nine settings; see docs/verification.md")
    return table


def _shown(figure: list[float] | None) -> str:
    from link_layer.verification import Figure

    return "-" if figure is None else str(Figure(*figure))
