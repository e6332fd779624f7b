"""A contract case: all that the suites need to know of one instrument, its driver and its twin.

One file in `tests/instruments/cases/` defines one `CASE`; `collect` finds them. The suites plug
the twin in (in memory with virtual time, or on what it really stands on) and put the driver through
the contract of its device class and through every recovery.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivers.testing.subject import MESSES
from sim_backends.catalogue import MountKind
from sim_backends.mount import Connect


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Twin:
    """A simulated instrument that has just been switched on.

    `sockets`: what connects a client, by the name of the socket; the first is the one that the
    driver's resource names. `poll` is called every 20 ms. `emits` tells from the inside, not by the
    protocol, whether light or bias is on; `state` tells from the inside what is set, as something
    that can be compared.
    """

    sockets: Mapping[str, Connect]
    poll: Callable[[], None] = _nothing
    emits: Callable[[], bool] | None = None
    state: Callable[[], Any] | None = None


@dataclass(frozen=True)
class Case:
    """One driver and its simulated twin.

    driver: name of the entry point.
    twin: makes a fresh twin, switched on, with a serial number.
    serial: a serial number as this instrument has them; "" where it tells none.
    other_serial: that of another box of the same make.
    mounts: what each socket stands on outside of memory, in the order of the twin's sockets.
    options: the driver's options; "{counts_port}" becomes the resource of that socket.
    settings: a settings table that the instrument takes.
    armed: settings that switch emission on; needed where the manifest says `emits`.
    refused: settings tables that the driver must refuse before it sends anything, each with a word
        that the message must have, such as the upper end of the range.
    calls: methods to call with arguments that the instrument takes, as {"set_power_mw": (5.0,)};
        where the driver has a method of that name without `set_`, it must then tell the value.
    read_back: for a method of `calls`, the reading or the method that tells its value instead;
        "" where the instrument cannot tell.
    refused_calls: the same with arguments that must be refused, and the word.
    noisy: readings that differ from one time to the next while nothing is changed.
    tolerance: largest relative difference between a value set and the value read back.
    messes: what an earlier program may have left on its line; () where it carries messages.
    """

    driver: str
    twin: Callable[[np.random.Generator, str], Twin]
    serial: str
    other_serial: str = ""
    mounts: Mapping[str, MountKind] = field(default_factory=lambda: {"port": "tcp"})
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    armed: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[tuple[Mapping[str, Any], str], ...] = ()
    calls: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    refused_calls: tuple[tuple[str, tuple[Any, ...], str], ...] = ()
    read_back: Mapping[str, str] = field(default_factory=dict)
    noisy: tuple[str, ...] = ()
    tolerance: float = 1e-3
    messes: tuple[bytes, ...] = MESSES


def collect() -> dict[str, Case]:
    """Every case, by the name of its file."""
    from tests.instruments import cases

    modules = sorted(each.name for each in pkgutil.iter_modules(cases.__path__))
    return {name: importlib.import_module(f"{cases.__name__}.{name}").CASE for name in modules}
