"""`qnodeos dashboard`: the network in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def dashboard(
    nodes: Annotated[
        list[Path], typer.Argument(help="The nodes' TOML files, or folders that have them.")
    ],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it is served.")] = 8321,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 to let others look; who does needs no password.")
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="Allow control to who has the token in this file (made where there is none)."
        ),
    ] = None,
    lab: Annotated[
        str | None,
        typer.Option(
            help="A simulated lab that takes changes: its lab file, or the URL of its control with "
            "the token in QNODEOS_SIM_TOKEN; default: lab.toml beside the nodes' files."
        ),
    ] = None,
) -> None:
    """Show nodes and links in a browser; read-only without --token-file.

    Nodes on this computer are asked over their local sockets, the others heard over their broker.
    """
    import os

    from qnodeos.errors import UserError

    try:
        from qnodeos.dashboard.control import read_token
        from qnodeos.dashboard.places import find_lab, find_places
        from qnodeos.dashboard.server import Serving, serve
    except ModuleNotFoundError as error:
        raise UserError(
            "the dashboard needs more than the base installation",
            found=f"no package '{error.name}'",
            expected="the extra 'dashboard' of qnodeos",
            do="pip install 'qnodeos[dashboard]'",
        ) from error

    places = find_places(nodes)
    token = "" if token_file is None else read_token(token_file)
    state_file = next(iter(places.nodes.values())).data_dir / "dashboard.json"
    sim_token = os.environ.get("QNODEOS_SIM_TOKEN", "")
    serve(places, Serving(host, port, token, state_file, find_lab(places, lab, sim_token)))
