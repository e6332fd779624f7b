"""What an operator sees of a supervised instrument, and what its supervisor allows it in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from drivers.devices import Identity

State = Literal["absent", "connecting", "online", "degraded", "fault"]
Reading = float | int | bool | str


@dataclass(frozen=True, slots=True)
class InstrumentStatus:
    """What an operator sees of an instrument.

    `since_s` is the event loop's clock when the state began, `connects` how often the right
    instrument has been connected. `readings` are the last ones, by name with unit; none
    while it cannot be asked.
    """

    name: str
    driver: str
    state: State
    since_s: float
    identity: Identity | None = None
    reason: str = ""
    readings: Mapping[str, Reading] = field(default_factory=lambda: MappingProxyType({}))
    connects: int = 0


@dataclass(frozen=True, slots=True)
class SupervisorLimits:
    """Time limits and pauses, in seconds.

    `ping_s` bounds a ping and a set of readings each, without the time in which somebody else has
    the link. With these a silent instrument is shown within 2 s and one that has returned is back
    within 5 s.
    """

    open_s: float = 2.0
    connect_s: float = 10.0
    apply_s: float = 60.0
    ping_s: float = 1.0
    safe_s: float = 3.0
    first_back_off_s: float = 0.2
    last_back_off_s: float = 1.0
    fault_retry_s: float = 4.0
