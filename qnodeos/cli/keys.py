"""`qnodeos keys`: the CURVE keys that nodes know each other by."""

from __future__ import annotations

import json as json_module
import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Make, show, change and revoke the keys of nodes.",
)

NodeFile = Annotated[Path, typer.Argument(metavar="NODE.toml", help="The node's configuration.")]
PeerName = Annotated[str, typer.Argument(metavar="PEER", help="A name of [wire.peers].")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The node's name.")],
    folder: Annotated[
        Path, typer.Option("--dir", help="Where to write NAME.key and NAME.key_secret.")
    ] = Path("keys"),
) -> None:
    """Make a pair of keys: NAME.key for the peers, NAME.key_secret for this node alone."""
    from qnodeos.keys import new_keys

    public, secret = new_keys(name, folder)
    typer.echo(f"{public}  public: copy it to every peer")
    typer.echo(f"{secret}  secret: keep it on this node")


@app.command("list")
def list_keys(
    node: NodeFile,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every key that the node uses or accepts: whose, fingerprint, age of its file, state."""
    from qnodeos.config import load_node
    from qnodeos.key_ring import fingerprint, old_file, peer_keys
    from qnodeos.keys import load_key_pair

    config = load_node(node)
    now_s = time.time()
    own = load_key_pair(config.wire.secret_key)
    lines = [(config.node.name, own.public, config.wire.secret_key, "this node's own")]
    seen: set[str] = set()
    for key in peer_keys(config.wire):
        file = config.wire.peers[key.peer].public_key
        state = "accepted"
        if key.revoked:
            state = "revoked"
        elif not key.accepted(now_s):
            state = "its overlap is over"
        elif key.until_s is not None:
            state = f"accepted for {(key.until_s - now_s) / 3600:.1f} h more"
        lines.append((key.peer, key.public, old_file(file) if key.peer in seen else file, state))
        seen.add(key.peer)
    told = [
        {
            "owner": owner,
            "fingerprint": fingerprint(public),
            "age_days": (now_s - file.stat().st_mtime) / 86400,
            "state": state,
            "file": str(file),
        }
        for owner, public, file, state in lines
    ]
    if json:
        typer.echo(json_module.dumps(told, indent=2))
        return
    for each in told:
        typer.echo(
            f"{each['owner']:<12} {each['fingerprint']}  {each['age_days']:7.1f} days  "
            f"{each['state']}  {each['file']}"
        )


@app.command()
def rotate(
    node: NodeFile,
    finish: Annotated[
        bool, typer.Option("--finish", help="All peers have accepted it: use the next key.")
    ] = False,
) -> None:
    """Make the node's next key, and once every peer has accepted it, use it."""
    from qnodeos.config import load_node
    from qnodeos.key_ring import fingerprint, prepare_next, use_next
    from qnodeos.keys import load_public_key

    config = load_node(node)
    if finish:
        public = use_next(config.wire)
        typer.echo(f"{config.node.name} has key {fingerprint(public)} from its next start")
        return
    file = prepare_next(config.wire)
    typer.echo(f"{file}  {fingerprint(load_public_key(file))}: copy it to every peer, who says")
    typer.echo(f"  qnodeos keys accept PEER.toml {config.node.name} {file.name}")
    typer.echo(f"then here: qnodeos keys rotate {node} --finish, and restart the node")


@app.command()
def accept(
    node: NodeFile,
    peer: PeerName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The peer's next public key.")],
    hours: Annotated[
        float,
        typer.Option("--hours", min=0, max=8760, help="How long the present key holds too."),
    ] = 48.0,
) -> None:
    """Take a peer's next key, and accept its present one for a while as well."""
    from qnodeos.config import load_node
    from qnodeos.key_ring import accept, fingerprint

    key = accept(load_node(node).wire, peer, file, overlap_s=3600 * hours, now_s=time.time())
    typer.echo(f"{peer}: {fingerprint(key.public)} from the next `qnodeos reload {node}`")


@app.command()
def revoke(node: NodeFile, peer: PeerName) -> None:
    """Accept none of the keys that a peer has here; a running node is told at once."""
    from qnodeos.cli.asking import ask
    from qnodeos.config import load_node
    from qnodeos.errors import UserError
    from qnodeos.key_ring import fingerprint, revoke

    for key in revoke(load_node(node).wire, peer):
        typer.echo(f"{peer}: {fingerprint(key.public)} is revoked")
    try:
        ask(node, "reload", quiet=True)
    except UserError as error:
        typer.echo(f"the node was not told, it holds from its next start or reload: {error}")
    else:
        typer.echo("the node holds to it from now on")
