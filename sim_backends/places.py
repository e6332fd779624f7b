"""The addresses at which a simulated lab is reached, one class for each kind of mount.

A place is taken when it is made, before anything else of the lab is started, so that a second
program on the same address fails before it has changed a file of the first. Then it is started with
what connects a client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from sim_backends.catalogue import CATALOGUE, MountKind
from sim_backends.lab import LabConfig
from sim_backends.mount import Connect, listen_on
from sim_backends.mount_hislip import HislipPlace
from sim_backends.mount_http import HttpPlace
from sim_backends.mount_pty import PtyMount
from sim_backends.mount_tcp import TcpMount
from sim_backends.mount_udp import SnmpPlace
from sim_backends.mount_ws import WebSocketPlace
from sim_backends.mount_zmq import ZmqPairPlace, ZmqPlace

__all__ = ["PLACES", "Place", "PtyPlace", "TcpPlace", "resource_of"]


class Place(Protocol):
    """Where one socket of an instrument is reached."""

    @property
    def resource(self) -> str:
        """What a driver is given to reach it, as `tcp://127.0.0.1:1998`."""
        ...

    async def start(self, connect: Connect) -> None:
        """Serve clients from now on. Raises MountError."""
        ...

    async def stop(self) -> None:
        """Drop every client and give the address back; also of a place that was not started."""
        ...


class TcpPlace:
    """A TCP port, chosen by the system for 0. Raises MountError."""

    def __init__(self, host: str, port: int) -> None:
        self._listener = listen_on(host, port)
        self._host, self._port = host, self._listener.getsockname()[1]
        self._mount: TcpMount | None = None

    @property
    def resource(self) -> str:
        """See Place."""
        return f"tcp://{self._host}:{self._port}"

    async def start(self, connect: Connect) -> None:
        """See Place."""
        self._mount = TcpMount(connect)
        await self._mount.start(self._listener)

    async def stop(self) -> None:
        """See Place."""
        if self._mount is not None:
            await self._mount.stop()
        self._listener.close()


class PtyPlace:
    """A pseudo-terminal that appears at a path. Nothing is taken before the start."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._mount: PtyMount | None = None

    @property
    def resource(self) -> str:
        """See Place."""
        return f"serial://{self._link}"

    async def start(self, connect: Connect) -> None:
        """See Place."""
        self._mount = PtyMount(connect, self._link)
        self._mount.start()

    async def stop(self) -> None:
        """See Place."""
        if self._mount is not None:
            self._mount.stop()


PLACES: Final[Mapping[MountKind, Callable[[str, int], Place]]] = {
    "tcp": TcpPlace,
    "hislip": HislipPlace,
    "zmq": ZmqPlace,
    "zmq-pair": ZmqPairPlace,
    "http": HttpPlace,
    "ws": WebSocketPlace,
    "snmp": SnmpPlace,
}
"""What makes a place of a kind that is reached at a host and a port."""

_SCHEMES: Final[Mapping[MountKind, str]] = {"zmq-pair": "zmq+pair"}


def resource_of(config: LabConfig, instrument: str, field: str) -> str:
    """What a driver is given to reach a socket of an instrument, without serving it."""
    item = config.instruments[instrument]
    kind, address = CATALOGUE[item.type].mounts[field], item.addresses[field]
    if kind == "pty":
        return f"serial://{config.lab.run_dir / str(address)}"
    return f"{_SCHEMES.get(kind, kind)}://{config.lab.host}:{address}"
