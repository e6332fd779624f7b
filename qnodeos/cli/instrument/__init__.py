"""`qnodeos instrument`: find, ask, watch and record instruments, with or without a node's file.

A target is either the name of an instrument in a node's file (`pump --node alice.toml`) or a
resource with its driver (`tcp://192.0.2.7:1998 --driver toptica.dlcpro`).
"""

from __future__ import annotations

import typer

from qnodeos.cli.instrument import acknowledging, acting, doctor, finding, new, recording

app = typer.Typer(
    no_args_is_help=True, help="Find, ask, watch and record instruments; make drivers."
)
app.command(name="list")(finding.list_drivers)
app.command()(finding.scan)
app.command()(finding.identify)
app.command()(finding.show)
app.command()(acting.call)
app.command()(acting.query)
app.command()(acting.watch)
app.command()(recording.record)
app.command()(recording.replay)
app.command()(acknowledging.acknowledge)
app.command(name="doctor")(doctor.doctor)
app.command(name="new")(new.new)
