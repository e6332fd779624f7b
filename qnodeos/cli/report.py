"""`qnodeos report`: what happened at a node, as one page and as data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qnodeos.errors import UserError

if TYPE_CHECKING:
    from qnodeos.report.gather import NodeRecord


def report(
    node: Annotated[
        list[Path],
        typer.Argument(help="A node's TOML file or data directory, or a folder of several."),
    ],
    since: Annotated[
        str | None,
        typer.Option(help="From when: 8h, 30min, 2d before the end, or 2026-11-26T22:00 (UTC)."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Until when, the same way; default: all there is.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path(
        "report.html"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Write the figures as HDF5 too (needs the extra 'hdf5').")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was wrong and the links' figures as JSON.")
    ] = False,
) -> None:
    """Write a node's journal as one self-contained page: what was wrong, figures and plots of each
    link, requests, verifications, events, configuration, versions. The node may run meanwhile."""
    from importlib.metadata import version

    from qnodeos.report.page import page

    journals = [journal for each in node for journal in _journals(each)]
    records = [_gathered(journal, since, until) for journal in journals]
    text = page(records, version=version("qnodeos"), written_s=time.time())
    _write(output, text)
    if data is not None:
        from qnodeos.report.dataset import write_dataset

        write_dataset(data, records, version=version("qnodeos"))
    if as_json:
        from qnodeos.cli.tags_report import print_json
        from qnodeos.report.facts import facts

        print_json({"page": str(output), "nodes": [facts(each) for each in records]})
        return
    typer.echo(f"{output}: {', '.join(each.name for each in records)}, {len(text) / 1e3:,.0f} kB")
    if data is not None:
        typer.echo(f"{data}: {data.stat().st_size / 1e3:,.0f} kB")


def _journals(place: Path) -> list[Path]:
    """The journals that a place means; raises UserError."""
    from qnodeos.cli.link import journal_of

    if place.is_dir() and not (place / "journal.sqlite").is_file():
        inside = sorted(place.glob("*/journal.sqlite"))
        if inside:
            return inside
    return [journal_of(place)]


def _gathered(journal: Path, since: str | None, until: str | None) -> NodeRecord:
    from rich.console import Console
    from rich.progress import Progress

    from qnodeos.journal import reading
    from qnodeos.report.gather import gather
    from qnodeos.report.instants import instant

    with reading(journal) as database:
        (last_s,) = database.execute("SELECT coalesce(max(time_s), 0) FROM events").fetchone()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(f"reading {journal}", total=1.0)
        return gather(
            journal,
            None if since is None else instant(since, last_s, "--since"),
            None if until is None else instant(until, last_s, "--until"),
            lambda share: progress.update(bar, completed=share),
        )


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            "the report cannot be written",
            where=str(output),
            found=error.strerror or str(error),
            do="choose another --output",
        ) from None
