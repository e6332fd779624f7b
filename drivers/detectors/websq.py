"""Single Quantum WebSQ driver of superconducting nanowire detectors (Atlas, the older interface).

Control port: JSON objects both ways; each message from the box ends with the byte 0x17, what goes
to the box is concatenated. The box keeps labels: asked for all (`labelProps`) it sends each with
its bounds, later it pushes the new value of a label at any time. A label whose name holds "Error"
is an error. Counts port: one line "unix_time,c1,..,cN" each measurement period.
Sources in docs/instruments.md. Unverified: the names of the bounds in `labelProps`, so the ranges
are those of the options; whether a command that changes nothing is answered, so each command is
confirmed by asking for the labels anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from drivers.devices import Detector, Identity, NanowireBias
from drivers.errors import (
    InstrumentError,
    InstrumentProblem,
    NotConnected,
    ProtocolError,
    Refused,
    Timeout,
)
from drivers.framing import ETB, LINE_LF, JsonStream
from drivers.links.base import Link
from drivers.plugin import Asking, Manifest

log = logging.getLogger(__name__)

COUNTS_PORT = 12345
CONFIRM_LIMIT_S = 3.0
_ASK_AGAIN_S = 0.5
# The box may put several objects between two marks.
_OBJECTS = JsonStream(ETB.mark)
_OPTIONS = {"counts_port", "counts_resource", "max_bias_ua", "max_trigger_mv"}
_SETTINGS = ("measurement_period_ms", "trigger_mv", "bias_ua", "enabled")
_HOST = re.compile(r"tcp://(\[[^\]]+\]|[^:/]+):\d+/?|TCPIP\d*::([^:]+)::\d+::SOCKET", re.IGNORECASE)


class WebSq(Detector, NanowireBias):
    """A WebSQ box. Settings: `measurement_period_ms`, `trigger_mv`, `bias_ua`, `enabled`.

    Options: `counts_port` (default 12345) on the same host, or `counts_resource` in full;
    `max_bias_ua` (default 50) and `max_trigger_mv` (default 1000), bounds of what is sent.
    """

    manifest = Manifest(
        driver="singlequantum.websq",
        kind="Detector",
        identity=r"NumberOfDetectors \d+",
        links=("tcp",),
        safe_state="bias of all detectors off",
        tcp_port=12000,
        asking=Asking(b"", ETB),
        emits=True,
        read_only=("ping", "readings", "enabled", "bias_ua", "trigger_mv", "count_rates_cps"),
        sources=("Single Quantum WebSQControl.py (2016, MIT)", "Qcodes_contrib SingleQuantum.py"),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        if unknown := set(self.options) - _OPTIONS:
            raise ValueError(
                f"singlequantum.websq: unknown options {', '.join(sorted(unknown))}; "
                f"there are {', '.join(sorted(_OPTIONS))}"
            )
        self._counts_resource = _counts_resource(link.resource, self.options)
        self._max_bias_ua = _positive(self.options, "max_bias_ua", 50.0)
        self._max_trigger_mv = _positive(self.options, "max_trigger_mv", 1000.0)
        self._counts_link: Link | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._forget()

    def _forget(self) -> None:
        self._labels: dict[str, Any] = {}
        self._heard: dict[str, int] = {}  # how many messages had come when the label last came
        self._messages = 0
        self._error: tuple[str, str] | None = None  # the last one told, label and text
        self._error_pushed = 0  # how many messages had come when an error was last pushed
        self._counts: tuple[int, ...] | None = None
        self._counts_s = 0.0
        self._skip_lines = 0
        self._broken: InstrumentProblem | None = None
        self._counts_broken: InstrumentProblem | None = None
        self._news = asyncio.Event()

    async def connect(self) -> Identity:
        """Start listening on both ports and learn all labels."""
        await self.disconnect()
        self._forget()
        self._counts_link = counts = self.link.beside(self._counts_resource)
        # Without counts it is no working detector, and `ping` says so; but whoever connects only to
        # take the bias away must not be held up by them.
        self._readers = [
            asyncio.create_task(self._listen_to_labels(), name="websq labels"),
            asyncio.create_task(self._listen_to_counts(counts), name="websq counts"),
        ]
        await self._ask_until(lambda: "NumberOfDetectors" in self._labels, "labelProps")
        return Identity(f"NumberOfDetectors {self._channels()}")

    async def disconnect(self) -> None:
        """Stop listening and close the counts port."""
        readers, self._readers = self._readers, []
        self._news.set()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        if self._counts_link is not None:
            await self._counts_link.close()
            self._counts_link = None

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `measurement_period_ms`, `trigger_mv`, `bias_ua`, then `enabled`."""
        await super().apply({k: v for k, v in settings.items() if k not in _SETTINGS})
        enabled = settings.get("enabled")
        if enabled is not None and not isinstance(enabled, bool):
            raise self._refused("enabled", enabled, "true or false")
        if "measurement_period_ms" in settings:
            await self.set_measurement_period_ms(settings["measurement_period_ms"])
        if "trigger_mv" in settings:
            await self.set_trigger_mv(tuple(settings["trigger_mv"]))
        if "bias_ua" in settings:
            await self.set_bias_ua(tuple(settings["bias_ua"]))
        if enabled is not None:
            await self.set_enabled(enabled)

    async def enter_safe_state(self) -> None:
        """Switch the bias off and see that the box says so."""
        await self._command("DetectorEnable", "DetectorEnable", False)

    async def ping(self) -> None:
        """Ask for the labels and wait for one; counts have to be received as well."""
        self._raise_if_broken(counts=True)
        asked_at = self._messages
        await self._ask_until(
            lambda: self._heard.get("NumberOfDetectors", 0) > asked_at, "labelProps"
        )

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Bias, count rates of each channel, and the last error the box told."""
        shown: dict[str, float | int | bool | str] = {"enabled": await self.enabled()}
        for channel, bias in enumerate(await self.bias_ua(), start=1):
            shown[f"bias_{channel}_ua"] = bias
        for channel, rate in enumerate(await self.count_rates_cps(), start=1):
            shown[f"rate_{channel}_cps"] = rate
        if self._error is not None:
            shown["last_error"] = ": ".join(self._error)
        return shown

    async def set_enabled(self, on: bool) -> None:
        """See Detector."""
        if on:
            self.require_armed("switching the detector bias on")
        await self._command("DetectorEnable", "DetectorEnable", on)

    async def enabled(self) -> bool:
        """See Detector."""
        value = self._label("DetectorEnable")
        if not isinstance(value, bool | int):
            raise self._garbled("expected true or false", value, "DetectorEnable")
        return bool(value)

    async def set_bias_ua(self, bias_ua: tuple[float, ...]) -> None:
        """See Detector; one value for each detector, 0 to the option `max_bias_ua`."""
        values = self._checked("bias_ua", bias_ua, 0.0, self._max_bias_ua)
        await self._command("SetAllBiasCurrents", "BiasCurrent", values)

    async def bias_ua(self) -> tuple[float, ...]:
        """See Detector."""
        return self._list("BiasCurrent")

    async def set_trigger_mv(self, trigger_mv: tuple[float, ...]) -> None:
        """Set the discriminator level of every channel; raises Refused with the range."""
        limit = self._max_trigger_mv
        values = self._checked("trigger_mv", trigger_mv, -limit, limit)
        await self._command("SetAllTriggerLevels", "TriggerLevel", values)

    async def trigger_mv(self) -> tuple[float, ...]:
        """The discriminator level of every channel."""
        return self._list("TriggerLevel")

    async def set_measurement_period_ms(self, period_ms: float) -> None:
        """Set over how long counts are summed, 1 to 60000 ms."""
        if not _in_range(period_ms, 1, 60_000):
            raise self._refused("measurement_period_ms", period_ms, "1 to 60000 ms")
        await self._command("SetMeasurementPeriod", "InptMeasurementPeriod", period_ms)
        self._counts = None
        self._skip_lines = 1  # it was begun under the old period

    async def count_rates_cps(self) -> tuple[float, ...]:
        """See Detector; waits for a line of counts when the last one is older than two periods."""
        self._raise_if_broken(counts=True)
        period_s = self._number("InptMeasurementPeriod") * 1e-3
        clock = asyncio.get_running_loop().time
        limit_s = 2 * period_s + 1.0
        oldest_s = clock() - limit_s
        await self._until(
            lambda: self._counts is not None and self._counts_s >= oldest_s,
            limit_s,
            "a line of counts",
            counts=True,
        )
        assert self._counts is not None
        return tuple(count / period_s for count in self._counts)

    async def _command(self, command: str, label: str, value: object) -> None:
        """Send a command and ask for the labels until this one tells the value."""
        self._raise_if_broken()
        asked_at = self._messages
        message = {"command": command, "label": label, "value": value}
        await self.link.send(json.dumps(message).encode())
        await self._ask_until(
            lambda: self._heard.get(label, 0) > asked_at and _same(self._labels[label], value),
            command,
        )

    async def _ask_until(self, reached: Callable[[], bool], command: str) -> None:
        """Ask for all labels, again and again, until something holds or an error comes."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + CONFIRM_LIMIT_S
        asked_at = self._messages
        while True:
            self._raise_if_broken()
            await self.link.send(b'{"request":"labelProps","value":"None"}')
            left_s = min(_ASK_AGAIN_S, end_s - clock())
            try:
                await self._until(
                    lambda: reached() or self._error_pushed > asked_at, left_s, command
                )
            except Timeout:
                if clock() >= end_s:
                    raise self._timeout(CONFIRM_LIMIT_S, command) from None
                continue
            if self._error is not None and self._error_pushed > asked_at:
                raise InstrumentError(*self._error, **self._about(command))
            return

    async def _until(
        self, reached: Callable[[], bool], limit_s: float, command: str, *, counts: bool = False
    ) -> None:
        try:
            async with asyncio.timeout(limit_s):
                while not reached():
                    self._raise_if_broken(counts=counts)
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise self._timeout(limit_s, command) from None

    async def _listen_to_labels(self) -> None:
        """Read labels; what ends that is kept for whoever asks next."""
        try:
            await self._read_labels()
        except InstrumentProblem as problem:
            self._broken = problem
            self._news.set()

    async def _listen_to_counts(self, counts: Link) -> None:
        """Likewise for the counts."""
        try:
            await counts.open()
            await self._read_counts(counts)
        except InstrumentProblem as problem:
            self._counts_broken = problem
            self._news.set()

    async def _read_labels(self) -> None:
        while True:
            message = await self.link.receive(_OBJECTS, timeout_s=None, command="(labels)")
            item = self._object(message)
            self._messages += 1
            label, value = item.get("label"), item.get("value")
            if isinstance(label, str) and isinstance(value, dict):
                # An answer to labelProps tells bounds and units beside the value.
                self._take_label(label, value.get("value"), pushed=False)
            elif isinstance(label, str):
                self._take_label(label, value, pushed=True)
            self._news.set()

    def _take_label(self, label: str, value: Any, *, pushed: bool) -> None:
        if "Error" not in label:
            self._labels[label] = value
            self._heard[label] = self._messages
        elif value not in (None, "", "None", False, 0, []):
            error = (label, str(value))
            if pushed:
                self._error_pushed = self._messages
            if pushed or error != self._error:
                log.warning("%s: %s: %s", self.link.owner, *error)
            self._error = error

    def _object(self, message: bytes) -> dict[str, Any]:
        try:
            item = json.loads(message)
        except ValueError:
            item = None
        if not isinstance(item, dict):
            raise self._garbled("expected a JSON object", message, "(labels)")
        return item

    async def _read_counts(self, counts: Link) -> None:
        await counts.receive(LINE_LF, timeout_s=None, command="(counts)")  # may begin in the middle
        while True:
            line = await counts.receive(LINE_LF, timeout_s=None, command="(counts)")
            fields = line.split(b",")
            try:
                values = tuple(int(float(field)) for field in fields[1:])
                float(fields[0])
            except (ValueError, OverflowError):
                values = ()
            channels = self._labels.get("NumberOfDetectors", len(values))
            if not values or len(values) != channels:
                raise self._garbled("expected a time and counts", line, "(counts)")
            if self._skip_lines:
                self._skip_lines -= 1
                continue
            self._counts = values
            self._counts_s = asyncio.get_running_loop().time()
            self._news.set()

    def _raise_if_broken(self, *, counts: bool = False) -> None:
        broken = self._broken or (self._counts_broken if counts else None)
        if broken is not None:
            # A new one for each who asks: an exception object raised twice grows its traceback.
            raise NotConnected(
                f"it is no longer listened to, because: {broken.reason}", **self._about()
            ) from broken
        for reader in self._readers:
            if reader.done():
                reader.result()
        if not self._readers:
            raise NotConnected("not connected yet", **self._about())

    def _label(self, label: str) -> Any:
        self._raise_if_broken()
        if label not in self._labels:
            raise InstrumentError("label", f"the box told no label {label}", **self._about(label))
        return self._labels[label]

    def _number(self, label: str) -> float:
        value = self._label(label)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise self._garbled("expected a positive number", value, label)
        return float(value)

    def _channels(self) -> int:
        return int(self._number("NumberOfDetectors"))

    def _list(self, label: str) -> tuple[float, ...]:
        value = self._label(label)
        if not isinstance(value, list) or not all(isinstance(v, int | float) for v in value):
            raise self._garbled("expected a list of numbers", value, label)
        return tuple(float(v) for v in value)

    def _checked(
        self, name: str, values: tuple[float, ...], low: float, high: float
    ) -> list[float]:
        wanted = f"{self._channels()} values of {low:g} to {high:g} {name.rpartition('_')[2]}"
        if len(values) != self._channels() or not all(_in_range(v, low, high) for v in values):
            raise self._refused(name, values, wanted)
        return [float(value) for value in values]

    def _refused(self, name: str, value: object, accepted: str) -> Refused:
        return Refused(f"{name} = {value!r}, accepted: {accepted}", **self._about())

    def _timeout(self, limit_s: float, command: str) -> Timeout:
        return Timeout(f"no answer within {limit_s:g} s", **self._about(command))

    def _garbled(self, reason: str, found: object, command: str) -> ProtocolError:
        raw = found if isinstance(found, bytes) else repr(found).encode()
        return ProtocolError(reason, raw, **self._about(command))

    def _about(self, command: str = "") -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}


def _counts_resource(resource: str, options: Mapping[str, Any]) -> str:
    if "counts_resource" in options:
        return str(options["counts_resource"])
    port = options.get("counts_port", COUNTS_PORT)
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise ValueError(f"counts_port = {port!r}, expected a TCP port of 1 to 65535")
    if found := _HOST.fullmatch(resource):
        return f"tcp://{found[1] or found[2]}:{port}"
    return f"{resource}-counts"  # in memory there are names, not ports


def _positive(options: Mapping[str, Any], name: str, default: float) -> float:
    value = options.get(name, default)
    if not _in_range(value, 1e-9, 1e9):
        raise ValueError(f"{name} = {value!r}, expected a positive number")
    return float(value)


def _in_range(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _same(found: Any, wanted: object) -> bool:
    """The box tells what was set, up to the steps of its converters (a thousandth is near)."""
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_same(f, w) for f, w in zip(found, wanted, strict=True))
        )
    if isinstance(wanted, bool):
        return isinstance(found, bool | int) and bool(found) is wanted
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return abs(found - wanted) <= 0.05 + 1e-3 * abs(wanted)
    return bool(found == wanted)
