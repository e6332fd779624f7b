"""`qnodeos tags info FOLDER`: the streams of recorded taggers, whole or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnodeos.errors import UserError

if TYPE_CHECKING:
    from timing.segments.summary import StreamSummary


def show_streams(folder: Path, as_json: bool) -> None:
    """All streams in a folder and those below; raises UserError where there is none."""
    from qnodeos.cli.tags_report import print_json

    summaries = _summaries(folder)
    if as_json:
        print_json({"folder": str(folder), "streams": [_facts(each) for each in summaries]})
    else:
        _print(folder, summaries)


def _summaries(folder: Path) -> list[StreamSummary]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from timing.segments import SegmentError, streams_in
    from timing.segments.summary import summarise

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    try:
        folders = [folder, *sorted(each for each in folder.rglob("*") if each.is_dir())]
        streams = [stream for each in folders for stream in streams_in(each)]
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task("reading")
            read = 0

            def tell(tags: int) -> None:
                nonlocal read
                read += tags
                progress.update(bar, description=f"reading: {read:,} tags")

            found = [summarise(stream, tell) for stream in streams]
    except (SegmentError, OSError) as error:
        raise UserError(
            "the recording cannot be read",
            where=str(folder),
            found=str(error),
            do="check the folder and its permissions; a file that is no segment can be removed",
        ) from None
    if not found:
        raise UserError(
            "there is no recording here",
            where=str(folder),
            expected="a folder that `qnodeos tags record` wrote, or a file of recorded tags",
        )
    return found


def _facts(each: StreamSummary) -> dict[str, Any]:
    return {
        "folder": str(each.stream.folder),
        "stream": each.stream.number,
        "segments": len(each.stream.segments),
        "node": each.head.node,
        "instrument": each.head.instrument,
        "driver": each.head.driver,
        "identity": each.head.identity,
        "version": each.head.version,
        "began_unix_s": each.head.began_unix_s,
        "resolution_ps": each.head.resolution_ps,
        "start_ps": each.start_ps,
        "stop_ps": each.stop_ps,
        "span_s": each.span_s,
        "bytes": each.bytes,
        "batches": each.batches,
        "tags": each.tags,
        "channels": {str(channel): count for channel, count in each.counts.items()},
        "lost_batches": each.lost_batches,
        "lost_tags": each.lost_tags,
        "overflows": each.overflows,
        "missed_batches": each.missed,
        "damage": [
            {
                "file": path.name,
                "at_byte": damage.at_byte,
                "bytes": damage.size,
                "torn": damage.torn,
                "found": damage.found,
            }
            for path, damage in each.damage
        ],
    }


def _print(folder: Path, summaries: list[StreamSummary]) -> None:
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    for heading in ("stream", "began (UTC)", "span / s", "tags", "cps", "MB", "lost", "missed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in summaries:
        began = datetime.fromtimestamp(each.head.began_unix_s, UTC)
        lost = f"{each.lost_tags:,}" if each.lost_tags else str(each.lost_batches)
        table.add_row(
            str(each.stream.folder.relative_to(folder.parent) / f"{each.stream.number:06d}"),
            f"{began:%m-%d %H:%M:%S}",
            f"{each.span_s:,.1f}",
            f"{each.tags:,}",
            f"{each.tags / each.span_s:,.0f}" if each.span_s else "",
            f"{each.bytes / 1e6:,.1f}",
            lost if each.lost_batches == 0 else f"[bold red]{lost}[/]",
            f"[bold red]{each.missed:,}[/]" if each.missed else "0",
        )
    console.print(table)
    console.print("lost: tags, by the tagger's word; missed: batches that are not in the recording")
    for each in summaries:
        for path, damage in each.damage:
            kind = "torn end" if damage.torn else "damage"
            console.print(
                f"{path.name}: {kind} at byte {damage.at_byte:,}, {damage.size:,} bytes: "
                f"{damage.found}",
                markup=False,
            )
