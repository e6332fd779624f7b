"""`qnodeos init`: asks, finds the instruments, and writes a node's file and its keys."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qnodeos.errors import UserError

if TYPE_CHECKING:
    from qnodeos.checking.draft import Draft, DraftInstrument


def init(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="What to write; by default NAME.toml.")
    ] = None,
    name: Annotated[str, typer.Option(help="The node's name, as alice.")] = "",
    number: Annotated[
        int, typer.Option("--id", min=0, max=65535, help="Its number in the network.")
    ] = 0,
    listen: Annotated[str, typer.Option(help="Where other nodes reach it.")] = "",
    bus: Annotated[str, typer.Option(help="The MQTT broker's URL.")] = "",
    data_dir: Annotated[
        str, typer.Option(help="For journal and records; default: data/NAME beside the file.")
    ] = "",
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ID@tcp://HOST:PORT", help="Another node; repeatable."),
    ] = None,
    instrument: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=[DRIVER@]RESOURCE",
            help="An instrument; without DRIVER it is asked who it is; repeatable.",
        ),
    ] = None,
    link: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]KIND:NODE[:NODE]",
            help="photonic:PEER, memory:PEER:STATION or midpoint:END:END; repeatable.",
        ),
    ] = None,
    find: Annotated[
        bool, typer.Option(help="Ask at serial ports and VISA resources who is there.")
    ] = False,
    host: Annotated[
        list[str] | None,
        typer.Option(help="Ask at the drivers' TCP ports of this host; repeatable."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take defaults.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a node's file that `qnodeos check` understands, and its keys if it has none.

    Asks for what is not told, unless --yes is given or standard input is no terminal. Nothing that
    exists is overwritten.
    """
    from qnodeos.checking.draft import DEFAULT_BUS, DEFAULT_LISTEN, Draft
    from qnodeos.cli import init_asking
    from qnodeos.cli.init_words import link_of, peer_of

    asks = not yes and sys.stdin.isatty()
    if not name and not asks:
        do = "give one, `qnodeos init --name alice`, or answer questions on a terminal"
        raise UserError("the node has no name", do=do)
    peers = [peer_of(text) for text in peer or ()]
    instruments = _instruments(instrument or [], host or [], find)
    if asks:
        name = name or init_asking.ask_text("This node's name (small letters)")
        number = number or int(init_asking.ask_text("Its number in the network", "1"))
        listen = listen or init_asking.ask_text("Where other nodes reach it", DEFAULT_LISTEN)
        bus = bus or init_asking.ask_text("MQTT broker", DEFAULT_BUS)
        instruments = init_asking.ask_instruments(instruments)
        peers = init_asking.ask_peers(peers)
    links = [link_of(text, peers, instruments) for text in link or ()]
    if asks:
        links = init_asking.ask_links(peers, instruments, links)
    draft = Draft(
        name,
        number or 1,
        listen or DEFAULT_LISTEN,
        bus or DEFAULT_BUS,
        data_dir=data_dir,
        peers=tuple(peers),
        instruments=tuple(instruments),
        links=tuple(links),
    )
    _write(draft, (file or Path(f"{name}.toml")).expanduser().absolute(), json)


def _instruments(told: list[str], hosts: list[str], find: bool) -> list[DraftInstrument]:
    from qnodeos.cli.finding_instruments import found_instruments
    from qnodeos.cli.init_asking import told_instrument

    instruments: list[DraftInstrument] = []
    for text in told:
        instruments.append(told_instrument(text, {each.name for each in instruments}))
    if find or hosts:
        found, _ = asyncio.run(found_instruments(hosts, here=find))
        known = {each.resource for each in instruments}
        instruments += [each for each in found if each.resource not in known]
    return instruments


def _write(draft: Draft, file: Path, json: bool) -> None:
    from qnodeos.checking.draft import node_file
    from qnodeos.config import load_node
    from qnodeos.keys import new_keys

    text = node_file(draft)
    fresh = file.with_name(f".{file.name}.new")
    try:
        if file.exists():
            raise FileExistsError
        fresh.write_text(text, encoding="utf-8")
        load_node(fresh)
        fresh.replace(file)
    except FileExistsError:
        do = "give another name, or move it away"
        raise UserError("the file is there already", where=str(file), do=do) from None
    except OSError as error:
        do = "give another place"
        raise UserError("it cannot be written", where=str(file), found=str(error), do=do) from None
    except UserError as error:
        where = error.where.replace(str(fresh), str(file))
        raise UserError(
            f"the file would not be understood: {error.what}",
            where=where,
            found=error.found,
            expected=error.expected,
            do="nothing was written; give other words",
        ) from None
    finally:
        fresh.unlink(missing_ok=True)
    keys = file.parent / "keys"
    if not (keys / f"{draft.name}.key_secret").exists():
        new_keys(draft.name, keys)
    wanted = [keys / f"{peer.name}.key" for peer in draft.peers]
    missing = [str(key) for key in wanted if not key.exists()]
    if json:
        public = str(keys / f"{draft.name}.key")
        document = {"file": str(file), "public_key": public, "missing_keys": missing}
        typer.echo(json_module.dumps(document, indent=2))
        return
    typer.echo(f"{file}  the node, with {_count(draft)}")
    typer.echo(f"{keys / draft.name}.key  public key: copy it into keys/ of every other node")
    for key in missing:
        typer.echo(f"{key}  is missing: copy it here from that node")
    typer.echo(f"next: qnodeos check {file.name}, then qnodeos run {file.name}")


def _count(draft: Draft) -> str:
    things = {"instrument": draft.instruments, "peer": draft.peers, "link": draft.links}
    return ", ".join(f"{len(t)} {word}{'' if len(t) == 1 else 's'}" for word, t in things.items())
