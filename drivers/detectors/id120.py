"""IDQ ID120 visible single-photon avalanche diode, text over USBTMC.

Voltages are told in uV, temperatures in thousandths of a degree, times in ms. Sets are not
answered, so what is set is read back. Off is a bias of zero: there is no other switch. Facts from a
public driver with its ranges and steps, see docs/instruments.md; nothing but that driver was found
for it. Unverified: the words of `*IDN?`, and what `REG:STATE?` tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, known_options, number_option
from drivers.detectors.bias_switch import OFF_V, BiasSwitch
from drivers.devices import Identity
from drivers.errors import InstrumentError, Refused
from drivers.framing import LINE_LF
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest
from drivers.scpi import Lines

LARGEST_BIAS_V = 250.0
BIAS_STEP_UV = 80_000
_GATE_MS, _GATE_STEP_MS = (200, 100_000), 200
_TEMPERATURE_C = (-50.0, -10.0)
_THRESHOLD_MV, _THRESHOLD_STEP_UV = (0.0, 1047.0), 500


class Id120(BiasSwitch):
    """One detector. Settings: `gate_ms`, `threshold_mv`, `temperature_c`, `regulating`, `bias_v` (a
    list of one), `enabled`.

    Option `max_bias_v` (250, the instrument's own end). A bias set while the detector is off is
    sent when it is switched on.
    """

    manifest = Manifest(
        driver="idquantique.id120",
        kind="Detector",
        identity=r"(?i)id ?120",
        links=("visa", "tcp"),
        asking=Asking(b"\n", LINE_LF, b"*IDN?"),
        safe_state="bias zero",
        emits=True,
        read_only=("ping", "readings", "enabled", "bias_v", "count_rates_cps", "temperature_c"),
        udev_hint='SUBSYSTEM=="usb", ATTR{idVendor}=="1ddc", ATTR{idProduct}=="0330", MODE="0660"',
        sources=("Instrumental-lib fork, drivers/spad/id120.py",),
    )

    bias_command = "BIAS:VOLTAGE"
    settle_s = 1.0

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        options = options or {}
        known_options("idquantique.id120", options, "max_bias_v")
        most_v = number_option(options, "max_bias_v", LARGEST_BIAS_V, 0.0, LARGEST_BIAS_V, "V")
        super().__init__(link, options, Lines(link), most_v)

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is and which bias it has."""
        await self._lines.settle(quiet_s=0.2)
        text = await self._lines.ask("*IDN?")
        serial = await self._lines.ask("INFO:PRODUCT_SERIAL_NUMBER?")
        firmware = await self._lines.ask("INFO:FIRMWARE_VERSION?")
        await self._take_over()
        return Identity(text, serial, firmware)

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: see the class; `enabled` comes last."""
        setters: dict[str, Setter] = {
            "gate_ms": (float, self.set_gate_ms),
            "threshold_mv": (float, self.set_threshold_mv),
            "temperature_c": (float, self.set_temperature_c),
            "regulating": (bool, self.set_regulating),
            "bias_v": (list, self.set_bias_v),
            "enabled": (bool, self.set_enabled),
        }
        await apply_in_order(settings, setters, self._lines.about())

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Bias and whether it is in error, breakdown, temperatures, the count rate."""
        bias = await self._bias()
        return {
            "enabled": bias >= OFF_V,
            "bias_v": bias,
            "bias_error": await self._flag("BIAS:ERROR_STATUS?"),
            "breakdown_v": await self._lines.number("INFO:BIAS_BREAKDOWN_VOLTAGE?") * 1e-6,
            "temperature_c": await self.temperature_c(),
            "set_temperature_c": await self._lines.number("REG:TEMP_SET_POINT?") * 1e-3,
            "regulating": await self._flag("REG:RUN?"),
            "threshold_mv": await self._lines.number("THRESHOLD:VOLTAGE?") * 1e-3,
            "rate_cps": (await self.count_rates_cps())[0],
        }

    async def set_enabled(self, on: bool) -> None:
        """See Detector; on gives the bias that was set, and takes it away if it is in error."""
        await super().set_enabled(on)
        if on and await self._flag("BIAS:ERROR_STATUS?"):
            await self.enter_safe_state()
            raise InstrumentError(
                "BIAS:ERROR_STATUS",
                "the bias is in error, and was switched off again",
                **self._about_bias(),
            )

    async def count_rates_cps(self) -> tuple[float, ...]:
        """See Detector; the rate that the instrument tells of its last gate."""
        rate = await self._lines.number("COUNTERS:DETECTION_FREQ?")
        if rate < 0:
            raise self._lines.garbled("expected a rate", f"{rate:g}", "COUNTERS:DETECTION_FREQ?")
        return (rate,)

    async def set_gate_ms(self, gate_ms: float) -> None:
        """Set over how long counts are summed, in steps of 200 ms."""
        await self._set_in_steps(
            "COUNTERS:INTEGRATION_TIME", "gate_ms", gate_ms, _GATE_MS, "ms", 1, _GATE_STEP_MS
        )

    async def set_threshold_mv(self, threshold_mv: float) -> None:
        """Set the level of the discriminator, in steps of 0.5 mV."""
        await self._set_in_steps(
            *("THRESHOLD:VOLTAGE", "threshold_mv", threshold_mv, _THRESHOLD_MV, "mV"),
            *(1000, _THRESHOLD_STEP_UV),
        )

    async def set_temperature_c(self, temperature_c: float) -> None:
        """Set the temperature that the cooler holds, in whole degrees."""
        await self._set_in_steps(
            "REG:TEMP_SET_POINT", "temperature_c", temperature_c, _TEMPERATURE_C, "C", 1000, 1000
        )

    async def temperature_c(self) -> float:
        """The temperature of the diode."""
        return await self._lines.number("REG:MEASURED_TEMP?") * 1e-3

    async def set_regulating(self, on: bool) -> None:
        """Switch the cooler."""
        await self._lines.say(f"REG:RUN {str(on).upper()}")
        if await self._flag("REG:RUN?") is not on:
            raise InstrumentError(
                "REG:RUN", f"{on} was set, and it is not", **self._lines.about("REG:RUN")
            )

    async def _bias(self) -> float:
        return await self._lines.number(f"{self.bias_command}?") * 1e-6

    async def _say_bias(self, bias_v: float) -> None:
        """In its steps of 80 mV."""
        steps = round(bias_v * 1e6 / BIAS_STEP_UV)
        await self._lines.say(f"{self.bias_command} {steps * BIAS_STEP_UV}")

    def _near_v(self, bias_v: float) -> float:
        return BIAS_STEP_UV * 1e-6

    async def _set_in_steps(
        self,
        name: str,
        key: str,
        value: float,
        bounds: tuple[float, float],
        unit: str,
        factor: int,
        step: int,
    ) -> None:
        """Set a value times `factor`, which has to be a multiple of `step`, and read it back."""
        number = in_range(key, value, *bounds, unit, self._lines.about(name))
        counts = round(number * factor)
        if abs(counts - number * factor) > 1e-6 or counts % step:
            raise Refused(
                f"{key} = {value!r}, its step is {step / factor:g} {unit}",
                **self._lines.about(name),
            )
        await self._lines.say(f"{name} {counts}")
        told = await self._lines.number(f"{name}?")
        if told != counts:
            raise InstrumentError(
                name, f"{counts} was set, but it tells {told:g}", **self._lines.about(name)
            )

    async def _flag(self, command: str) -> bool:
        text = (await self._lines.ask(command)).upper()
        if text not in ("TRUE", "FALSE"):
            raise self._lines.garbled("expected TRUE or FALSE", text, command)
        return text == "TRUE"
