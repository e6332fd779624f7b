"""The questions of `qnodeos init`, for a person at a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

import typer

from qnodeos.checking.draft import DraftInstrument, DraftLink, DraftPeer
from qnodeos.cli.finding_instruments import found_instruments, instrument_at
from qnodeos.cli.init_words import INSTRUMENT, LINK, PEER, instrument_words, link_of, peer_of
from qnodeos.errors import UserError

Made = TypeVar("Made")


def ask_text(question: str, default: str = "") -> str:
    """A line of text; Enter takes the default."""
    return str(typer.prompt(question, default=default, show_default=bool(default))).strip()


def ask_instruments(there: list[DraftInstrument]) -> list[DraftInstrument]:
    """Those that were told, and those that are found and wanted."""
    instruments = list(there)
    here = typer.confirm(
        "Look at the serial ports and VISA resources of this computer, asking who is there?",
        default=True,
    )
    hosts = ask_text("Hosts with instruments on the network, separated by spaces (Enter: none)")
    if here or hosts:
        found, silent = asyncio.run(found_instruments(hosts.split(), here=here))
        for each in found:
            if typer.confirm(
                f"{each.said} at {each.resource} ({each.driver}): use it?", default=True
            ):
                instruments.append(each)
        for resource in silent:
            typer.echo(f"nobody whom a driver knows at {resource}")
        if not found:
            typer.echo("no instrument was found")
    return instruments + _many(
        f"Another instrument, as {INSTRUMENT} (Enter: none)",
        lambda text: told_instrument(text, {each.name for each in instruments}),
    )


def told_instrument(text: str, taken: set[str]) -> DraftInstrument:
    """An instrument in words; without a driver it is asked. Raises UserError."""
    name, driver, resource = instrument_words(text)
    return asyncio.run(instrument_at(resource, name, taken, driver))


def ask_peers(there: Iterable[DraftPeer]) -> list[DraftPeer]:
    """Those that were told, and more."""
    return [*there, *_many(f"Another node, as {PEER} (Enter: no more)", peer_of)]


def ask_links(
    peers: list[DraftPeer], instruments: list[DraftInstrument], there: Iterable[DraftLink]
) -> list[DraftLink]:
    """Those that were told, and more, where there is somebody to link with."""
    if not peers:
        return list(there)
    question = f"A link, as {LINK} (Enter: no more)"
    return [*there, *_many(question, lambda text: link_of(text, peers, instruments))]


def _many(question: str, make: Callable[[str], Made]) -> list[Made]:
    made: list[Made] = []
    while text := ask_text(question):
        try:
            made.append(make(text))
        except UserError as error:
            typer.echo(str(error), err=True)
    return made
