"""`qnodeos tags record`: the tags of one tagger into a folder, without a node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qnodeos.cli.tags_report import print_json
from qnodeos.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.devices import TimeTagger
    from qnodeos.config import NodeConfig
    from qnodeos.recording import TagRecorder

SHOW_EVERY_S = 0.2


def record(
    node: Annotated[Path, typer.Argument(metavar="NODE.toml", help="Names the tagger.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; gets one of the tagger's name.")
    ],
    instrument: Annotated[
        str | None, typer.Option(help="Which tagger, where the node has several.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="For how long; default until Ctrl-C.")
    ] = None,
    segment_mb: Annotated[
        int, typer.Option(min=1, max=1024, help="A new file after so many megabytes.")
    ] = 64,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures at the end as JSON.")
    ] = False,
) -> None:
    """Record every tag of a tagger, with spans, losses and overflows as it told them.

    The node itself must not run: the tagger has one owner; a running node records with [record]
    in its file. Whatever ends the recording, all batches written so far can be read. Ends with
    status 1 if the disk did not keep up.
    """

    from qnodeos.config import load_node

    config = load_node(node)
    name = _tagger(config, instrument)
    recorder = asyncio.run(_record(config, name, output.absolute(), seconds, segment_mb))
    if as_json:
        print_json({"folder": str(recorder.folder / name), **recorder.status()})
        raise typer.Exit(1 if recorder.dropped_batches else 0)
    typer.echo(
        f"{recorder.tags:,} tags in {recorder.batches:,} batches, {recorder.bytes / 1e6:,.1f} MB, "
        f"in {recorder.folder / name}"
    )
    if recorder.dropped_batches:
        typer.echo(
            f"dropped: {recorder.dropped_tags:,} tags in {recorder.dropped_batches:,} batches; "
            f"{recorder.problem or 'the disk did not keep up'}",
            err=True,
        )
        raise typer.Exit(1)


def _tagger(config: NodeConfig, wanted: str | None) -> str:
    """The name of the tagger that is meant; raises UserError."""
    from drivers.devices import TimeTagger
    from qnodeos.cli.instrument.target import driver_class

    taggers = [
        name
        for name, table in config.instruments.items()
        if issubclass(driver_class(table.driver), TimeTagger)
    ]
    if wanted is None and len(taggers) == 1:
        return taggers[0]
    if wanted is None or wanted not in taggers:
        raise UserError(
            "it is not clear which tagger to record",
            where=f"{config.path}: instruments",
            found=f"'{wanted}'" if wanted else f"{len(taggers)} taggers",
            expected=f"one of {', '.join(taggers)}" if taggers else "an instrument that is one",
            do="name one with --instrument" if taggers else "add the tagger to the node's file",
        )
    return wanted


async def _record(
    config: NodeConfig, name: str, output: Path, seconds: float | None, segment_mb: int
) -> TagRecorder:
    import signal

    from drivers.devices import TimeTagger
    from qnodeos.cli.instrument.target import connected, find_target, told_as_user_errors
    from qnodeos.recording import Limits, TagRecorder

    loop = asyncio.get_running_loop()
    table = config.instruments[name]
    target = find_target(name, config.path, None)
    recorder = TagRecorder(
        output,
        clock=loop.time,
        node=config.node.name,
        limits=Limits(segment_bytes=segment_mb * 1_000_000),
    )
    with told_as_user_errors("the recording ended early"):
        async with connected(target, "tags record") as (instrument, identity):
            assert isinstance(instrument, TimeTagger)
            if not table.read_only:
                await instrument.apply(table.settings)
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(recorder.run())
                taking = tasks.create_task(_take(instrument, recorder, name, identity.text))
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, taking.cancel)
                await _show(recorder, taking, seconds, loop.time)
                writing.cancel()
    return recorder


async def _take(tagger: TimeTagger, recorder: TagRecorder, name: str, identity: str) -> None:
    from contextlib import aclosing

    with recorder.begin(name, tagger, identity) as stream:
        async with aclosing(tagger.stream()) as batches:
            async for batch in batches:
                stream.take(batch)


async def _show(
    recorder: TagRecorder,
    taking: asyncio.Task[None],
    seconds: float | None,
    clock: Callable[[], float],
) -> None:
    """Show how it goes until it ends, and end it after so many seconds."""

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from qnodeos.recording import TOO_SLOW

    began_s = clock()
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=seconds)
        while not taking.done():
            past_s = clock() - began_s
            progress.update(
                bar,
                completed=past_s,
                description=f"{recorder.tags / max(past_s, 1e-3):,.0f} tags/s, "
                f"{recorder.bytes / 1e6:,.1f} MB, {recorder.dropped_tags:,} dropped",
            )
            if recorder.problem and recorder.problem != TOO_SLOW:
                taking.cancel()
                raise UserError(
                    "the recording ended early",
                    where=str(recorder.folder),
                    found=recorder.problem,
                    do="make room or choose another --output; what was written can be read",
                )
            if seconds is not None and past_s >= seconds:
                taking.cancel()
            left_s = SHOW_EVERY_S if seconds is None else min(SHOW_EVERY_S, seconds - past_s)
            await asyncio.wait([taking], timeout=max(left_s, 0.0))
