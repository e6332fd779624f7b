"""`qnodeos config`: check a node's file, and the JSON schema of such files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from qnodeos.config import NodeConfig

app = typer.Typer(no_args_is_help=True, help="Check a node's configuration.")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The node's TOML file.")],
) -> None:
    """Say what was understood, or what is wrong and where."""
    from rich.console import Console

    from qnodeos.config import load_node

    config = load_node(file)
    console = Console()
    console.print(f"{config.path}: node '{config.node.name}' (id {config.node.id})", markup=False)
    for table in _tables(config):
        if table.row_count:
            console.print(table)
    for remark in _remarks(config):
        console.print(f"note: {remark}", markup=False, style="yellow")


@app.command()
def schema() -> None:
    """Print the JSON schema of a node's file, for editors."""
    import json

    from qnodeos.config import schema as node_schema

    typer.echo(json.dumps(node_schema(), indent=2))


def _tables(config: NodeConfig) -> list[Table]:
    from qnodeos.config.places import without_password

    network = _table("network", "", "address", "key")
    network.add_row("listens", config.wire.listen, str(config.wire.secret_key))
    for name, peer in config.wire.peers.items():
        network.add_row(f"peer {name} ({peer.id})", peer.address, str(peer.public_key))
    network.add_row("bus", without_password(config.bus.url), "")
    instruments = _table("instruments", "name", "driver", "resource", "serial", "armed")
    for name, instrument in config.instruments.items():
        instruments.add_row(
            name,
            instrument.driver,
            instrument.resource,
            instrument.serial,
            "yes" if instrument.arm else "",
        )
    links = _table("links", "name", "kind", "with")
    for name, link in config.links.items():
        far = " and ".join(link.ends) if link.kind == "midpoint" else link.peer
        links.add_row(name, link.kind, far)
    applications = _table("applications", "name", "role", "link")
    for name in type(config.applications).model_fields:
        application = getattr(config.applications, name)
        if application is not None:
            applications.add_row(name, application.role, application.link)
    return [network, instruments, links, applications]


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _remarks(config: NodeConfig) -> list[str]:
    """What the file is right about but the machine is not ready for."""
    from qnodeos.errors import UserError
    from qnodeos.keys import load_key_pair, load_public_key

    remarks = []
    try:
        load_key_pair(config.wire.secret_key)
    except UserError as error:
        remarks.append(str(error))
    for peer in config.wire.peers.values():
        try:
            load_public_key(peer.public_key)
        except UserError as error:
            remarks.append(str(error))
    return remarks
