"""What there is of a served lab beside its instruments: faults, a console, control over HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim_backends.bench import Bench
from sim_backends.console import read_console
from sim_backends.control import Control
from sim_backends.control_http import ControlPort
from sim_backends.faults.chance import drawn_faults
from sim_backends.faults.director import Director, direct
from sim_backends.faults.network import NetworkFaults
from sim_backends.faults.proxy import NetworkProxy
from sim_backends.faults.script import FaultConfig, load_faults
from sim_backends.lab import LabConfig
from sim_backends.mount import MountError
from sim_backends.seeds import generator

__all__ = ["Handling", "control_address"]

log = logging.getLogger("sim_backends")


def control_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises ValueError with one sentence."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"found {text!r}; expected HOST:PORT such as 127.0.0.1:7190")
    return host.strip("[]"), int(port)


@dataclass
class Handling:
    """As chosen on the command line; `say` prints what a console answers.

    `control` is where to listen, loopback only unless `control_anywhere`; whoever knows `token` may
    change the lab. `control_file` tells programs of this user both, while the lab runs.
    """

    faults: Path | None = None
    fault_seed: int | None = None
    fault_rate: float = 0.0
    console: bool = False
    say: Callable[[str], None] = lambda _: None
    control: tuple[str, int] | None = None
    control_anywhere: bool = False
    token: str = ""
    control_file: Path | None = None
    _script: Sequence[FaultConfig] = ()
    _network: NetworkFaults | None = None
    _proxies: dict[str, NetworkProxy] = field(default_factory=dict)
    _port: ControlPort | None = None
    _told: bool = False
    _director: Director | None = None
    _reading: asyncio.Task[None] | None = None

    def take(self, config: LabConfig) -> None:
        """Read the script and take the addresses. Raises LabError and MountError."""
        if self.faults is not None:
            self._script = load_faults(self.faults, config.things)
        self._network = NetworkFaults(generator(config.lab.seed, "faults.network"))
        for name, way in config.network.items():
            self._proxies[name] = NetworkProxy(
                name, config.lab.host, way.port, way.to, self._network
            )
        if self.control is not None:
            self._port = ControlPort(*self._checked(*self.control), token=self.token)

    async def start(self, bench: Bench) -> list[str]:
        """Begin; the lines to tell, as of an instrument."""
        things = bench.config.things
        drawn = (
            ()
            if self.fault_seed is None
            else drawn_faults(things, seed=self.fault_seed, per_minute=self.fault_rate)
        )
        self._director = direct(bench, self._script, drawn=drawn, network=self._network)
        control = Control(bench.world, self._director, things)
        for proxy in self._proxies.values():
            await proxy.start()
        if self._port is not None:
            await self._port.start(control)
            self._tell_where(self._port.url)
        self._director.start()
        if self.console:
            self._reading = asyncio.create_task(read_console(control, say=self.say), name="console")
        return [
            *(f"{name} network tcp://{proxy.address}" for name, proxy in self._proxies.items()),
            *([f"control http {self._port.url}"] if self._port is not None else []),
        ]

    async def stop(self) -> None:
        """End all of it."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._port is not None:
            await self._port.stop()
            if self.control_file is not None and self._told:
                self.control_file.unlink(missing_ok=True)
        for proxy in self._proxies.values():
            await proxy.stop()
        if self._director is not None:
            self._director.close()

    def _tell_where(self, url: str) -> None:
        """Write address and token down, for this user alone."""
        if self.control_file is None:
            return
        fresh = self.control_file.with_name(self.control_file.name + ".new")
        try:
            fresh.unlink(missing_ok=True)
            opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w", encoding="utf-8") as file:
                json.dump({"url": url, "token": self.token}, file)
            fresh.replace(self.control_file)
            self._told = True
        except OSError as error:
            log.warning("%s: where control is cannot be told: %s", self.control_file, error)

    def _checked(self, host: str, port: int) -> tuple[str, int]:
        try:
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback and not self.control_anywhere:
            raise MountError(
                "control is for this machine only",
                address=f"{host}:{port}",
                do="give a loopback address, or add --control-anywhere where the network is yours",
            )
        return host, port
