"""A small MQTT broker inside the program, for the demo and for tests: loopback only, anonymous."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from qnodeos.errors import UserError

_STOP_S = 5.0


@asynccontextmanager
async def embedded_broker(host: str = "127.0.0.1", port: int = 7183) -> AsyncIterator[str]:
    """Serve MQTT while inside; gives its URL. Raises UserError when it cannot be served."""
    if not _is_loopback(host):
        raise UserError(
            "the embedded broker serves this machine only",
            found=f"'{host}'",
            expected="a loopback address such as 127.0.0.1",
            do="for other machines run a real broker, such as mosquitto, with passwords and TLS",
        )
    with warnings.catch_warnings():
        # amqtt warns of its own deprecated defaults, which an operator can do nothing about.
        warnings.simplefilter("ignore")
        broker = _broker(host, port)
        await _start(broker, host, port)
    try:
        yield f"mqtt://{host}:{port}"
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            async with asyncio.timeout(_STOP_S):
                await broker.shutdown()


def _broker(host: str, port: int):  # type: ignore[no-untyped-def]  # amqtt is optional
    try:
        from amqtt.broker import Broker
    except ModuleNotFoundError as error:
        raise UserError(
            "the embedded MQTT broker is not installed",
            found=f"no package '{error.name}'",
            expected="the extra 'demo' of qnodeos",
            do="pip install 'qnodeos[demo]', or point bus.url at a real broker",
        ) from None
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )


async def _start(broker, host: str, port: int) -> None:  # type: ignore[no-untyped-def]
    from amqtt.errors import BrokerError

    try:
        await broker.start()
    except BrokerError as error:
        cause = error.__cause__
        in_use = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
        raise UserError(
            "the port of the MQTT broker is in use" if in_use else "the MQTT broker cannot start",
            found=f"another program at {host}:{port}" if in_use else f"{cause or error}",
            expected="a free port",
            do=f"stop it (ss -ltnp 'sport = :{port}' names it), use it as bus.url if it is an "
            "MQTT broker, or choose another port",
        ) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
