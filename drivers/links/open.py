"""From the words of a configuration to a link."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from drivers.links.base import Link, Transport
from drivers.links.file import FileTransport
from drivers.links.http import HttpTransport
from drivers.links.memory import MemoryTransport, Registry
from drivers.links.serial import SerialSettings, SerialTransport
from drivers.links.snmp import PORT as SNMP_PORT
from drivers.links.snmp import SnmpTransport
from drivers.links.tcp import TcpTransport
from drivers.links.vendor import VendorTransport
from drivers.links.visa import VisaTransport
from drivers.links.ws import WebSocketTransport

ACCEPTED = (
    "tcp://HOST:PORT, serial://PATH?baud=115200, zmq://HOST:PORT, zmq+pair://HOST:PORT, "
    "http://HOST:PORT/PATH, ws://HOST:PORT/PATH, snmp://HOST?community=public, "
    "TCPIP::HOST::PORT::SOCKET, ASRL/dev/PATH::INSTR, any other VISA name such as "
    "USB0::0x1313::0x8078::P0001::INSTR, visa://NAME, vendor://SERIAL, file://PATH, or mem://NAME; "
    "for example tcp://192.168.1.20:1998 or serial:///dev/ttyACM0?baud=115200"
)

SCHEMES = ("tcp", "serial", "zmq", "http", "ws", "snmp", "visa", "vendor", "file", "mem")
"""The kinds of link, as a manifest names them."""

_NETWORK = re.compile(
    r"(?P<scheme>tcp|zmq|zmq\+pair|http|ws|snmp)://"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s/:?#\[\]]+))(?::(?P<port>\d+))?"
    r"(?P<path>/[^\s?#]*)?(?:\?community=(?P<community>[^\s&#]+))?"
)
_VISA = re.compile(r"(?:visa://(?P<any>\S+)|(?P<name>(?:USB|GPIB|TCPIP)\d*::\S+))", re.IGNORECASE)
_VISA_SOCKET = re.compile(r"TCPIP\d*::(?P<host>[^\s:]+)::(?P<port>\d+)::SOCKET", re.IGNORECASE)
_VISA_SERIAL = re.compile(r"ASRL(?P<path>/[^\s:]+)(?:::INSTR)?", re.IGNORECASE)
_VENDOR = re.compile(r"vendor://(?P<name>[^\s/?#]+)")
_MEMORY = re.compile(r"mem://(?P<name>[^\s/?#]+)")
_SERIAL = "serial://"
_FILE = "file://"

_YES_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def make_link(
    resource: str,
    *,
    owner: str,
    memory: Registry | None = None,
    serial: SerialSettings | None = None,
    path: str = "/",
) -> Link:
    """A link, not yet open, to what `resource` names.

    `serial` holds the driver's own line parameters and `path` its path on a web server, which the
    resource may override. Raises ValueError with one sentence: what was found, what is accepted.
    """
    transport = _make_transport(resource, memory, serial or SerialSettings(), path)
    return Link(
        transport, owner=owner, beside=lambda other: make_link(other, owner=owner, memory=memory)
    )


def scheme(resource: str) -> str:
    """Which kind of link a resource asks for, one of `SCHEMES`; "" for none that we know."""
    upper = resource.upper()
    if upper.startswith("TCPIP") and upper.endswith("::SOCKET"):
        return "tcp"
    if upper.startswith("ASRL"):
        return "serial"
    if _VISA.fullmatch(resource):
        return "visa"
    name = resource.partition("://")[0].partition("+")[0]
    return name if name in SCHEMES else ""


def serial_path(resource: str) -> str:
    """The device file that a serial resource names; "" for another kind."""
    if found := _VISA_SERIAL.fullmatch(resource):
        return found["path"]
    if resource.startswith(_SERIAL):
        return resource.removeprefix(_SERIAL).partition("?")[0]
    return ""


def _make_transport(
    resource: str, memory: Registry | None, serial: SerialSettings, path: str
) -> Transport:
    if (found := _NETWORK.fullmatch(resource)) and _complete(found):
        return _network(found, resource, path)
    if found := _VISA_SOCKET.fullmatch(resource):
        return TcpTransport(found["host"], _port(found["port"], resource), resource=resource)
    if found := _VISA_SERIAL.fullmatch(resource):
        return SerialTransport(found["path"], serial, resource=resource)
    if resource.startswith(_SERIAL):
        device, _, query = resource.removeprefix(_SERIAL).partition("?")
        if not device:
            raise ValueError(f"resource '{resource}' names no port; accepted are {ACCEPTED}")
        return SerialTransport(device, _line(query, serial, resource), resource=resource)
    if found := _VISA.fullmatch(resource):
        return VisaTransport(found["any"] or found["name"], resource=resource)
    if found := _VENDOR.fullmatch(resource):
        return VendorTransport(found["name"], resource=resource)
    if resource.startswith(_FILE) and len(resource) > len(_FILE):
        return FileTransport(Path(resource.removeprefix(_FILE)), resource=resource)
    if found := _MEMORY.fullmatch(resource):
        if memory is None:
            raise ValueError(
                f"resource '{resource}' is of a simulated lab in the same process, "
                "and this program has none; use tcp:// or serial://"
            )
        return MemoryTransport(found["name"], memory)
    raise ValueError(f"resource '{resource}' is not understood; accepted are {ACCEPTED}")


def _complete(found: re.Match[str]) -> bool:
    """Only SNMP and HTTP have a port of their own; only HTTP and WebSocket have a path."""
    scheme, path = found["scheme"], found["path"] or "/"
    return (
        (found["port"] is not None or scheme in ("snmp", "http", "ws"))
        and (path == "/" or scheme in ("http", "ws"))
        and (found["community"] is None or scheme == "snmp")
    )


def _network(found: re.Match[str], resource: str, default_path: str) -> Transport:
    scheme, host, path = found["scheme"], found["v6"] or found["host"], found["path"] or "/"
    default = SNMP_PORT if scheme == "snmp" else 80
    port = _port(found["port"] or str(default), resource)
    match scheme:
        case "tcp":
            return TcpTransport(host, port, resource=resource)
        case "http":
            where = default_path if path == "/" else path
            return HttpTransport(host, port, where, resource=resource)
        case "ws":
            return WebSocketTransport(host, port, path, resource=resource)
        case "snmp":
            return SnmpTransport(host, port, resource=resource)
    # Imported late: most programs have no instrument on ZeroMQ.
    from drivers.links.zmq import ZmqTransport

    return ZmqTransport(host, port, "PAIR" if "+" in scheme else "REQ", resource=resource)


def community(resource: str, default: str = "public") -> str:
    """The SNMP community that a resource names."""
    found = _NETWORK.fullmatch(resource)
    return (found["community"] if found else None) or default


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
