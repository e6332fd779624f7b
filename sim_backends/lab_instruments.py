"""Tables of the lab file for what is reached from outside: instruments, stretches of network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from sim_backends.lab_parts import Table

__all__ = ["InstrumentConfig", "NetworkConfig"]

Port = Annotated[int, Field(ge=1, le=65535)]
# A bare name, so that a serial port cannot appear outside the run directory.
PtyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]

_PORTS = (
    "port",
    "counts_port",
    "monitor_port",
    "dlt_port",
    "tags1_port",
    "tags2_port",
    "tags3_port",
    "tags4_port",
)
_ADDRESSES = ("pty", *_PORTS)


class InstrumentConfig(Table):
    """How one thing of the lab is reached; `of` is `<section>.<name>`.

    An instrument that shows nothing of the lab, as a switch, has no `of`. `pty` is a name in the
    run directory; the others, as `port` and `counts_port`, are ports of the lab's host. `file` and
    `device` in it describe an instrument of a type that is made from a file.
    """

    type: str
    of: Annotated[str, Field(pattern=r"^([a-z]+\.[^.]+)?$")] = ""
    serial: Annotated[str, Field(max_length=80)] = ""
    file: Path | None = None
    device: str = ""
    pty: PtyName | None = None
    port: Port | None = None
    counts_port: Port | None = None
    monitor_port: Port | None = None
    dlt_port: Port | None = None
    tags1_port: Port | None = None
    tags2_port: Port | None = None
    tags3_port: Port | None = None
    tags4_port: Port | None = None

    @property
    def of_section(self) -> str:
        """The section of the thing it gives access to, e.g. "taggers"; "" for none."""
        return self.of.partition(".")[0]

    @property
    def of_name(self) -> str:
        """The name of that thing in its section."""
        return self.of.partition(".")[2]

    @property
    def addresses(self) -> dict[str, str | int]:
        """What is given of `pty` and the ports."""
        given = {name: getattr(self, name) for name in _ADDRESSES}
        return {name: value for name, value in given.items() if value is not None}

    @field_validator("type")
    @classmethod
    def _is_a_type(cls, value: str) -> str:
        # Late, as the instruments are made of models that are configured by this module.
        from sim_backends.catalogue import CATALOGUE

        if value not in CATALOGUE:
            raise ValueError(f"found {value!r}; expected one of {', '.join(sorted(CATALOGUE))}")
        return value

    @model_validator(mode="after")
    def _is_reached_as_its_type_is(self) -> Self:
        from sim_backends.catalogue import CATALOGUE

        kind = CATALOGUE[self.type]
        if kind.of and self.of_section not in kind.of:
            found = f"of = {self.of!r}" if self.of else "of is missing"
            raise ValueError(
                f"{found}; a {self.type} is expected to be of "
                + " or ".join(f"{section}.<name>" for section in kind.of)
            )
        if self.of and not kind.of:
            raise ValueError(f"of = {self.of!r}; a {self.type} shows nothing of the lab: remove it")
        if kind.from_file != (self.file is not None) or (self.device and not kind.from_file):
            raise ValueError(
                f"file is missing; a {self.type} is made from it"
                if kind.from_file
                else f"a {self.type} is not made from a file: remove file and device"
            )
        for field in kind.reached_by:
            if field not in self.addresses:
                raise ValueError(f"{field} is missing; a {self.type} is reached by it")
        for field, value in self.addresses.items():
            if field not in kind.mounts:
                raise ValueError(
                    f"{field} = {value!r}; a {self.type} is expected to have only "
                    + " and ".join(kind.mounts)
                )
        return self


class NetworkConfig(Table):
    """A stretch of network that can go wrong: what connects to `port` reaches `to`, "HOST:PORT"."""

    port: Port
    to: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$")]
