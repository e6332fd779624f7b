"""Stanford Research Systems DG645 digital delay generator, lines of text on LAN or RS-232.

Commands and error numbers from three public drivers, see docs/instruments.md. Unverified: the port
of its raw socket, and range and step of delays and rate, which are those of the data sheet.

Of the edges T0, T1, A to H the driver ties A, C, E and G to T0, and B, D, F and H each to the one
before, so that an output's pulse is a delay and a width.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, known_options
from drivers.devices import DelayGenerator, Identity, Pulse
from drivers.errors import InstrumentError, Refused
from drivers.framing import LINE_LF
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.plugin import Asking, Manifest
from drivers.scpi import Scpi

OUTPUTS = {"AB": (2, 3), "CD": (4, 5), "EF": (6, 7), "GH": (8, 9)}
"""Leading and trailing edge of each output, by the number of its channel."""

STEP_PS = 5
LONGEST_PS = 2000 * 10**12
RATES_HZ = (1e-4, 1e7)

_T0 = 0
_INTERNAL, _EXTERNAL, _SINGLE_SHOT = 0, 1, 5
_HELD = (3, 4, _SINGLE_SHOT)
"""Trigger sources that let nothing through until they are told to, once."""

ERRORS = {
    10: "illegal value",
    11: "illegal mode",
    12: "illegal delay: out of range",
    13: "illegal link between delays",
    14: "recall failed",
    15: "not allowed: locked by another interface",
    16: "failed self test",
    17: "failed auto calibration",
    30: "lost data",
    110: "illegal command",
    111: "undefined command",
    112: "illegal query",
    113: "illegal set",
    114: "null parameter",
    115: "extra parameters",
    116: "missing parameters",
    117: "parameter overflow",
    118: "invalid floating point number",
    120: "invalid integer",
    170: "communication error",
    171: "over run",
    254: "too many errors",
}


class Dg645(DelayGenerator):
    """A DG645. No options.

    Settings: `pulses`, a table of outputs AB, CD, EF, GH to {delay_ps, width_ps};
    `trigger_rate_hz`, or `trigger = "external"` (rising edge); `running`.
    """

    manifest = Manifest(
        driver="srs.dg645",
        kind="DelayGenerator",
        identity=r"(?i)^stanford research systems\s*,\s*DG645",
        links=("tcp", "serial"),
        safe_state="waits for a single shot: no trigger comes through, all outputs low",
        asking=Asking(b"\n", LINE_LF, b"*IDN?"),
        tcp_port=5025,
        read_only=("ping", "readings", "pulses", "running"),
        serial=SerialSettings(baud=9600),
        sources=(
            "InstrumentKit tests/test_srs/test_srsdg645.py",
            "lantz drivers/stanford/dg645.py",
            "Qcodes_contrib DG645.py",
        ),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("srs.dg645", self.options)
        self._scpi = Scpi(link, errors="LERR?", meanings=ERRORS)
        self._source = _EXTERNAL

    async def connect(self) -> Identity:
        """End half a command, drop late answers, ask who it is and what triggers it."""
        await self._scpi.settle()
        fields = await self._scpi.fields("*IDN?", 4)
        await self._scpi.forget_errors()
        source = await self._trigger_source()
        if source not in _HELD:
            self._source = source
        serial = fields[2].removeprefix("s/n")
        return Identity(",".join(fields), serial, fields[3].removeprefix("ver"))

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `pulses`, `trigger_rate_hz` or `trigger`, then `running`."""
        if "trigger" in settings and "trigger_rate_hz" in settings:
            raise Refused(
                "trigger and trigger_rate_hz exclude each other", **self._scpi.about("TSRC")
            )
        setters: dict[str, Setter] = {
            "pulses": (dict, self._apply_pulses),
            "trigger_rate_hz": (float, self.set_trigger_rate_hz),
            "trigger": (str, self._apply_trigger),
            "running": (bool, self.set_running),
        }
        await apply_in_order(settings, setters, self._scpi.about())

    async def enter_safe_state(self) -> None:
        """Let no trigger through, and see that the instrument says so."""
        await self.set_running(False)

    async def ping(self) -> None:
        """Ask for the trigger source."""
        await self._trigger_source()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`running`, `trigger_rate_hz` of the internal trigger, and every pulse."""
        shown: dict[str, float | int | bool | str] = {
            "running": await self.running(),
            "trigger": "internal" if self._source == _INTERNAL else "external",
            "trigger_rate_hz": await self._scpi.number("TRAT?"),
        }
        for name, pulse in (await self.pulses()).items():
            shown[f"{name.lower()}_delay_ps"] = pulse.delay_ps
            shown[f"{name.lower()}_width_ps"] = pulse.width_ps
        return shown

    async def set_pulses(self, pulses: Mapping[str, Pulse]) -> None:
        """See DelayGenerator; delays and widths are multiples of 5 ps up to 2000 s."""
        about = self._scpi.about("DLAY")
        for name, pulse in pulses.items():
            if name not in OUTPUTS:
                raise Refused(f"output {name!r}, there are {', '.join(OUTPUTS)}", **about)
            for what, value in (("delay_ps", pulse.delay_ps), ("width_ps", pulse.width_ps)):
                in_range(f"{name} {what}", value, 0, LONGEST_PS, "ps", about)
                if value % STEP_PS:
                    raise Refused(f"{name} {what} = {value}, the step is {STEP_PS} ps", **about)
            in_range(f"{name} end_ps", pulse.delay_ps + pulse.width_ps, 0, LONGEST_PS, "ps", about)
        for name, pulse in pulses.items():
            leading, trailing = OUTPUTS[name]
            await self._scpi.set(f"DLAY {leading},{_T0},{_seconds(pulse.delay_ps)}")
            await self._scpi.set(f"DLAY {trailing},{leading},{_seconds(pulse.width_ps)}")
        found = await self.pulses()
        for name, pulse in pulses.items():
            if found[name] != pulse:
                raise InstrumentError(
                    "pulse", f"{name} was set to {pulse} and is {found[name]}", **about
                )

    async def pulses(self) -> dict[str, Pulse]:
        """See DelayGenerator; edges tied to each other by somebody else are followed."""
        edges = {n: await self._edge(n) for pair in OUTPUTS.values() for n in pair}
        return {
            name: Pulse(
                delay_ps=self._at_ps(edges, leading),
                width_ps=self._at_ps(edges, trailing) - self._at_ps(edges, leading),
            )
            for name, (leading, trailing) in OUTPUTS.items()
        }

    async def set_trigger_rate_hz(self, rate_hz: float | None) -> None:
        """See DelayGenerator; 0.0001 Hz to 10 MHz. Running goes on, holding goes on."""
        if rate_hz is not None:
            value = in_range("trigger_rate_hz", rate_hz, *RATES_HZ, "Hz", self._scpi.about("TRAT"))
            await self._scpi.set(f"TRAT {value:.10g}")
        self._source = _EXTERNAL if rate_hz is None else _INTERNAL
        if await self.running():
            await self._set_source(self._source)

    async def set_running(self, on: bool) -> None:
        """See DelayGenerator; a pulse under way still ends."""
        await self._set_source(self._source if on else _SINGLE_SHOT)

    async def running(self) -> bool:
        """See DelayGenerator."""
        return await self._trigger_source() not in _HELD

    async def _apply_trigger(self, word: str) -> None:
        if word != "external":
            raise Refused(
                f"trigger = {word!r}, accepted is external; or give trigger_rate_hz",
                **self._scpi.about("TSRC"),
            )
        await self.set_trigger_rate_hz(None)

    async def _apply_pulses(self, table: Mapping[str, Any]) -> None:
        pulses = {}
        for name, pulse in table.items():
            whole = isinstance(pulse, Mapping) and set(pulse) == {"delay_ps", "width_ps"}
            if not whole or not all(type(value) is int for value in pulse.values()):
                raise Refused(
                    f"pulses.{name} = {pulse!r}, expected delay_ps and width_ps, whole numbers",
                    **self._scpi.about("DLAY"),
                )
            pulses[name] = Pulse(**pulse)
        await self.set_pulses(pulses)

    async def _set_source(self, source: int) -> None:
        await self._scpi.set(f"TSRC {source}")
        found = await self._trigger_source()
        if found != source:
            raise InstrumentError(
                "trigger",
                f"the trigger source was set to {source} and is {found}",
                **self._scpi.about("TSRC"),
            )

    async def _trigger_source(self) -> int:
        return await self._scpi.integer("TSRC?")

    async def _edge(self, channel: int) -> tuple[int, int]:
        """The edge to which a channel is tied, and its delay from there in ps."""
        command = f"DLAY?{channel}"
        tied, delay = await self._scpi.fields(command, 2)
        try:
            return int(tied), round(Decimal(delay) * 10**12)
        except (ValueError, InvalidOperation, OverflowError):
            text = f"{tied},{delay}"
            raise self._scpi.garbled("expected a channel and a delay", text, command) from None

    def _at_ps(self, edges: Mapping[int, tuple[int, int]], channel: int) -> int:
        """When an edge comes after T0."""
        at_ps = 0
        for _ in edges:
            if channel == _T0:
                return at_ps
            if channel not in edges:
                break
            channel, delay_ps = edges[channel]
            at_ps += delay_ps
        if channel == _T0:
            return at_ps
        raise InstrumentError(
            "link", f"an edge is tied to channel {channel}, not to T0", **self._scpi.about("DLAY?")
        )


def _seconds(ps: int) -> str:
    """Exactly, with the twelve digits that the instrument shows."""
    return f"{ps // 10**12}.{ps % 10**12:012d}"
