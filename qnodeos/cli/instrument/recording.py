"""`record` and `replay`: the bytes of an instrument, for bug reports and tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, TextIO

import typer

from qnodeos.cli.instrument.target import (
    DriverOption,
    NodeOption,
    OptionOption,
    Target,
    TargetArgument,
    connected,
    find_target,
    told_as_user_errors,
)
from qnodeos.cli.progress import bar
from qnodeos.errors import UserError


def record(
    target: TargetArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The transcript to write.")],
    node: NodeOption = None,
    driver: DriverOption = None,
    option: OptionOption = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="For how long.")] = 10.0,
    interval_s: Annotated[float, typer.Option("--interval", min=0.05, help="Seconds.")] = 1.0,
) -> None:
    """Connect, read as a node would, and write every byte to a transcript.

    Passwords in options are left out. Give the file with a bug report, or replay it in a test.
    """
    wanted = find_target(target, node, driver, option)
    try:
        with (
            output.open("w", encoding="utf-8") as file,
            told_as_user_errors("the recording ended early"),
        ):
            asyncio.run(_record(wanted, file, seconds, interval_s))
    except OSError as error:
        raise UserError(
            "the transcript cannot be written",
            where=str(output),
            found=error.strerror or str(error),
            do="choose another file",
        ) from error
    typer.echo(f"recorded in {output}")


def replay(
    file: Annotated[Path, typer.Argument(metavar="TRANSCRIPT", help="What `record` wrote.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0: a free one.")] = 0,
    pty: Annotated[
        Path | None, typer.Option(help="Serve on a pseudo-terminal at this path instead.")
    ] = None,
) -> None:
    """Serve a transcript as a fake instrument on 127.0.0.1 until Ctrl-C."""
    from drivers.testing.transcript import BadTranscript, read_transcript
    from qnodeos.cli.instrument.replaying import serve_pty, serve_tcp

    try:
        transcript = read_transcript(file)
    except (BadTranscript, OSError) as error:
        raise UserError(
            "this is no transcript",
            where=str(file),
            found=str(error),
            do="give a file that `qnodeos instrument record` wrote",
        ) from error
    try:
        if pty is not None:
            asyncio.run(serve_pty(transcript, pty, typer.echo))
        else:
            asyncio.run(serve_tcp(transcript, port, typer.echo))
    except OSError as error:
        raise UserError(
            "the transcript cannot be served",
            where=str(pty) if pty is not None else f"127.0.0.1:{port}",
            found=error.strerror or str(error),
            do="choose another --port or --pty",
        ) from error


async def _record(target: Target, file: TextIO, seconds: float, interval_s: float) -> None:
    from drivers.testing.transcript import record as write_down

    clock = asyncio.get_running_loop().time
    instrument = target.make()
    write_down(instrument, target.resource, file, clock)
    end_s = clock() + seconds
    async with connected(target, "record", instrument):
        with bar("recording") as told:
            while True:
                told(1 - (end_s - clock()) / seconds if seconds else 1.0, "")
                await instrument.ping()
                await instrument.readings()
                if clock() + interval_s > end_s:
                    return
                await asyncio.sleep(interval_s)
