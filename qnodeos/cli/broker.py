"""`qnodeos broker`: a small MQTT broker for trying things out on one machine."""

from __future__ import annotations

from typing import Annotated

import typer


def broker(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="A loopback address and a port.")
    ] = "127.0.0.1:7183",
) -> None:
    """Serve MQTT on this machine until Ctrl-C or SIGTERM: loopback only, without passwords."""
    import asyncio

    from qnodeos.errors import UserError

    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UserError(
            "the address to listen at cannot be used",
            where="--listen",
            found=f"'{listen}'",
            expected="HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:7183",
            do="correct the option",
        )
    asyncio.run(_serve(host, int(port)))


async def _serve(host: str, port: int) -> None:
    import asyncio
    import signal

    from qnodeos.broker import embedded_broker

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with embedded_broker(host, port) as url:
        typer.echo(f"serving {url}")
        await stop.wait()
