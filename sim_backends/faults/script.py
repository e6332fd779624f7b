"""The script of what goes wrong: `[[faults]]` tables, in the lab file or in one of their own.

[[faults]]
kind = "cut"                 # see `kinds`
of = "channels.alice"        # or instruments.alice-pump, or network.alice-bob
at_s = 20.0                  # after the start of the lab
for_s = 5.0                  # without it, to the end
shape = "ramp"               # step, ramp (rise_s), pulse, periodic (period_s, duty)
rise_s = 2.0
size = 30.0                  # in the unit of its kind
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sim_backends.faults.kinds import KINDS, PLACES, FaultKind, words_of
from sim_backends.faults.shapes import GRADUAL, Shape, ShapeName
from sim_backends.lab_file import LabError, build, read_toml

__all__ = ["FaultConfig", "Things", "check_faults", "load_faults"]

Seconds = Annotated[float, Field(gt=0.0, le=1e9)]

Things = Mapping[str, Collection[str]]
"""The names of what there is, by section; `network` with the ways between its ends."""


class FaultConfig(BaseModel):
    """One fault: what, of which thing, from when, how long, how strong."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str
    of: Annotated[str, Field(pattern=r"^[a-z]+\..+$")]
    at_s: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    for_s: Seconds | None = None
    shape: ShapeName = "step"
    rise_s: Seconds | None = None
    period_s: Seconds | None = None
    duty: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    size: float | None = None

    @property
    def section(self) -> str:
        """The section of the thing."""
        return self.of.partition(".")[0]

    @property
    def name(self) -> str:
        """The name of the thing in its section."""
        return self.of.partition(".")[2]

    @property
    def what(self) -> FaultKind:
        """Its kind."""
        return KINDS[self.section, self.kind]

    @property
    def full_size(self) -> float:
        """How strong it is at level 1, in the unit of its kind."""
        return self.what.size if self.size is None else self.size

    @property
    def form(self) -> Shape:
        """Its course in time. One that happens once has neither a level nor an end."""
        return Shape(
            self.shape,
            math.inf if self.for_s is None else self.for_s,
            rise_s=self.rise_s or 0.0,
            period_s=self.period_s or 0.0,
            duty=self.duty,
        )

    @model_validator(mode="after")
    def _is_one_that_can_be(self) -> Self:
        if self.section not in PLACES:
            raise ValueError(f"of = {self.of!r}; expected one of {', '.join(PLACES)}, then .NAME")
        if (self.section, self.kind) not in KINDS:
            raise ValueError(
                f"kind = {self.kind!r}; with {self.section} can go wrong: "
                f"{', '.join(words_of(self.section)) or 'nothing'}"
            )
        what = self.what
        if self.size is not None and not what.unit:
            raise ValueError(f"size = {self.size:g}; a {self.kind} is there or not: remove it")
        if self.size is not None and not what.least <= self.size <= what.most:
            raise ValueError(
                f"size = {self.size:g}; expected {what.least:g} to {what.most:g} {what.unit}"
            )
        if self.shape in GRADUAL and not what.graded:
            raise ValueError(
                f"shape = {self.shape!r}; a {self.kind} is there or not: expected step or periodic"
            )
        for shape, field in (("ramp", "rise_s"), ("pulse", "for_s"), ("periodic", "period_s")):
            if self.shape == shape and getattr(self, field) is None:
                raise ValueError(f"{field} is missing; a {shape} has one")
        for shape, field in (("ramp", "rise_s"), ("periodic", "period_s")):
            if self.shape != shape and getattr(self, field) is not None:
                raise ValueError(f"{field} is of a {shape}; found shape = {self.shape!r}")
        return self


class _Script(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    faults: list[FaultConfig]


def load_faults(path: Path | str, things: Things) -> list[FaultConfig]:
    """Read and check a file of `[[faults]]`. Raises LabError with one message."""
    path = Path(path)
    faults = build(_Script, read_toml(path), path).faults
    check_faults(faults, things, path)
    return faults


def check_faults(faults: Sequence[FaultConfig], things: Things, path: Path) -> None:
    """What each is of has to exist. Raises LabError."""
    for index, fault in enumerate(faults):
        there = things.get(fault.section, ())
        if fault.name not in there:
            raise LabError(
                path,
                f"faults.{index}.of",
                f"found {fault.of!r}, which is not there; expected "
                + (" or ".join(f"{fault.section}.{name}" for name in sorted(there)) or "another"),
            )
