"""Serial ports and USB instruments of this computer: may this user have them, and under rules?"""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from pathlib import Path

from qnodeos.checking.findings import Finding
from qnodeos.shipped import shipped

RULES = "60-qnodeos.rules"
RULE_FOLDERS = (Path("/etc/udev/rules.d"), Path("/usr/lib/udev/rules.d"))
_SLOW_FTDI_MS = 16


def serial_ports(dev: Path = Path("/dev")) -> Iterator[Finding]:
    """USB serial ports, and whether this user may open them."""
    ports = sorted([*dev.glob("ttyACM*"), *dev.glob("ttyUSB*")])
    if not ports:
        yield Finding("ok", "serial ports", "no USB serial port is there")
    for port in ports:
        if os.access(port, os.R_OK | os.W_OK):
            yield Finding("ok", f"serial port {port.name}", "may be opened by this user")
            continue
        group = _group(port)
        do = f"sudo usermod -aG {group} $USER, then log in again"
        found = f"may not be opened by this user; it belongs to group {group}"
        yield Finding("wrong", f"serial port {port.name}", found, do)


def udev_rules(folders: tuple[Path, ...] = RULE_FOLDERS) -> Finding:
    """The rules that open USB instruments to the node, and keep ModemManager off them."""
    rules = shipped(f"packaging/udev/{RULES}")
    for folder in folders:
        there = folder / RULES
        if there.is_file() and (not rules.is_file() or there.read_text() == rules.read_text()):
            return Finding("ok", "udev rules", str(there))
        if there.is_file():
            do = f"sudo cp {rules} {folder}/ && sudo udevadm control --reload"
            return Finding("note", "udev rules", f"{there} is not that of this version", do)
    do = f"sudo cp {rules} /etc/udev/rules.d/ && sudo udevadm control --reload"
    return Finding("note", "udev rules", f"{RULES} is not installed; USB instruments need it", do)


def ftdi_latency(devices: Path = Path("/sys/bus/usb-serial/devices")) -> Iterator[Finding]:
    """FTDI converters hold a short reply back for 16 ms unless they are told otherwise."""
    for timer in sorted(devices.glob("*/latency_timer")):
        held_ms = int(timer.read_text())
        if held_ms >= _SLOW_FTDI_MS:
            do = f"the udev rules set it to 1; now: echo 1 | sudo tee {timer}"
            found = f"holds replies back for {held_ms} ms"
            yield Finding("note", f"serial port {timer.parent.name}", found, do)


def _group(path: Path) -> str:
    number = path.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
