"""What a driver plug-in declares about itself, how plug-ins are found, and how one is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from drivers.framing import Framing
from drivers.links.memory import Registry
from drivers.links.open import make_link, scheme
from drivers.links.serial import SerialSettings

if TYPE_CHECKING:
    from drivers.devices import Identity, Instrument

GROUP = "qnodeos.drivers"
"""The entry-point group; an entry is `"vendor.model" = "package.module:Class"`."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a person asks an instrument by hand; for those that speak text or self-contained frames.

    `end` is put behind what is sent, `framing` takes out the answer. `identity` is the question
    who it is, which changes nothing; without one it is never asked unless the driver is named.
    `reply` is a regular expression for its answer, where that is not the manifest's `identity`.
    """

    end: bytes
    framing: Framing
    identity: bytes = b""
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The face of a plug-in: all that is known before an instrument is touched.

    `identity` is a regular expression that the instrument's answer about itself must match.
    `emits` says that the instrument can send out light or bias, so it needs an arming lease.
    `read_only` names the methods that change nothing and may be called at any time.
    `links` are the kinds of link it works on ("tcp", "serial"; "mem" always does), `serial` the
    line parameters of its serial port, `tcp_port` the port it listens on from the factory,
    `http_path` the path on its web server where a resource names none. `asking` lets `qnodeos
    instrument` ask it by hand.
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
    serial: SerialSettings = field(default=SerialSettings())
    tcp_port: int = 0
    asking: Asking | None = None
    http_path: str = "/"


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
    """The class of a driver, imported now; raises UnknownDriver.

    `name` is that of an entry point, or "package.module:Class" for a driver that is not installed
    but can be imported.
    """
    driver: type[Instrument]
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            driver = entry.load()
            return driver
    module, _, class_name = name.partition(":")
    if class_name:
        try:
            driver = getattr(import_module(module), class_name)
        except (ImportError, AttributeError) as error:
            raise UnknownDriver(name, driver_names()) from error
        return driver
    raise UnknownDriver(name, driver_names())


def make_instrument(
    driver: type[Instrument],
    resource: str,
    *,
    owner: str,
    options: Mapping[str, Any] | None = None,
    memory: Registry | None = None,
) -> Instrument:
    """A driver on a link to `resource`, not yet open.

    Raises ValueError with a plain sentence for a resource or options that cannot be.
    """
    manifest = driver.manifest
    kind = scheme(resource)
    accepted = {each.removesuffix("://") for each in manifest.links}
    if kind and kind != "mem" and kind not in accepted:
        raise ValueError(
            f"driver '{manifest.driver}' works on {' or '.join(sorted(accepted))}, "
            f"and '{resource}' is {kind}; give another resource or another driver"
        )
    link = make_link(
        resource, owner=owner, memory=memory, serial=manifest.serial, path=manifest.http_path
    )
    return driver(link, options)


def wrong_box(manifest: Manifest, identity: Identity, expected_serial: str | None) -> str:
    """Why this is not the instrument we mean, in one sentence; "" when it is."""
    if not re.search(manifest.identity, identity.text):
        return (
            f"the wrong instrument answers: it says '{identity.text}', "
            f"driver '{manifest.driver}' expects /{manifest.identity}/"
        )
    if expected_serial is None or expected_serial == identity.serial:
        return ""
    if not identity.serial:
        return (
            f"serial number '{expected_serial}' is expected, but this instrument tells none; "
            "remove `serial` from its configuration"
        )
    return (
        f"the wrong instrument answers: serial number '{identity.serial}' of '{identity.text}', "
        f"expected is '{expected_serial}'; check the cable or the configuration"
    )
