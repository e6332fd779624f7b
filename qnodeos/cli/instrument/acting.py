"""`call`, `query` and `watch`: use one instrument by hand."""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qnodeos.cli.instrument.finding import print_table
from qnodeos.cli.instrument.target import (
    DriverOption,
    JsonOption,
    NodeOption,
    OptionOption,
    Target,
    TargetArgument,
    connected,
    find_target,
    plain,
    print_json,
    told_as_user_errors,
    value_of,
)
from qnodeos.errors import UserError

if TYPE_CHECKING:
    from drivers.devices import Instrument
    from drivers.status import InstrumentStatus

YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Yes, this may change what the instrument does.")
]


def call(
    target: TargetArgument,
    method: Annotated[str, typer.Argument(help="A method of the driver, see `show`.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Its arguments; JSON, or plain text.")
    ] = None,
    node: NodeOption = None,
    driver: DriverOption = None,
    option: OptionOption = None,
    yes: YesOption = False,
    arm: Annotated[
        bool,
        typer.Option(help="Hold an arming lease with a guard; ends dark, at Ctrl-C or --seconds."),
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.0, help="With --arm: how long to stay before going dark.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Call one method and print what it returns. What is not read-only needs --yes."""
    wanted = find_target(target, node, driver, option)
    instrument = wanted.make()
    values = [value_of(text) for text in arguments or ()]
    _check_call(instrument, method, values, yes)
    if arm and not instrument.manifest.emits:
        raise UserError(
            "--arm is of no use here",
            found=f"{wanted.driver} does not emit anything",
            do="leave it out",
        )
    with told_as_user_errors(f"{method} did not work"):
        if arm:
            from qnodeos.cli.instrument.arming import call_armed

            asyncio.run(
                call_armed(wanted, method, values, seconds, lambda r: _print(method, r, as_json))
            )
        else:
            _print(method, asyncio.run(_call(wanted, instrument, method, values)), as_json)


def query(
    target: TargetArgument,
    text: Annotated[
        str, typer.Argument(help=r"What to send; \n, \r, \x17 as in Python. The end is added.")
    ],
    node: NodeOption = None,
    driver: DriverOption = None,
    option: OptionOption = None,
    yes: YesOption = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.01, help="Seconds.")] = 2.0,
    silent: Annotated[bool, typer.Option(help="Send only; no answer is expected.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send raw bytes, framed as the driver does, and show the raw answer. Needs --yes.

    No range is checked and no lease is asked for: what is sent is what the instrument does.
    """
    wanted = find_target(target, node, driver, option)
    instrument = wanted.make()
    if instrument.manifest.asking is None:
        raise UserError(
            "this instrument cannot be asked by hand",
            found=f"{wanted.driver} does not speak in plain messages",
            do="use `call` with one of its methods",
        )
    if not yes:
        raise UserError(
            "a raw query may do anything the instrument can do",
            found=f"{text!r}",
            do="add --yes if that is what you want",
        )
    data = _unescaped(text)
    with told_as_user_errors("the query did not work"):
        raw = asyncio.run(_query(wanted, instrument, data, timeout_s, silent))
    if as_json:
        print_json({"sent": data + instrument.manifest.asking.end, "received": raw})
    elif raw is not None:
        typer.echo(raw.decode("latin-1").encode("unicode_escape").decode())


def watch(
    target: TargetArgument,
    node: NodeOption = None,
    driver: DriverOption = None,
    option: OptionOption = None,
    interval_s: Annotated[float, typer.Option("--interval", min=0.05, help="Seconds.")] = 1.0,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many; default at Ctrl-C.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show state and readings as they come; nothing is set, and a lost instrument is found again.

    Connecting may bring an instrument out of what an earlier program left running.
    """
    wanted = find_target(target, node, driver, option)
    wanted.make()
    asyncio.run(_watch(wanted, interval_s, count, as_json))


def _check_call(instrument: Instrument, method: str, values: list[Any], yes: bool) -> None:
    """Raise UserError for what cannot be called, or not like this."""
    names = [
        name
        for name, _ in inspect.getmembers(type(instrument), inspect.iscoroutinefunction)
        if not name.startswith("_") and name not in ("connect", "disconnect")
    ]
    if method not in names:
        raise UserError(
            "this driver has no such method",
            found=f"'{method}'",
            expected=f"one of {', '.join(names)}",
            do="correct the name; `qnodeos instrument show` explains them",
        )
    signature = inspect.signature(getattr(instrument, method))
    try:
        signature.bind(*values)
    except TypeError as error:
        raise UserError(
            "the arguments do not fit",
            found=str(error),
            expected=f"{method}{signature}",
            do='give each argument as JSON, as 12.5, true, "Z", [1, 2]',
        ) from error
    if method not in instrument.manifest.read_only and not yes:
        raise UserError(
            f"{method} may change what the instrument does",
            do="add --yes if that is what you want; without it only these are called: "
            + ", ".join(instrument.manifest.read_only),
        )


async def _call(target: Target, instrument: Instrument, method: str, values: list[Any]) -> Any:
    async with connected(target, "call", instrument):
        return await getattr(instrument, method)(*values)


async def _query(
    target: Target, instrument: Instrument, data: bytes, timeout_s: float, silent: bool
) -> bytes | None:
    asking = instrument.manifest.asking
    assert asking is not None
    async with connected(target, "query", instrument):
        if silent:
            await instrument.link.send(data + asking.end, timeout_s=timeout_s)
            return None
        return await instrument.link.exchange(
            data + asking.end, asking.framing, timeout_s=timeout_s
        )


async def _watch(target: Target, interval_s: float, count: int | None, as_json: bool) -> None:
    import random
    import sys
    from datetime import UTC, datetime

    from drivers.claims import Claims
    from drivers.supervisor import Supervisor

    news: asyncio.Queue[InstrumentStatus] = asyncio.Queue(1)

    def heard(status: InstrumentStatus) -> None:
        if news.full():
            news.get_nowait()
        news.put_nowait(status)

    supervisor = Supervisor(
        target.name,
        target.make,
        rng=random.Random(),
        expected_serial=target.serial or None,
        on_status=heard,
        ping_interval_s=interval_s,
        driver=target.driver,
        claim=lambda: Claims().take(target.resource, "qnodeos instrument watch"),
        read_only=True,
    )
    life = asyncio.create_task(supervisor.run())
    shown = 0
    try:
        while count is None or shown < count:
            status = await news.get()
            if status.state == "online" and not status.readings:
                continue
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            row = {"time": now, "state": status.state, "reason": status.reason}
            if as_json:
                print(json.dumps({**row, "readings": plain(dict(status.readings))}), flush=True)
            else:
                values = "  ".join(f"{key} {_short(v)}" for key, v in status.readings.items())
                typer.echo(f"{now}  {status.state}  {status.reason or values}")
            shown += 1
            sys.stdout.flush()
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)


def _print(method: str, result: Any, as_json: bool) -> None:
    if as_json:
        print_json({method: result})
    elif isinstance(result, dict):
        print_table(("", ""), [(key, _short(value)) for key, value in result.items()])
    elif result is not None:
        typer.echo(_short(result))


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _unescaped(text: str) -> bytes:
    try:
        return text.encode("latin-1").decode("unicode_escape").encode("latin-1")
    except UnicodeError as error:
        raise UserError(
            "the text cannot be sent",
            found=f"{text!r}",
            expected="plain text with escapes as \\n or \\x17",
        ) from error
