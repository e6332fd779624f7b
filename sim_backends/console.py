"""The console of a running lab: a line in, what it says out."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import TextIO

from sim_backends.control import Control, ControlError

__all__ = ["read_console"]

PROMPT = "lab> "


async def read_console(
    control: Control, *, source: TextIO = sys.stdin, say: Callable[[str], None]
) -> None:
    """Answer lines until the input ends; that does not end the lab."""
    loop = asyncio.get_running_loop()
    if source.isatty():
        # Reading without waiting is set for an opening of the terminal, and the one that we were
        # given may be what others print on.
        source = open(os.ttyname(source.fileno()))  # noqa: ASYNC230, PTH123, SIM115
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    try:
        say(PROMPT)
        while line := await reader.readline():
            say(answered(control, line.decode(errors="replace")) + PROMPT)
    finally:
        transport.close()


def answered(control: Control, line: str) -> str:
    """What the console says to a line, ended; an error is told, and nothing has changed."""
    try:
        answer = control.command(line)
    except ControlError as error:
        answer = f"not done: {error}"
    return f"{answer}\n" if answer else ""
