"""Which instrument a command is about, and how trouble with it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qnodeos.errors import UserError

if TYPE_CHECKING:
    from drivers.devices import Identity, Instrument

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET", help="An instrument's name with --node, or a resource with --driver."
    ),
]
NodeOption = Annotated[
    Path | None, typer.Option("--node", metavar="FILE", help="The node's TOML file.")
]
DriverOption = Annotated[
    str | None, typer.Option("--driver", metavar="NAME", help="The driver, see `list`.")
]
OptionOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the driver; VALUE is JSON."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@dataclass(frozen=True)
class Target:
    """One instrument: where it is and what drives it. `name` is what messages call it."""

    name: str
    driver: str
    resource: str
    options: dict[str, Any] = field(default_factory=dict)
    serial: str = ""

    def make(self) -> Instrument:
        """A driver on a link that is not open yet. Raises UserError."""
        from drivers.plugin import make_instrument

        try:
            return make_instrument(
                driver_class(self.driver),
                self.resource,
                owner=f"{self.name} ({self.driver})",
                options=self.options,
            )
        except ValueError as error:
            raise UserError("this instrument cannot be reached as told", do=str(error)) from error


def find_target(
    target: str, node: Path | None, driver: str | None, options: list[str] | None = None
) -> Target:
    """What a command line means. Raises UserError."""
    if node is None:
        if driver is None:
            raise UserError(
                "it is not said which instrument this is about",
                found=f"'{target}'",
                do="give a resource and --driver NAME, or an instrument's name and --node FILE",
            )
        return Target(target, driver, target, dict(map(_option, options or ())))
    from qnodeos.config import load_node

    config = load_node(node)
    table = config.instruments.get(target)
    if table is None:
        raise UserError(
            "there is no such instrument",
            where=f"{config.path}: instruments",
            found=f"'{target}'",
            expected=f"one of {', '.join(config.instruments) or 'none is there'}",
            do="correct the name",
        )
    given = {**table.options, **dict(map(_option, options or ()))}
    return Target(
        f"{config.node.name}/{target}", driver or table.driver, table.resource, given, table.serial
    )


def driver_class(name: str) -> type[Instrument]:
    """A driver by its name. Raises UserError."""
    from drivers.plugin import UnknownDriver, load_driver

    try:
        return load_driver(name)
    except UnknownDriver as error:
        raise UserError(
            "there is no such driver",
            found=f"'{error.name}'",
            expected=f"one of {', '.join(error.known) or 'none is installed'}",
            do="correct the name, or install the package that offers it",
        ) from error
    except ImportError as error:
        raise UserError(
            f"the driver '{name}' cannot be loaded", found=str(error), do="install what is missing"
        ) from error


@contextmanager
def told_as_user_errors(what: str) -> Iterator[None]:
    """Trouble with the instrument becomes one message and exit status 2."""
    from drivers.errors import InstrumentProblem, ProtocolError, Refused

    try:
        yield
    except InstrumentProblem as problem:
        helps = "check that it is on and connected; `qnodeos instrument doctor` looks closer"
        if isinstance(problem, Refused):
            helps = "give another value"
            if "arming lease" in problem.reason:
                helps = "--arm holds a lease, with a guard, until you press Ctrl-C"
        elif isinstance(problem, ProtocolError):
            helps = "is this the right driver? `qnodeos instrument identify` asks who it is"
        raise UserError(what, where=problem.owner, found=str(problem), do=helps) from problem


@asynccontextmanager
async def connected(
    target: Target, command: str, instrument: Instrument | None = None
) -> AsyncIterator[tuple[Instrument, Identity]]:
    """The claimed, connected and recognised instrument and who it says it is; closed at the end."""
    from drivers.claims import Claims
    from drivers.errors import NotConnected
    from drivers.plugin import wrong_box

    instrument = instrument or target.make()
    claim = Claims().take(target.resource, f"qnodeos instrument {command}")
    try:
        await instrument.link.open()
        identity = await instrument.connect()
        wrong = wrong_box(instrument.manifest, identity, target.serial or None)
        if wrong:
            raise NotConnected(wrong, owner=target.name, resource=target.resource)
        yield instrument, identity
    finally:
        await instrument.disconnect()
        await instrument.link.close()
        if claim is not None:
            claim.release()


def value_of(text: str) -> Any:
    """An argument: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def print_json(value: Any) -> None:
    """One JSON document, dataclasses and numpy scalars included."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """What JSON can hold: dataclasses become tables, keys become text."""
    from dataclasses import asdict, is_dataclass

    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value


def _key(key: Any) -> str:
    return ",".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError("an option has no value", found=f"'{text}'", expected="KEY=VALUE")
    return key, value_of(value)
