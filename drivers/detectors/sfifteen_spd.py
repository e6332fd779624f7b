"""S-Fifteen single photon detector (a cooled avalanche diode), text on a USB serial port.

Commands end with CR LF and most are not answered, so what is set is read back; `counts?` is
answered after its gate. Off is a bias of zero: there is no other switch. Facts from the vendor's
MIT client S15lib `single_photon_detector.py`, see docs/instruments.md. Unverified: the words of
`*idn?` besides SPD; the range of the bias, which is why the option `max_bias_v` has no default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, is_number, known_options, number_option
from drivers.devices import AvalancheBias, Detector, Identity
from drivers.errors import InstrumentError, Refused
from drivers.framing import LINE_CRLF
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.scpi import Lines
from drivers.waiting import becomes

_OFF_V = 1.0
_NEAR_V = 0.5
_SETTLE_S = 1.5
_GATE_MS = (10, 1000)
_TEMPERATURE_C = (-60.0, 30.0)


class SFifteenSpd(Detector, AvalancheBias):
    """One detector. Settings: `gate_ms`, `temperature_c`, `regulating`, `bias_v` (a list of one),
    `enabled`.

    Option `max_bias_v`, which has to be given: the most this diode may get, from its data sheet. A
    bias set while the detector is off is sent when it is switched on.
    """

    manifest = Manifest(
        driver="sfifteen.spd",
        kind="Detector",
        identity=r"SPD",
        links=("serial",),
        asking=Asking(b"\r\n", LINE_CRLF, b"*idn?"),
        safe_state="bias zero",
        emits=True,
        read_only=("ping", "readings", "enabled", "bias_v", "count_rates_cps", "temperature_c"),
        udev_hint='SUBSYSTEM=="tty", KERNEL=="ttyACM*", GROUP="dialout"',
        sources=("S15lib single_photon_detector.py, serial_connection.py (MIT)",),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("sfifteen.spd", self.options, "max_bias_v")
        if "max_bias_v" not in self.options:
            raise ValueError(
                "sfifteen.spd: the option max_bias_v is missing; give the highest bias that the "
                "data sheet of this detector allows, in volts"
            )
        self._max_bias_v = number_option(self.options, "max_bias_v", 0.0, 0.0, 500.0, "V")
        self._lines = Lines(link, end=b"\r\n", framing=LINE_CRLF)
        self._wanted_v = 0.0

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is and which bias it has."""
        await self._lines.settle(quiet_s=0.2)
        text = await self._lines.ask("*idn?")
        bias = await self._bias()
        self._wanted_v = bias if bias >= _OFF_V else 0.0
        return Identity(text, _serial(text))

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `gate_ms`, `temperature_c`, `regulating`, `bias_v`, then `enabled`."""
        setters: dict[str, Setter] = {
            "gate_ms": (float, self.set_gate_ms),
            "temperature_c": (float, self.set_temperature_c),
            "regulating": (bool, self.set_regulating),
            "bias_v": (list, self.set_bias_v),
            "enabled": (bool, self.set_enabled),
        }
        await apply_in_order(settings, setters, self._lines.about())

    async def enter_safe_state(self) -> None:
        """Take the bias away and see that it has gone."""
        await self._send_bias(0.0)

    async def ping(self) -> None:
        """Ask for the bias."""
        await self._bias()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Bias, temperature and its set point, and the count rate of one gate."""
        bias = await self._bias()
        return {
            "enabled": bias >= _OFF_V,
            "bias_v": bias,
            "temperature_c": await self.temperature_c(),
            "set_temperature_c": await self._lines.number("settemp?"),
            "regulating": await self._lines.flag("loop?"),
            "rate_cps": (await self.count_rates_cps())[0],
        }

    async def set_enabled(self, on: bool) -> None:
        """See Detector; on gives the bias that was set."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the detector bias on")
        if self._wanted_v < _OFF_V:
            raise Refused("no bias is set; set bias_v first", **self._lines.about("hvolt"))
        await self._send_bias(self._wanted_v)

    async def enabled(self) -> bool:
        """See Detector: whether there is a bias."""
        return await self._bias() >= _OFF_V

    async def set_bias_v(self, bias_v: tuple[float, ...]) -> None:
        """See AvalancheBias; one value, 0 to the option `max_bias_v`."""
        right = isinstance(bias_v, list | tuple) and len(bias_v) == 1
        if not right or not is_number(bias_v[0], 0.0, self._max_bias_v):
            raise Refused(
                f"bias_v = {bias_v!r}, accepted: one value of 0 to {self._max_bias_v:g} V",
                **self._lines.about("hvolt"),
            )
        wanted = float(bias_v[0])
        if await self.enabled():
            if wanted >= _OFF_V:
                self.require_armed("changing the detector bias")
            await self._send_bias(wanted)
        self._wanted_v = wanted

    async def bias_v(self) -> tuple[float, ...]:
        """See AvalancheBias; while the detector is off, what it gets when switched on."""
        bias = await self._bias()
        return (bias if bias >= _OFF_V else self._wanted_v,)

    async def count_rates_cps(self) -> tuple[float, ...]:
        """See Detector; counts for one gate."""
        gate_s = await self._lines.number("time?") / 1000
        if not 0.0 < gate_s <= 66.0:
            raise self._lines.garbled("expected a gate in ms", f"{1000 * gate_s:g}", "time?")
        text = await self._lines.ask("counts?", timeout_s=gate_s + 0.5)
        if not text.isdecimal():
            raise self._lines.garbled("expected counts", text, "counts?")
        return (int(text) / gate_s,)

    async def set_gate_ms(self, gate_ms: float) -> None:
        """Set over how long counts are summed."""
        value = in_range("gate_ms", gate_ms, *_GATE_MS, "ms", self._lines.about("time"))
        await self._set("time", f"{value:g}", value, 0.5)

    async def set_temperature_c(self, temperature_c: float) -> None:
        """Set the temperature that the cooler holds."""
        about = self._lines.about("settemp")
        value = in_range("temperature_c", temperature_c, *_TEMPERATURE_C, "C", about)
        await self._set("settemp", f"{value:g}", value, 0.1)

    async def temperature_c(self) -> float:
        """The temperature of the diode."""
        return await self._lines.number("temp?")

    async def set_regulating(self, on: bool) -> None:
        """Switch the cooler's loop."""
        await self._set("loop", str(int(on)), float(on), 0.0)

    async def _bias(self) -> float:
        return await self._lines.number("hvolt?")

    async def _send_bias(self, bias_v: float) -> None:
        await self._lines.say(f"hvolt {bias_v:g}")
        near = max(_NEAR_V, 0.01 * bias_v)

        async def there() -> bool:
            return abs(await self._bias() - bias_v) <= near

        if not await becomes(there, limit_s=_SETTLE_S, poll_s=0.1):
            raise InstrumentError(
                "hvolt",
                f"{bias_v:g} V was set, but it tells {await self._bias():g} V",
                **self._lines.about("hvolt"),
            )

    async def _set(self, name: str, text: str, value: float, tolerance: float) -> None:
        await self._lines.say(f"{name} {text}")
        told = await self._lines.number(f"{name}?")
        if abs(told - value) > tolerance:
            raise InstrumentError(
                name, f"{text} was set, but it tells {told:g}", **self._lines.about(name)
            )


def _serial(identity: str) -> str:
    """What follows S/N, else the last word with a digit; "" for none."""
    if found := re.search(r"\b(?:S/?N|serial)\b[\s:#=]*([\w-]*\d[\w-]*)", identity, re.IGNORECASE):
        return found[1]
    words = re.findall(r"[\w-]*\d[\w-]*", identity)
    return words[-1] if words else ""
