"""What avalanche diodes have in common whose only switch is the bias: zero is off."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from drivers.checks import is_number
from drivers.devices import AvalancheBias, Detector
from drivers.errors import InstrumentError, Refused
from drivers.links.base import Link
from drivers.scpi import Lines
from drivers.waiting import becomes

OFF_V = 1.0
"""Below this the diode counts nothing, and the detector is taken for off."""


class BiasSwitch(Detector, AvalancheBias):
    """One diode that talks in lines. A bias set while it is off is sent when it is switched on."""

    bias_command: ClassVar[str]
    settle_s: ClassVar[float]
    """How long the bias takes to get to its value."""

    def __init__(self, link: Link, options: Mapping[str, Any], lines: Lines, max_bias_v: float):
        super().__init__(link, options)
        self._lines, self._max_bias_v = lines, max_bias_v
        self._wanted_v = 0.0

    @abstractmethod
    async def _bias(self) -> float:
        """The bias that it tells, in V."""

    @abstractmethod
    async def _say_bias(self, bias_v: float) -> None:
        """Tell it a bias."""

    @abstractmethod
    def _near_v(self, bias_v: float) -> float:
        """How far from a bias it may be that was told, in V."""

    async def _take_over(self) -> None:
        """After connecting: what it has is what is wanted."""
        bias = await self._bias()
        self._wanted_v = bias if bias >= OFF_V else 0.0

    async def enter_safe_state(self) -> None:
        """Take the bias away and see that it has gone."""
        await self._send_bias(0.0)

    async def ping(self) -> None:
        """Ask for the bias."""
        await self._bias()

    async def set_enabled(self, on: bool) -> None:
        """See Detector; on gives the bias that was set."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the detector bias on")
        if self._wanted_v < OFF_V:
            raise Refused("no bias is set; set bias_v first", **self._about_bias())
        await self._send_bias(self._wanted_v)

    async def enabled(self) -> bool:
        """See Detector: whether there is a bias."""
        return await self._bias() >= OFF_V

    async def set_bias_v(self, bias_v: tuple[float, ...]) -> None:
        """See AvalancheBias; one value, 0 to the option `max_bias_v`."""
        right = isinstance(bias_v, list | tuple) and len(bias_v) == 1
        if not right or not is_number(bias_v[0], 0.0, self._max_bias_v):
            raise Refused(
                f"bias_v = {bias_v!r}, accepted: one value of 0 to {self._max_bias_v:g} V",
                **self._about_bias(),
            )
        wanted = float(bias_v[0])
        if await self.enabled():
            if wanted >= OFF_V:
                self.require_armed("changing the detector bias")
            await self._send_bias(wanted)
        self._wanted_v = wanted

    async def bias_v(self) -> tuple[float, ...]:
        """See AvalancheBias; while the detector is off, what it gets when switched on."""
        bias = await self._bias()
        return (bias if bias >= OFF_V else self._wanted_v,)

    async def _send_bias(self, bias_v: float) -> None:
        await self._say_bias(bias_v)
        near = self._near_v(bias_v)

        async def there() -> bool:
            return abs(await self._bias() - bias_v) <= near

        if not await becomes(there, limit_s=self.settle_s, poll_s=0.1):
            raise InstrumentError(
                self.bias_command,
                f"{bias_v:g} V was set, but it tells {await self._bias():g} V",
                **self._about_bias(),
            )

    def _about_bias(self) -> dict[str, str]:
        return self._lines.about(self.bias_command)
