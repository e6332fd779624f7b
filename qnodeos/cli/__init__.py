"""The `qnodeos` command. Its modules import what is heavy when they run: help stays quick."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from qnodeos.cli import app as app_command
from qnodeos.cli import config, instrument, keys, link, sim_presets, tags
from qnodeos.cli.broker import broker
from qnodeos.cli.check import check
from qnodeos.cli.dashboard import dashboard
from qnodeos.cli.demo import demo
from qnodeos.cli.doctor import doctor
from qnodeos.cli.init import init
from qnodeos.cli.journal import journal
from qnodeos.cli.rehearse import rehearse
from qnodeos.cli.reload import reload
from qnodeos.cli.report import report
from qnodeos.cli.run import run
from qnodeos.cli.status import status
from qnodeos.cli.top import top
from qnodeos.cli.why import why
from qnodeos.errors import UserError, first_of
from timing.timeouts import mend

mend()

INTERRUPTED = 130

app = typer.Typer(
    name="qnodeos",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The node operating system of a quantum network.",
)
app.command()(init)
app.command()(check)
app.command()(doctor)
app.command()(run)
app.command()(demo)
app.command()(rehearse)
app.command()(broker)
app.command()(status)
app.command()(top)
app.command()(why)
app.command()(journal)
app.command()(dashboard)
app.command()(reload)
app.command()(report)
app.add_typer(sim_presets.app, name="sim")
app.add_typer(instrument.app, name="instrument")
app.add_typer(tags.app, name="tags")
app.add_typer(link.app, name="link")
app.add_typer(app_command.app, name="app")
app.add_typer(keys.app, name="keys")
app.add_typer(config.app, name="config")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qnodeos {version('qnodeos')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """The node operating system of a quantum network."""


def main() -> None:
    """Run the command; ends the process with its exit status.

    A mistake of the user gives one message and 2, an interruption 130. A fault of the program gives
    one message and 1; QNODEOS_TRACE=1 shows the traceback of each.
    """
    sys.exit(_status())


def _status() -> int:
    trace = os.environ.get("QNODEOS_TRACE") == "1"
    try:
        app()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as problem:
        if trace:
            raise
        error = first_of(problem)
        if isinstance(error, UserError):
            _say(str(error))
            return error.exit_status
        _say(
            f"{type(error).__name__}: {error}\n"
            "  this is a fault of qnodeos, not of yours; QNODEOS_TRACE=1 shows where it arose"
        )
        return 1
    return 0


def _say(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    first, _, rest = message.partition("\n")
    text = Text.assemble(("qnodeos: ", "bold red"), (first, "bold"))
    if rest:
        text.append("\n" + rest)
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)
