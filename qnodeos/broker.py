"""A small MQTT broker inside the program, for the demo and for tests: loopback only, anonymous."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from qnodeos.errors import UserError

log = logging.getLogger("qnodeos.broker")

_STOP_S = 3.0
_LISTENER = "default"

Serving = Coroutine[Any, Any, None]


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
        broker, serve = _broker()
        await broker.start()
    # We listen ourselves: amqtt's own listener keeps admitting clients while it shuts down, and
    # then may wait for them without end.
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        connections[task] = writer
        task.add_done_callback(lambda done: _ended(done, connections))

    try:
        server = await asyncio.start_server(accept, host, port)
    except OSError as error:
        await _shut_down(broker, connections)
        raise _cannot_listen(host, port, error) from None
    try:
        yield f"mqtt://{host}:{port}"
    finally:
        server.close()
        await _shut_down(broker, connections)


def _broker() -> tuple[Any, Callable[[asyncio.StreamReader, asyncio.StreamWriter], Serving]]:
    """A broker without a listener, and what serves one connection."""
    try:
        from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
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
    broker = Broker(
        {
            "listeners": {_LISTENER: {"type": "external"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await broker.external_connected(
            StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER
        )

    return broker, serve


def _ended(task: asyncio.Task[None], connections: dict[asyncio.Task[None], Any]) -> None:
    writer = connections.pop(task)
    writer.transport.abort()
    if not task.cancelled() and (problem := task.exception()) is not None:
        log.info("a connection ended badly: %r", problem)


async def _shut_down(broker: Any, connections: dict[asyncio.Task[None], Any]) -> None:
    for writer in connections.values():
        writer.transport.abort()
    if connections:
        _, slow = await asyncio.wait(connections, timeout=_STOP_S)
        for task in slow:
            task.cancel()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            async with asyncio.timeout(_STOP_S):
                await broker.shutdown()
    except TimeoutError:
        log.warning("the embedded broker did not shut down within %g s", _STOP_S)


def _cannot_listen(host: str, port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            "the port of the MQTT broker is in use",
            found=f"another program at {host}:{port}",
            expected="a free port",
            do=f"stop it (ss -ltnp 'sport = :{port}' names it), use it as bus.url if it is an "
            "MQTT broker, or choose another port",
        )
    return UserError(
        "the MQTT broker cannot listen there",
        found=f"{host}:{port}: {error.strerror or error}",
        expected="a free port above 1023 on a loopback address of this machine",
        do="choose another address",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
