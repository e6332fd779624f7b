"""What a driver plug-in declares about itself, and how plug-ins are found."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.devices import Instrument

GROUP = "qnodeos.drivers"
"""The entry-point group; an entry is `"vendor.model" = "package.module:Class"`."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The face of a plug-in: all that is known before an instrument is touched.

    `identity` is a regular expression that the instrument's answer about itself must match.
    `emits` says that the instrument can send out light or bias, so it needs an arming lease.
    `read_only` names the methods that change nothing and may be called at any time.
    """

    driver: str
    kind: str
    identity: str
    links: tuple[str, ...]
    safe_state: str
    emits: bool = False
    read_only: tuple[str, ...] = ()
    needs_package: str = ""
    udev_hint: str = ""
    sources: tuple[str, ...] = field(default=())


class UnknownDriver(Exception):
    """No installed package offers a driver of this name."""

    def __init__(self, name: str, known: list[str]):
        self.name = name
        self.known = known
        super().__init__(
            f"unknown driver '{name}'; installed are {', '.join(known) or 'none'}. "
            "Check the spelling, or install the package that offers it."
        )


def driver_names() -> list[str]:
    """Names of all installed drivers, sorted; nothing is imported."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_driver(name: str) -> type[Instrument]:
    """The class of a driver, imported now; raises UnknownDriver."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            driver: type[Instrument] = entry.load()
            return driver
    raise UnknownDriver(name, driver_names())
