"""White Rabbit switch as a frequency reference, by SNMP v2c (WR-SWITCH-MIB, read only).

Objects from the MIB and the agent's own source in the switch's public software, see
docs/instruments.md. A status is 0 na, 1 ok, 2 error, 3 warning, 4 warning of something not
available, 5 bug, 6 first reading. The agent tells the offset from the master without its sign. A
wrong community is not answered at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from drivers.checks import known_options
from drivers.devices import FrequencyReference, Identity, ReferenceStatus
from drivers.errors import InstrumentError, ProtocolError, Timeout
from drivers.framing import PACKET
from drivers.links.base import Link
from drivers.links.open import community
from drivers.links.snmp import Value, get_request, read_answer
from drivers.plugin import Manifest

_WRS = "1.3.6.1.4.1.96.100"
_DESCRIPTION = "1.3.6.1.2.1.1.1.0"
_SOFTWARE, _SERIAL = f"{_WRS}.6.3.1.0", f"{_WRS}.6.3.7.0"
_STATUSES = {
    "main": f"{_WRS}.6.1.1.0",
    "os": f"{_WRS}.6.1.2.0",
    "timing": f"{_WRS}.6.1.3.0",
    "networking": f"{_WRS}.6.1.4.0",
    "ptp": f"{_WRS}.6.2.2.1.0",
    "soft_pll": f"{_WRS}.6.2.2.2.0",
    "slave_links": f"{_WRS}.6.2.2.3.0",
    "ptp_frames": f"{_WRS}.6.2.2.4.0",
    "temperature": f"{_WRS}.6.2.1.2.0",
}
_MODE = f"{_WRS}.7.3.2.1.0"
_OFFSET_PS = f"{_WRS}.7.5.1.11.1"
_TEMPERATURES = {"fpga": f"{_WRS}.7.1.3.1.0", "pll": f"{_WRS}.7.1.3.2.0"}

_WORDS = ("na", "ok", "error", "warning", "warning, not available", "bug", "first reading")
_MODES = ("na", "grandmaster", "master", "slave", "disabled")
_OK, _FIRST = 1, 6
_SLAVE = 3


class WhiteRabbitSwitch(FrequencyReference):
    """A switch with its SNMP agent on. No options; the community is in the resource:
    snmp://HOST?community=public.
    """

    manifest = Manifest(
        driver="whiterabbit.switch",
        kind="FrequencyReference",
        identity=r"^White Rabbit switch",
        links=("snmp",),
        safe_state="nothing to switch off: it is only looked at",
        read_only=("ping", "readings", "status"),
        sources=("WR-SWITCH-MIB 2023-03-26", "snmpd of wr-switch-sw: wrsTimingStatusGroup.c"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("whiterabbit.switch", self.options)
        self._numbers = itertools.count(1)

    async def connect(self) -> Identity:
        """Ask for software, serial number and state."""
        try:
            told = await self._get(_DESCRIPTION, _SOFTWARE, _SERIAL, _STATUSES["timing"])
        except Timeout as problem:
            raise Timeout(
                f"{problem.reason}; a switch does not answer a wrong community, and here it is "
                f"'{community(self.link.resource)}'",
                **self._about("connect"),
            ) from problem
        if told[_STATUSES["timing"]] is None:
            raise InstrumentError(
                "MIB",
                "it has no WR-SWITCH-MIB: this is no White Rabbit switch, or an old one",
                **self._about(_STATUSES["timing"]),
            )
        serial, software = self._text(told, _SERIAL), self._text(told, _SOFTWARE)
        words = " ".join(each for each in (software, self._text(told, _DESCRIPTION)) if each)
        return Identity(f"White Rabbit switch, {words}", serial, software)

    async def enter_safe_state(self) -> None:
        """Nothing is ever set; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Ask for the state of its timing."""
        self._number(await self._get(_STATUSES["timing"]), _STATUSES["timing"])

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Every status in words, mode, offset from the master, temperatures."""
        told = await self._get(*_STATUSES.values(), _MODE, _OFFSET_PS, *_TEMPERATURES.values())
        shown: dict[str, float | int | bool | str] = {
            name: self._word(told, oid) for name, oid in _STATUSES.items()
        }
        shown["mode"] = self._mode(told)
        if told[_OFFSET_PS] is not None:
            shown["offset_ps"] = self._number(told, _OFFSET_PS)
        for name, oid in _TEMPERATURES.items():
            if told[oid] is not None:
                shown[f"{name}_c"] = float(self._number(told, oid))
        return shown

    async def status(self) -> ReferenceStatus:
        """See FrequencyReference; the offset is that from its master, without its sign.

        Locked: the soft PLL is ok, and a slave's PTP and its frames are too.
        """
        told = await self._get(*_STATUSES.values(), _MODE, _OFFSET_PS)
        slave = self._mode(told) == _MODES[_SLAVE]
        needed = ("soft_pll", "ptp", "ptp_frames") if slave else ("soft_pll",)
        # The first reading of a counter cannot tell whether it grows; it is no error.
        good = {_OK, _FIRST}
        offset = told[_OFFSET_PS]
        return ReferenceStatus(
            locked=all(self._number(told, _STATUSES[name]) in good for name in needed),
            following=slave,
            pps_offset_ns=self._number(told, _OFFSET_PS) / 1000
            if slave and offset is not None
            else None,
            warnings=tuple(
                f"{name}: {self._word(told, oid)}"
                for name, oid in _STATUSES.items()
                if told[oid] is not None and told[oid] not in good
            ),
        )

    async def _get(self, *oids: str) -> Mapping[str, Value]:
        number = next(self._numbers) & 0x7FFF_FFFF
        request = get_request(number, community(self.link.resource), oids)
        shown = f"GET {oids[0]}" + (f" and {len(oids) - 1} more" if len(oids) > 1 else "")
        raw = await self.link.exchange(PACKET.wrap(request), PACKET, timeout_s=1.5, command=shown)
        try:
            answer = read_answer(raw)
        except ProtocolError as problem:
            self.link.poison()
            raise ProtocolError(problem.reason, raw, **self._about(shown)) from problem
        if answer.error:
            raise InstrumentError(answer.error, "the agent refuses", **self._about(shown))
        if answer.request_id != number or set(answer.values) != set(oids):
            self.link.poison()
            raise ProtocolError("expected the objects asked for", raw, **self._about(shown))
        return answer.values

    def _number(self, told: Mapping[str, Value], oid: str) -> int:
        value = told[oid]
        if value is None:
            raise InstrumentError("MIB", f"it has no object {oid}", **self._about(oid))
        if not isinstance(value, int):
            raise self._garbled("expected a number", value, oid)
        return value

    def _text(self, told: Mapping[str, Value], oid: str) -> str:
        value = told[oid]
        if value is None:
            return ""
        if not isinstance(value, bytes):
            raise self._garbled("expected a text", value, oid)
        return value.decode("utf-8", "replace").strip()

    def _word(self, told: Mapping[str, Value], oid: str) -> str:
        if told[oid] is None:
            return "not told"
        number = self._number(told, oid)
        return _WORDS[number] if 0 <= number < len(_WORDS) else f"status {number}"

    def _mode(self, told: Mapping[str, Value]) -> str:
        if told[_MODE] is None:
            return "not told"
        number = self._number(told, _MODE)
        return _MODES[number] if 0 <= number < len(_MODES) else f"mode {number}"

    def _garbled(self, reason: str, value: Value, oid: str) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, repr(value).encode(), **self._about(oid))

    def _about(self, command: str) -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}
