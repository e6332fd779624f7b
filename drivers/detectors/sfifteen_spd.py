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

from drivers.checks import Setter, apply_in_order, in_range, known_options, number_option
from drivers.detectors.bias_switch import OFF_V, BiasSwitch
from drivers.devices import Identity
from drivers.errors import InstrumentError
from drivers.framing import LINE_CRLF
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.scpi import Lines

_NEAR_V = 0.5
_GATE_MS = (10, 1000)
_TEMPERATURE_C = (-60.0, 30.0)


class SFifteenSpd(BiasSwitch):
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

    bias_command = "hvolt"
    settle_s = 1.5

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        options = options or {}
        known_options("sfifteen.spd", options, "max_bias_v")
        if "max_bias_v" not in options:
            raise ValueError(
                "sfifteen.spd: the option max_bias_v is missing; give the highest bias that the "
                "data sheet of this detector allows, in volts"
            )
        most_v = number_option(options, "max_bias_v", 0.0, 0.0, 500.0, "V")
        super().__init__(link, options, Lines(link, end=b"\r\n", framing=LINE_CRLF), most_v)

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is and which bias it has."""
        await self._lines.settle(quiet_s=0.2)
        text = await self._lines.ask("*idn?")
        await self._take_over()
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

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Bias, temperature and its set point, and the count rate of one gate."""
        bias = await self._bias()
        return {
            "enabled": bias >= OFF_V,
            "bias_v": bias,
            "temperature_c": await self.temperature_c(),
            "set_temperature_c": await self._lines.number("settemp?"),
            "regulating": await self._lines.flag("loop?"),
            "rate_cps": (await self.count_rates_cps())[0],
        }

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
        return await self._lines.number(f"{self.bias_command}?")

    async def _say_bias(self, bias_v: float) -> None:
        await self._lines.say(f"{self.bias_command} {bias_v:g}")

    def _near_v(self, bias_v: float) -> float:
        return max(_NEAR_V, 0.01 * bias_v)

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
