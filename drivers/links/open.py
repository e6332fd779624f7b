"""From the words of a configuration to a link."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from drivers.links.base import Link, Transport
from drivers.links.memory import MemoryTransport, Registry
from drivers.links.serial import SerialSettings, SerialTransport
from drivers.links.tcp import TcpTransport

ACCEPTED = (
    "tcp://HOST:PORT, serial://PATH?baud=115200, TCPIP::HOST::PORT::SOCKET, ASRL/dev/PATH::INSTR "
    "or mem://NAME; for example tcp://192.168.1.20:1998 or serial:///dev/ttyACM0?baud=115200"
)

_TCP = re.compile(
    r"tcp://(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s/:?#\[\]]+)):(?P<port>\d+)/?"
)
_VISA_SOCKET = re.compile(r"TCPIP\d*::(?P<host>[^\s:]+)::(?P<port>\d+)::SOCKET", re.IGNORECASE)
_VISA_SERIAL = re.compile(r"ASRL(?P<path>/[^\s:]+)(?:::INSTR)?", re.IGNORECASE)
_MEMORY = re.compile(r"mem://(?P<name>[^\s/?#]+)")
_SERIAL = "serial://"

_YES_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def make_link(
    resource: str,
    *,
    owner: str,
    memory: Registry | None = None,
    serial: SerialSettings | None = None,
) -> Link:
    """A link, not yet open, to what `resource` names.

    `serial` holds the driver's own line parameters, which the resource may override. Raises
    ValueError with one sentence: what was found, what is accepted.
    """
    transport = _make_transport(resource, memory, serial or SerialSettings())
    return Link(
        transport, owner=owner, beside=lambda other: make_link(other, owner=owner, memory=memory)
    )


def scheme(resource: str) -> str:
    """Which kind of link a resource asks for: "tcp", "serial", "mem"; "" for none that we know."""
    upper = resource.upper()
    if upper.startswith("TCPIP") and upper.endswith("::SOCKET"):
        return "tcp"
    if upper.startswith("ASRL"):
        return "serial"
    name = resource.partition("://")[0]
    return name if name in ("tcp", "serial", "mem") else ""


def serial_path(resource: str) -> str:
    """The device file that a serial resource names; "" for another kind."""
    if found := _VISA_SERIAL.fullmatch(resource):
        return found["path"]
    if resource.startswith(_SERIAL):
        return resource.removeprefix(_SERIAL).partition("?")[0]
    return ""


def _make_transport(resource: str, memory: Registry | None, serial: SerialSettings) -> Transport:
    if found := _TCP.fullmatch(resource):
        host = found["v6"] or found["host"]
        return TcpTransport(host, _port(found["port"], resource), resource=resource)
    if found := _VISA_SOCKET.fullmatch(resource):
        return TcpTransport(found["host"], _port(found["port"], resource), resource=resource)
    if found := _VISA_SERIAL.fullmatch(resource):
        return SerialTransport(found["path"], serial, resource=resource)
    if resource.startswith(_SERIAL):
        path, _, query = resource.removeprefix(_SERIAL).partition("?")
        if not path:
            raise ValueError(f"resource '{resource}' names no port; accepted are {ACCEPTED}")
        return SerialTransport(path, _line(query, serial, resource), resource=resource)
    if found := _MEMORY.fullmatch(resource):
        if memory is None:
            raise ValueError(
                f"resource '{resource}' is of a simulated lab in the same process, "
                "and this program has none; use tcp:// or serial://"
            )
        return MemoryTransport(found["name"], memory)
    raise ValueError(f"resource '{resource}' is not understood; accepted are {ACCEPTED}")


def _port(text: str, resource: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError(f"resource '{resource}' has port {port}; a TCP port is 1 to 65535")
    return port


def _line(query: str, settings: SerialSettings, resource: str) -> SerialSettings:
    changes: dict[str, Any] = {}
    for item in query.split("&") if query else ():
        key, _, text = item.partition("=")
        parse, accepted = _LINE.get(key, (None, ""))
        if parse is None:
            raise ValueError(
                f"resource '{resource}' has the unknown entry '{key}'; a serial line takes "
                f"{', '.join(_LINE)}, for example serial:///dev/ttyUSB0?baud=9600&parity=E"
            )
        try:
            changes[key] = parse(text)
        except (KeyError, ValueError):
            raise ValueError(
                f"resource '{resource}' has {key}={text or '(nothing)'}; accepted is {accepted}"
            ) from None
    return replace(settings, **changes)


def _one_of(*accepted: str) -> Callable[[str], str]:
    return lambda text: {word: word for word in accepted}[text.upper()]


def _baud(text: str) -> int:
    baud = int(text)
    if baud <= 0:
        raise ValueError
    return baud


_LINE: dict[str, tuple[Callable[[str], Any], str]] = {
    "baud": (_baud, "a baud rate such as 9600 or 115200"),
    "data_bits": (lambda text: cast(Any, {5: 5, 6: 6, 7: 7, 8: 8}[int(text)]), "5, 6, 7 or 8"),
    "parity": (_one_of("N", "E", "O"), "N, E or O"),
    "stop_bits": (lambda text: cast(Any, {1: 1, 2: 2}[int(text)]), "1 or 2"),
    "rtscts": (lambda text: _YES_NO[text.lower()], "true or false"),
    "xonxoff": (lambda text: _YES_NO[text.lower()], "true or false"),
}
