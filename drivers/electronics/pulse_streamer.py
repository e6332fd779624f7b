"""Swabian Pulse Streamer 8/2: eight digital outputs, JSON-RPC over HTTP, port 8050, /json-rpc.

A sequence is a list of steps, each packed as little-endian u32 duration in ns, u8 mask of the
outputs that are high, two i16 analogue values, and sent in base64. The hardware works in blocks of
8 ns: a sequence whose length is no multiple of it would be filled up, and its period be wrong.
Methods and forms from the vendor's MIT client 2.1, see docs/instruments.md. Unverified: the block
of 8 ns (general knowledge); how it tells that it waits for a trigger.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from drivers.checks import Setter, apply_in_order, in_range, is_number, known_options
from drivers.devices import DelayGenerator, Identity, Pulse
from drivers.errors import InstrumentError, Refused
from drivers.jsonrpc import JsonRpc
from drivers.links.base import Link
from drivers.plugin import Manifest

OUTPUTS = tuple(str(n) for n in range(8))
STEP_PS = 1000
BLOCK_NS = 8
RATES_HZ = (0.1, 1e8)
LONGEST_PS = 10 * 10**12
_LONGEST_STEP_NS = 0xFFFF_FFFF
_FOREVER = -1
_IMMEDIATE, _RISING, _FALLING = 0, 2, 3
_REARM_AUTO = 0
_LOW = [0, 0, 0, 0]
_TRIGGERS = {"rising": _RISING, "falling": _FALLING}
_CLOCKS = {"internal": 0, "125MHz": 1, "10MHz": 2}


class PulseStreamer(DelayGenerator):
    """A Pulse Streamer; its outputs are "0" to "7". No options.

    Settings: `clock` ("internal", "125MHz", "10MHz"), `pulses` (a table of outputs to {delay_ps,
    width_ps}), `trigger_rate_hz` or `trigger` ("rising", "falling"), `running`. The instrument does
    not tell its sequence: what an earlier program has left running is unknown until it is replaced.
    """

    manifest = Manifest(
        driver="swabian.pulse_streamer",
        kind="DelayGenerator",
        identity=r"^Pulse Streamer, serial \S+",
        links=("http",),
        safe_state="no sequence, all outputs low",
        read_only=("ping", "readings", "running"),
        http_path="/json-rpc",
        sources=("pulsestreamer 2.1.2 (vendor's client, MIT)",),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("swabian.pulse_streamer", self.options)
        self._rpc = JsonRpc(link)
        self._pulses: dict[str, Pulse] | None = None
        self._period_ns: int | None = None
        self._trigger = _RISING
        self._started = False

    async def connect(self) -> Identity:
        """Ask who it is, and whether something was left running."""
        serial = await self._rpc.text("getSerial")
        firmware = await self._rpc.text("getFirmwareVersion")
        hardware = await self._rpc.text("getHardwareVersion")
        self._started = await self._streams()
        self._pulses = None if self._started else dict.fromkeys(OUTPUTS, Pulse(0, 0))
        return Identity(
            f"Pulse Streamer, serial {serial}, hardware {hardware}, firmware {firmware}",
            serial,
            firmware,
        )

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `clock`, `trigger_rate_hz` or `trigger`, `pulses`, then `running`."""
        if "trigger" in settings and "trigger_rate_hz" in settings:
            raise Refused("trigger and trigger_rate_hz exclude each other", **self._rpc.about())
        setters: dict[str, Setter] = {
            "clock": (str, self.set_clock),
            "trigger_rate_hz": (float, self.set_trigger_rate_hz),
            "trigger": (str, self.set_trigger),
            "pulses": (dict, self._apply_pulses),
            "running": (bool, self.set_running),
        }
        await apply_in_order(settings, setters, self._rpc.about())

    async def enter_safe_state(self) -> None:
        """All outputs low, and see that no sequence runs."""
        await self.set_running(False)

    async def ping(self) -> None:
        """Ask whether it streams."""
        await self._rpc.flag("isStreaming")

    async def readings(self) -> dict[str, float | int | bool | str]:
        """`running`, the trigger, the temperature, and whether its data ever ran out."""
        return {
            "running": await self.running(),
            "trigger": "internal" if self._period_ns is not None else "external",
            "temperature_c": await self._rpc.number("getTemperature"),
            "underflow": await self._rpc.flag("getUnderflow"),
        }

    async def set_pulses(self, pulses: Mapping[str, Pulse]) -> None:
        """See DelayGenerator; delays and widths are multiples of 1 ns up to 10 s."""
        about = self._rpc.about("stream")
        for name, pulse in pulses.items():
            if name not in OUTPUTS:
                raise Refused(f"output {name!r}, there are {', '.join(OUTPUTS)}", **about)
            for what, value in (("delay_ps", pulse.delay_ps), ("width_ps", pulse.width_ps)):
                whole = isinstance(value, int) and is_number(value, 0, LONGEST_PS)
                if not whole or value % STEP_PS:
                    raise Refused(
                        f"{what} = {value!r} of output {name}, accepted are 0 to {LONGEST_PS:g} ps "
                        f"in steps of {STEP_PS} ps",
                        **about,
                    )
        if self._pulses is None and set(pulses) != set(OUTPUTS):
            raise Refused(
                "a sequence was left running that it cannot tell; set all outputs, or stop it",
                **about,
            )
        wanted = {**(self._pulses or {}), **pulses}
        self._fits(wanted, self._period_ns)
        self._pulses = wanted
        if self._started:
            await self._start()

    async def pulses(self) -> dict[str, Pulse]:
        """See DelayGenerator; as set since the connection, as the instrument cannot tell."""
        if self._pulses is None:
            raise InstrumentError(
                "sequence",
                "a sequence was left running, and it cannot tell which",
                **self._rpc.about("pulses"),
            )
        return dict(self._pulses)

    async def set_trigger_rate_hz(self, rate_hz: float | None) -> None:
        """See DelayGenerator; the period has to be a multiple of 8 ns."""
        if rate_hz is None:
            await self.set_trigger("rising")
            return
        about = self._rpc.about("stream")
        value = in_range("trigger_rate_hz", rate_hz, *RATES_HZ, "Hz", about)
        blocks = 1e9 / value / BLOCK_NS
        near = max(1, round(blocks))
        if abs(blocks - near) > 1e-9 * near:
            around = {max(1, int(blocks)), int(blocks) + 1}
            rates = " and ".join(f"{1e9 / (n * BLOCK_NS):.12g}" for n in sorted(around))
            raise Refused(
                f"trigger_rate_hz = {value!r}, its period is no multiple of {BLOCK_NS} ns; near "
                f"are {rates} Hz",
                **about,
            )
        self._fits(self._pulses or {}, near * BLOCK_NS)
        self._period_ns = near * BLOCK_NS
        if self._started and self._pulses is not None:
            await self._start()

    async def set_trigger(self, edge: str) -> None:
        """Wait for an edge of the external trigger, "rising" or "falling"."""
        if edge not in _TRIGGERS:
            accepted = ", ".join(_TRIGGERS)
            raise Refused(f"trigger = {edge!r}, accepted: {accepted}", **self._rpc.about())
        self._trigger = _TRIGGERS[edge]
        self._period_ns = None
        if self._started and self._pulses is not None:
            await self._start()

    async def set_clock(self, clock: str) -> None:
        """Choose the reference: "internal", "125MHz" or "10MHz"; read back."""
        if clock not in _CLOCKS:
            accepted = ", ".join(_CLOCKS)
            raise Refused(f"clock = {clock!r}, accepted: {accepted}", **self._rpc.about())
        await self._rpc.call("selectClock", [_CLOCKS[clock]])
        told = await self._rpc.number("getClock")
        if told != _CLOCKS[clock]:
            raise InstrumentError(
                "clock",
                f"clock {clock} was chosen, but it tells {told:g}; is it connected?",
                **self._rpc.about("selectClock"),
            )

    async def set_running(self, on: bool) -> None:
        """See DelayGenerator."""
        if on and self._pulses is not None:
            await self._start()
            return
        if on:
            return  # what was left runs already
        await self._rpc.call("constant", [_LOW])
        self._started = False
        if self._pulses is None:
            self._pulses = dict.fromkeys(OUTPUTS, Pulse(0, 0))
        if await self._rpc.flag("isStreaming"):
            raise InstrumentError(
                "isStreaming", "it was stopped and still streams", **self._rpc.about("constant")
            )

    async def running(self) -> bool:
        """See DelayGenerator; true also while it waits for an external trigger."""
        return await self._rpc.flag("isStreaming") or (self._started and await self._waits())

    async def _start(self) -> None:
        """Upload and start; an error of the instrument leaves all outputs as they were."""
        assert self._pulses is not None
        internal = self._period_ns is not None
        trigger = _IMMEDIATE if internal else self._trigger
        sequence = steps(self._pulses, self._period_ns)
        data = b"".join(struct.pack("<IBhh", length, mask, 0, 0) for length, mask in sequence)
        await self._rpc.call("setTrigger", [trigger, _REARM_AUTO])
        await self._rpc.call(
            "stream",
            [base64.b64encode(data).decode(), _FOREVER if internal else 1, _LOW],
            timeout_s=3.0,
        )
        self._started = True
        if not await self.running():
            raise InstrumentError(
                "isStreaming", "it was started and does not stream", **self._rpc.about("stream")
            )

    async def _waits(self) -> bool:
        return await self._rpc.flag("hasSequence") and not await self._rpc.flag("hasFinished")

    async def _streams(self) -> bool:
        return await self._rpc.flag("isStreaming") or await self._waits()

    async def _apply_pulses(self, table: Mapping[str, Any]) -> None:
        pulses = {}
        for name, each in table.items():
            if not isinstance(each, dict) or set(each) != {"delay_ps", "width_ps"}:
                raise Refused(
                    f"pulses.{name} = {each!r}, expected delay_ps and width_ps",
                    **self._rpc.about("pulses"),
                )
            pulses[str(name)] = Pulse(each["delay_ps"], each["width_ps"])
        if self._pulses is None:
            # The settings say all that is wanted; what was left running is replaced by it.
            pulses = {**dict.fromkeys(OUTPUTS, Pulse(0, 0)), **pulses}
        await self.set_pulses(pulses)

    def _fits(self, pulses: Mapping[str, Pulse], period_ns: int | None) -> None:
        """Raise Refused where a pulse ends after the next trigger."""
        if period_ns is None:
            return
        for name, pulse in pulses.items():
            if pulse.delay_ps + pulse.width_ps > period_ns * 1000:
                raise Refused(
                    f"the pulse of output {name} ends {pulse.delay_ps + pulse.width_ps} ps after "
                    f"the trigger, and the next trigger comes after {period_ns * 1000} ps",
                    **self._rpc.about("stream"),
                )


def steps(pulses: Mapping[str, Pulse], period_ns: int | None) -> list[tuple[int, int]]:
    """(duration in ns, mask) of each step of a sequence; without a period up to the last edge."""
    edges = {0}
    for pulse in pulses.values():
        edges |= {pulse.delay_ps // 1000, (pulse.delay_ps + pulse.width_ps) // 1000}
    last = max(edges)
    # At least one block, and whole blocks: what the hardware would fill up is said here.
    end = period_ns if period_ns is not None else max(BLOCK_NS, -(-last // BLOCK_NS) * BLOCK_NS)
    times = [*sorted(edge for edge in edges if edge < end), end]
    found: list[tuple[int, int]] = []
    for begin, stop in pairwise(times):
        mask = 0
        for name, pulse in pulses.items():
            high = pulse.delay_ps // 1000 <= begin < (pulse.delay_ps + pulse.width_ps) // 1000
            mask |= high << int(name)
        left = stop - begin
        while left:
            length = min(left, _LONGEST_STEP_NS)
            found.append((length, mask))
            left -= length
    return found
