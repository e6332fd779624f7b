"""What this machine is connected to, without a byte sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

_TCP_LIMIT_S = 1.0
_COMMON_PORTS = {5025: "SCPI"}
_BY_ID = Path("/dev/serial/by-id")
_SYS_TTY = Path("/sys/class/tty")


@dataclass(frozen=True)
class Found:
    """A resource that a driver may be given, and what is known of it."""

    resource: str
    what: str


def serial_ports() -> list[Found]:
    """USB serial ports, by the name that stays the same where there is one."""
    ports = {path.resolve(): path for path in sorted(_BY_ID.glob("*"))} if _BY_ID.is_dir() else {}
    for pattern in ("ttyACM*", "ttyUSB*", "ttyS*"):
        for path in sorted(Path("/dev").glob(pattern)):
            if path.name.startswith("ttyS") and not _is_real(path.name):
                continue
            ports.setdefault(path, path)
    return [Found(f"serial://{name}", _usb(path.name)) for path, name in ports.items()]


def visa_resources() -> list[Found]:
    """What VISA lists, where pyvisa and a VISA library are installed."""
    try:
        import pyvisa
    except ImportError:
        return []
    try:
        names = pyvisa.ResourceManager("@py").list_resources()
    except Exception:
        # No backend, or one that does not work here: then there is nothing to list.
        return []
    return [Found(name, "VISA") for name in names if not name.startswith("ASRL")]


async def listening(host: str) -> list[Found]:
    """Which of the ports that instruments use a host listens on; `host` may be HOST:PORT."""
    name, _, port = host.partition(":")
    ports = {int(port): "given"} if port.isdecimal() else _known_ports()
    numbers = sorted(ports)
    # All at once: a firewall that says nothing costs the whole limit at every port.
    listens = await asyncio.gather(*(_listens(name, number) for number in numbers))
    return [
        Found(f"tcp://{name}:{number}", f"listens ({ports[number]})")
        for number, there in zip(numbers, listens, strict=True)
        if there
    ]


def _known_ports() -> dict[int, str]:
    from drivers.plugin import driver_names, load_driver

    ports = dict(_COMMON_PORTS)
    for name in driver_names():
        try:
            port = load_driver(name).manifest.tcp_port
        except Exception:
            continue  # `list` shows what is wrong with it
        if port:
            ports[port] = f"{ports[port]}, {name}" if port in ports else name
    return ports


async def _listens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_TCP_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _is_real(name: str) -> bool:
    """A built-in port with hardware behind it; the kernel lists many that have none."""
    try:
        return (_SYS_TTY / name / "type").read_text().strip() not in ("", "0")
    except OSError:
        return False


def _usb(name: str) -> str:
    """Product and serial number of a USB port, as the kernel tells them."""
    device = (_SYS_TTY / name / "device").resolve()
    for folder in (device, *device.parents):
        if (folder / "idVendor").is_file():
            told = [
                (folder / part).read_text(errors="replace").strip()
                for part in ("idVendor", "idProduct", "manufacturer", "product", "serial")
                if (folder / part).is_file()
            ]
            return "usb " + ":".join(told[:2]) + " " + " ".join(told[2:])
    return "serial port"
