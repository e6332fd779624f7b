"""What every instrument has in common: who it is, how it is set up, pinged and made safe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from drivers.errors import Refused
from drivers.links.base import Link
from drivers.plugin import Manifest


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers: the words of the instrument itself. `serial` is "" where it tells none."""

    text: str
    serial: str = ""
    firmware: str = ""


class Instrument(ABC):
    """Base of all drivers.

    `options` are the driver's own entries of the configuration (addresses, wiring), checked by the
    driver in `__init__`, which raises ValueError with a plain sentence.
    """

    manifest: ClassVar[Manifest]

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        self.link = link
        self.options = dict(options or {})
        self.armed: Callable[[], bool] = lambda: False
        """Answers whether the owner holds a live arming lease; set by the supervisor."""

    def require_armed(self, action: str) -> None:
        """Raise Refused unless the owner holds a live arming lease; for drivers that emit."""
        if not self.armed():
            raise Refused(
                f"{action} needs an arming lease, and this instrument has none; "
                "set `arm = true` in its configuration",
                owner=self.link.owner,
                resource=self.link.resource,
            )

    @abstractmethod
    async def connect(self) -> Identity:
        """Bring the open link to a known state and ask the instrument who it is.

        Works whatever was left behind: half a command, an endless stream, a late reply.
        """

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Apply the `settings` table of the configuration; each key is a method's argument.

        Raises Refused, naming the key, for an unknown key or a value out of range.
        """
        if settings:
            raise Refused(
                f"unknown settings {', '.join(sorted(settings))}; this driver has none",
                owner=self.link.owner,
            )

    async def disconnect(self) -> None:  # noqa: B027  (most drivers have nothing to end)
        """End background work of the driver; the link is closed by its owner. Never raises."""

    @abstractmethod
    async def enter_safe_state(self) -> None:
        """Bring the instrument to the safe state of its manifest, and check that it is there."""

    @abstractmethod
    async def ping(self) -> None:
        """One cheap read-only exchange that shows the instrument is alive."""

    @property
    def busy(self) -> bool:
        """An action is under way that has time limits of its own; a look may wait for its end."""
        return False

    async def readings(self) -> dict[str, float | int | bool | str]:
        """What an operator wants to see of it, by name with unit (`power_mw`); read-only."""
        return {}
