"""Tausand Tempico TP1004 and TP1204, start-stop time digitisers on a USB serial port.

Lines out end with LF, answers with CR LF. `MEAS?` runs a measurement and answers with rows
"channel,run,start_s,stop_ps,..", joined by ";"; a second line is a warning. A start is known to the
microsecond on the box's clock, the stops to the picosecond after it. Facts from the vendor's client
pyTempico, see docs/instruments.md. Unverified: how long `MEAS?` waits for starts that do not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

from drivers.checks import Setter, apply_in_order, in_range, known_options
from drivers.devices import Identity, TimeTagger
from drivers.draining import drain
from drivers.errors import InstrumentError, InstrumentProblem, Refused, Timeout
from drivers.framing import LINE_CRLF
from drivers.links.base import Link
from drivers.links.serial import SerialSettings
from drivers.plugin import Asking, Manifest
from drivers.scpi import Lines
from timing.tags import PS_PER_S, TagBatch

START = 10
"""The start of input 3 is channel 13."""

_INPUTS = (1, 2, 3, 4)
_MEASURING_S = 1.5
_RANGES_PS = {1: (-1_000_000, 1_000_000), 2: (-1_000_000, 5_000_000_000)}
_WARNING_S = 0.01


class Tempico(TimeTagger):
    """A Tempico. Stops are channels 1 to 4, starts 11 to 14.

    It samples intervals: between two measurements, and while it waits for stops, starts go by
    unseen, and this is no loss. Differences of starts are good to 1 us, of a start and its stops to
    the box's resolution. No options. Settings: `threshold_v`, `runs` (of a measurement), `stops`
    (of a start), `mode` (1: up to 500 ns, 2: up to 4 ms), `inputs` (a list of those in use).
    """

    manifest = Manifest(
        driver="tausand.tempico",
        kind="TimeTagger",
        identity=r"(?i)^tausand\s*,\s*tempico tp1[02]04",
        links=("serial", "tcp"),
        safe_state="no measurement runs",
        asking=Asking(b"\n", LINE_CRLF, b"*IDN?"),
        read_only=("ping", "readings"),
        udev_hint='SUBSYSTEM=="tty", ATTRS{idVendor}=="04d8", ATTRS{idProduct}=="00dd"',
        serial=SerialSettings(baud=500_000),
        sources=("pyTempico 2.0.4 core.py (GPL, facts only)",),
    )
    resolution_ps = 1
    channels = (*_INPUTS, *(START + n for n in _INPUTS))

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("tausand.tempico", self.options)
        self._lines = Lines(link, framing=LINE_CRLF)
        self._streaming = False
        self._heard_s = 0.0
        self._mode = 1
        self._warning = ""

    async def connect(self) -> Identity:
        """End half a command and a measurement, drop late answers, ask who it is."""
        self._streaming = False
        await self.link.send(b"\nABORT\n")
        await self._lines.settle(quiet_s=0.25)
        fields = await self._lines.fields("*IDN?", 4)
        self._mode = await self._lines.integer("CONF:CH1:MODE?")
        return Identity(",".join(fields), fields[2], fields[3])

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: see the class; not while a stream runs."""
        if self._streaming and settings:
            raise Refused("settings change only while no stream runs", **self._lines.about())
        setters: dict[str, Setter] = {
            "threshold_v": (float, self.set_threshold_v),
            "runs": (float, self.set_runs),
            "stops": (float, self.set_stops),
            "mode": (float, self.set_mode),
            "inputs": (list, self.set_inputs),
        }
        await apply_in_order(settings, setters, self._lines.about())

    async def enter_safe_state(self) -> None:
        """End a measurement and see that no input is busy."""
        if self._streaming:
            self.link.poison()  # its answer may still come: whoever streams is told
            raise Timeout("a stream runs; end it first", **self._lines.about("ABORT"))
        await self._lines.say("ABORT")
        await drain(self.link, quiet_s=0.05, limit_s=1.0)
        for n in _INPUTS:
            state = await self._state(n)
            if state > 1:
                raise InstrumentError(
                    "STATE", f"input {n} is busy after ABORT", **self._lines.about("STATUS")
                )

    async def ping(self) -> None:
        """Ask for the threshold; while a stream runs, only look when it was last heard."""
        if not self._streaming:
            await self._lines.number("CONF:THR?")
            return
        silent_s = asyncio.get_running_loop().time() - self._heard_s
        if silent_s > 2 * _MEASURING_S:
            raise Timeout(f"not heard of for {silent_s:.1f} s", **self._lines.about("(stream)"))

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Threshold and runs while idle; the last warning of the box."""
        shown: dict[str, float | int | bool | str] = {
            "streaming": self._streaming,
            "warning": self._warning,
        }
        if not self._streaming:
            shown["threshold_v"] = await self.threshold_v()
            shown["runs"] = await self._lines.integer("CONF:NRUN?")
        return shown

    async def set_threshold_v(self, threshold_v: float) -> None:
        """Set the threshold of all inputs, 0.9 to 1.6 V; read back to 20 mV."""
        about = self._lines.about("CONF:THR")
        value = in_range("threshold_v", threshold_v, 0.9, 1.6, "V", about)
        await self._set("CONF:THR", f"{value:.2f}", value, 0.02)

    async def threshold_v(self) -> float:
        """The threshold of all inputs."""
        return await self._lines.number("CONF:THR?")

    async def set_runs(self, runs: float) -> None:
        """Set how many starts a measurement takes, 1 to 1000."""
        await self._set_whole("CONF:NRUN", "runs", runs, 1, 1000)

    async def set_stops(self, stops: float) -> None:
        """Set how many stops belong to a start, 1 to 5, for all inputs."""
        for n in _INPUTS:
            await self._set_whole(f"CONF:CH{n}:NST", "stops", stops, 1, 5)

    async def set_mode(self, mode: float) -> None:
        """Choose the range: 1 up to 500 ns, 2 up to 4 ms, for all inputs."""
        for n in _INPUTS:
            await self._set_whole(f"CONF:CH{n}:MODE", "mode", mode, 1, 2)
        self._mode = int(mode)

    async def set_inputs(self, inputs: list[int]) -> None:
        """Switch these inputs on and the others off."""
        if not inputs or not set(inputs) <= set(_INPUTS):
            raise Refused(
                f"inputs = {inputs!r}, accepted are some of {list(_INPUTS)}", **self._lines.about()
            )
        for n in _INPUTS:
            await self._set(f"CONF:CH{n}:ENAB", str(int(n in inputs)), float(n in inputs), 0.0)

    async def stream(self) -> AsyncGenerator[TagBatch, None]:
        """See TimeTagger; one batch a measurement, on the box's clock since the stream began."""
        if self._streaming:
            raise Refused("a stream runs already", **self._lines.about())
        clock = asyncio.get_running_loop().time
        self._streaming = True
        self._heard_s = clock()
        try:
            origin_ps = stop_ps = await self._clock_ps()
            while True:
                rows = await self._measure()
                now_ps = await self._clock_ps()
                self._heard_s = clock()
                start_ps = stop_ps
                tags = sorted(
                    (time_ps, channel)
                    for each in rows
                    for time_ps, channel in each
                    if time_ps >= start_ps
                )
                late = sum(len(each) for each in rows) - len(tags)
                stop_ps = max(now_ps, start_ps, *(time_ps + 1 for time_ps, _ in tags[-1:]))
                yield TagBatch(
                    np.array([t - origin_ps for t, _ in tags], np.int64),
                    np.array([c for _, c in tags], np.uint8),
                    start_ps - origin_ps,
                    stop_ps - origin_ps,
                    lost=late > 0,
                    lost_tags=late,
                )
        finally:
            try:
                if self.link.usable:
                    with contextlib.suppress(InstrumentProblem):
                        await self._lines.say("ABORT")
                        await drain(self.link, quiet_s=0.05, limit_s=1.0)
            finally:
                self._streaming = False

    async def _measure(self) -> list[list[tuple[int, int]]]:
        """The tags of each row of one measurement; none where no start came in time."""
        await self._lines.say("MEAS?")
        try:
            async with asyncio.timeout(_MEASURING_S):
                raw = await self.link.receive(LINE_CRLF, timeout_s=None, command="MEAS?")
        except TimeoutError:
            await self._lines.say("ABORT")
            await drain(self.link, quiet_s=0.1, limit_s=1.0)
            return []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WARNING_S):
                more = await self.link.receive(LINE_CRLF, timeout_s=None, command="MEAS?")
                self._warning = more.decode("latin-1").strip()
        text = raw.decode("latin-1").strip()
        return [self._row(row, text) for row in text.split(";") if row]

    def _row(self, row: str, text: str) -> list[tuple[int, int]]:
        """A start and its stops, on the box's clock; stops out of range are none."""
        fields = row.split(",")
        try:
            channel, _, *stops = (int(each) for each in (*fields[:2], *fields[3:]))
            start_ps = _ps(fields[2])
        except (ValueError, IndexError, InvalidOperation):
            raise self._lines.garbled("expected rows of a measurement", text, "MEAS?") from None
        if channel not in _INPUTS or len(stops) > 5:
            raise self._lines.garbled("expected rows of inputs 1 to 4", text, "MEAS?")
        low, high = _RANGES_PS[2]
        times = [(start_ps + each, channel) for each in stops if low <= each <= high]
        return [(start_ps, START + channel), *times]

    async def _clock_ps(self) -> int:
        text = await self._lines.ask("DTIM?")
        try:
            return _ps(text)
        except InvalidOperation:
            raise self._lines.garbled("expected a time in seconds", text, "DTIM?") from None

    async def _state(self, channel: int) -> int:
        """0 disabled, 1 idle, above: busy."""
        command = f"STAT:CH{channel}?"
        text = await self._lines.ask(command)
        found = re.search(r"(?:^|,)\s*STATE=(\d+)\s*(?:,|$)", text)
        if found is None:
            raise self._lines.garbled("expected fields with STATE=", text, command)
        return int(found[1])

    async def _set_whole(self, name: str, key: str, value: float, low: int, high: int) -> None:
        number = in_range(key, value, low, high, "", self._lines.about(name))
        if not number.is_integer():
            raise Refused(f"{key} = {value!r}, expected a whole number", **self._lines.about(name))
        await self._set(name, str(int(number)), number, 0.0)

    async def _set(self, name: str, text: str, value: float, tolerance: float) -> None:
        """Set and read back; a line that comes between is the box's complaint, and dropped."""
        await self._lines.say(f"{name} {text}")
        await drain(self.link, quiet_s=0.005, limit_s=0.2)
        told = await self._lines.number(f"{name}?")
        if abs(told - value) > tolerance:
            raise InstrumentError(
                name, f"{text} was set, but it tells {told:g}", **self._lines.about(name)
            )


def _ps(seconds: str) -> int:
    """Decimal seconds as integer picoseconds: a float does not hold an epoch to the microsecond."""
    value = Decimal(seconds.strip())
    if not value.is_finite():
        raise InvalidOperation
    return int(value * PS_PER_S)
