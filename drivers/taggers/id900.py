"""IDQ ID900 and ID1000 Time Controllers: SCPI over ZeroMQ, tags through IDQ's DataLinkTarget.

Control: one SCPI command a message to port 5555 (ZeroMQ REQ), and a reply to every one, empty for a
set. Tags: the service DataLinkTarget (DLT, part of IDQ's software, port 6060, replies in JSON)
takes them from the box and gives each channel's as ZeroMQ PAIR messages of u64 picoseconds, one
message a sub-acquisition. Times restart at each, so time = tag + period * number of the message.
Between two sub-acquisitions the box is blind for 40 ns.
Sources in docs/instruments.md. Unverified: the words of `*IDN?`; that every error reply holds
SCPI_ERR_; that a channel without a click in a sub-acquisition sends an empty message. Where one
sends none, its stream ends with an error instead of a wrong time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from drivers.devices import Identity, TimeTagger
from drivers.errors import InstrumentError, InstrumentProblem, ProtocolError, Refused, Timeout
from drivers.framing import PACKET
from drivers.links.base import Link
from drivers.plugin import Manifest
from drivers.taggers.id900_dlt import CHANNELS, DataLinkTarget, resources
from drivers.taggers.id900_stream import SubAcquisitions
from timing.tags import PS_PER_S, TagBatch

DEAD_TIME_PS = 40_000
SHORTEST_S, LONGEST_S = 0.2, 2.0
"""Of a sub-acquisition: the box needs 0.2 s; beyond 2 s a fast channel would fill a message."""

_OPTIONS = {"inputs", "dlt", "streams", "address", "sub_acquisition_s", "max_threshold_v"}
_SETTINGS = ("resolution", "threshold_v", "edge", "coupling", "recalibrate")
_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*")
_SERIAL = re.compile(r"(?:serial|s/?n)\W*([\w-]+)", re.IGNORECASE)
_LOOK_S = 1.0


class Id900(TimeTagger):
    """A Time Controller with four stop inputs.

    Options: `inputs` (default 1 to 4), `sub_acquisition_s` (0.2), `dlt` (resource of the DLT
    service, default port 6060 of this computer), `streams` (resources of the inputs' streams,
    default ports 4242 to 4245 there), `address` (of the box as the DLT sees it; default the host of
    the resource), `max_threshold_v` (2.0). Settings, one value or one for each input:
    `threshold_v`, `edge` ("RISING", "FALLING"), `coupling` ("DC", "AC"); and `resolution`
    ("HIRES", "LOWRES"), `recalibrate` (true).
    """

    manifest = Manifest(
        driver="idquantique.id900",
        kind="TimeTagger",
        identity=r"(?i)id ?quantique|\bIDQ?-?(?:9|10)00\b|time ?controller",
        links=("zmq",),
        safe_state="not streaming",
        read_only=("ping", "readings"),
        sources=("vendor's Python examples", "manual p. 77 (manualshive.com 3560472)"),
    )
    resolution_ps = 1
    channels = CHANNELS

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        if unknown := set(self.options) - _OPTIONS:
            raise ValueError(
                f"idquantique.id900: unknown options {', '.join(sorted(unknown))}; "
                f"there are {', '.join(sorted(_OPTIONS))}"
            )
        self._inputs = _inputs(self.options.get("inputs", CHANNELS))
        length_s = self.options.get("sub_acquisition_s", SHORTEST_S)
        if not _in_range(length_s, SHORTEST_S, LONGEST_S):
            raise ValueError(f"sub_acquisition_s = {length_s!r}, expected 0.2 to 2")
        self._width_ps = round(length_s * PS_PER_S)
        self._period_ps = self._width_ps + DEAD_TIME_PS
        bound = self.options.get("max_threshold_v", 2.0)
        if not _in_range(bound, 0.0, 5.0):
            raise ValueError(f"max_threshold_v = {bound!r}, expected 0 to 5")
        self._max_threshold_v = float(bound)
        self._places = resources(link.resource, self.options)
        self._dlt: DataLinkTarget | None = None
        self._streaming = False
        self._rates_cps: dict[int, float] = {}
        self._lossy_batches = 0

    async def connect(self) -> Identity:
        """Ask who it is, reach the DLT, and end a stream of an earlier life."""
        await self.disconnect()
        self._streaming = False
        text = await self._ask("*IDN?")
        if not text.isprintable() and not text.replace("\n", " ").isprintable():
            raise self._garbled("expected an identity", text, "*IDN?")
        self._dlt = dlt = DataLinkTarget(self.link, self._places)
        await dlt.open()
        await self._stop()
        found = _SERIAL.search(text)
        return Identity(text=" ".join(text.split()), serial=found[1] if found else "")

    async def disconnect(self) -> None:
        """Close the link to the DLT."""
        dlt, self._dlt = self._dlt, None
        if dlt is not None:
            await dlt.close()

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `resolution`, `threshold_v`, `edge`, `coupling`; not while a stream runs."""
        await super().apply({k: v for k, v in settings.items() if k not in _SETTINGS})
        if self._streaming and settings:
            raise Refused("settings change only while no stream runs", **self._about())
        limit = self._max_threshold_v
        thresholds = self._each(
            settings,
            "threshold_v",
            lambda v: _in_range(v, -limit, limit),
            f"-{limit:g} to {limit:g}",
        )
        edges = self._each(settings, "edge", ("RISING", "FALLING").__contains__, "RISING, FALLING")
        couplings = self._each(settings, "coupling", ("DC", "AC").__contains__, "DC, AC")
        resolution = settings.get("resolution")
        if resolution not in (None, "HIRES", "LOWRES"):
            raise self._refused("resolution", resolution, "HIRES, LOWRES")
        if settings.get("recalibrate", False) not in (True, False):
            raise self._refused("recalibrate", settings["recalibrate"], "true or false")
        if resolution is not None:
            await self._tell(f"DEVI:RES {resolution}")
        for channel, volts in thresholds.items():
            await self._set_threshold(channel, volts)
        for name, values in (("EDGE", edges), ("COUP", couplings)):
            for channel, value in values.items():
                await self._set_word(f"INPU{channel}:{name}", value)
        if settings.get("recalibrate"):
            await self._tell("DEVI:SAMP:RECA")

    async def enter_safe_state(self) -> None:
        """Stop streaming and see that it has stopped."""
        await self._stop()
        stage = (await self._ask("REC:STAG?")).strip().upper()
        if stage == "PLAYING":
            raise InstrumentError("REC:STAG", "it goes on recording", **self._about("REC:STOP"))

    async def ping(self) -> None:
        """Ask for the stage of the recording; both it and the DLT have to answer."""
        await self._ask("REC:STAG?")
        await self._target().ping()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """The base bin and thresholds; while a stream runs also rates and batches with loss."""
        bin_ps = round(await self._number("DEVI:RES:BWID?"))
        shown: dict[str, float | int | bool | str] = {
            "streaming": self._streaming,
            "base_bin_ps": bin_ps,
        }
        for channel in self._inputs:
            shown[f"threshold_{channel}_v"] = await self._threshold_v(channel)
        if self._streaming:
            shown |= {f"rate_{channel}_cps": rate for channel, rate in self._rates_cps.items()}
            shown["lossy_batches"] = self._lossy_batches
        return shown

    async def stream(self) -> AsyncGenerator[TagBatch, None]:
        """See TimeTagger. A batch a sub-acquisition; what the box lost is told once a second."""
        if self._streaming:
            raise Refused("a stream runs already", **self._about())
        self._streaming = True
        self._lossy_batches = 0
        self._rates_cps = dict.fromkeys(self._inputs, 0.0)
        dlt = self._target()
        clock = asyncio.get_running_loop().time
        parts = SubAcquisitions(self._inputs, self._period_ps, self._width_ps)
        period_s = self._period_ps / PS_PER_S
        try:
            # ZeroMQ gives nothing, and no word, to who comes while the far end still holds the
            # client before. So a stream that does not begin is begun once more: no time was told.
            for tries_left in (1, 0):
                await self._prepare()
                async with dlt.streams(self._inputs) as links:
                    for channel in self._inputs:
                        await self._tell(f"RAW{channel}:SEND ON")
                    await self._tell("REC:PLAY")
                    looked_s = clock()
                    try:
                        payloads = await dlt.next_of_each(links, period_s)
                    except Timeout:
                        if tries_left:
                            continue
                        raise
                    while True:
                        lost = False
                        if clock() - looked_s >= _LOOK_S:
                            looked_s = clock()
                            lost = await self._lost_since()
                        about = self._about("(stream)")
                        batch = await parts.batch(payloads, lost=lost, about=about)
                        self._account(batch)
                        yield batch
                        payloads = await dlt.next_of_each(links, period_s)
        except (ProtocolError, Timeout):
            self.link.poison()
            raise
        finally:
            try:
                if self.link.usable:
                    with contextlib.suppress(InstrumentProblem):
                        await self._stop()
            finally:
                self._streaming = False

    async def _prepare(self) -> None:
        """The wiring and the window of the stream, whatever was set before."""
        for command in (
            "REC:TRIG:ARM:MODE MANU",
            "REC:ENAB ON",
            "REC:STOP",
            "REC:NUM INF",
            f"REC:PWID {self._width_ps};PPER {self._period_ps}",
        ):
            await self._tell(command)
        for n in self._inputs:
            await self._tell(f"TSCO{n}:FIR:LINK INPU{n}")
            await self._tell(f"TSCO{n}:OPIN ONLYFIR;OPOU ONLYFIR;WIND:ENAB OFF")
            await self._tell(f"RAW{n}:STOP:LINK TSCO{n};:RAW{n}:REF:LINK NONE")
            await self._tell(f"RAW{n}:ERRORS:CLEAR")
        period_ps = round(await self._number("REC:PPER?"))
        if period_ps != self._period_ps:
            raise InstrumentError(
                "REC:PPER",
                f"a period of {self._period_ps} ps was set, but it tells {period_ps}",
                **self._about("REC:PPER"),
            )

    async def _stop(self) -> None:
        await self._tell("REC:STOP")
        for channel in CHANNELS:
            await self._tell(f"RAW{channel}:SEND OFF")
        await self._target().stop_all()

    async def _lost_since(self) -> bool:
        """Whether box or DLT have lost tags since the last look."""
        lost = await self._target().new_errors()
        for channel in self._inputs:
            if await self._number(f"RAW{channel}:ERRORS?"):
                await self._tell(f"RAW{channel}:ERRORS:CLEAR")
                lost = True
        return lost

    def _account(self, batch: TagBatch) -> None:
        self._lossy_batches += batch.lost
        for channel in self._inputs:
            count = int((batch.channel == channel).sum())
            self._rates_cps[channel] = count * PS_PER_S / self._width_ps

    async def _set_threshold(self, channel: int, volts: float) -> None:
        await self._tell(f"INPU{channel}:THRE {volts:g}V")
        told = await self._threshold_v(channel)
        if abs(told - volts) > 0.02:
            raise InstrumentError(
                "THRE", f"{volts:g} V was set, but it tells {told:g} V", **self._about("THRE")
            )

    async def _threshold_v(self, channel: int) -> float:
        return await self._number(f"INPU{channel}:THRE?", {"": 1.0, "V": 1.0, "MV": 1e-3})

    async def _set_word(self, name: str, value: str) -> None:
        await self._tell(f"{name} {value}")
        told = (await self._ask(f"{name}?")).strip().upper()
        if told != value:
            raise InstrumentError(
                name, f"{value} was set, but it tells {told!r}", **self._about(name)
            )

    def _target(self) -> DataLinkTarget:
        if self._dlt is None:
            raise Refused("not connected yet", **self._about())
        return self._dlt

    async def _tell(self, command: str) -> None:
        await self._ask(command)

    async def _ask(self, command: str) -> str:
        raw = await self.link.exchange(
            PACKET.wrap(command.encode()), PACKET, timeout_s=1.0, command=command
        )
        text = raw.decode("latin-1")
        if "SCPI_ERR" in text.upper():
            raise InstrumentError("SCPI", " ".join(text.split()), **self._about(command))
        return text

    async def _number(self, command: str, units: Mapping[str, float] | None = None) -> float:
        """A number with or without a unit; TB, the box's time base, is a picosecond."""
        text = await self._ask(command)
        found = _NUMBER.fullmatch(text)
        known = units or {"": 1.0, "TB": 1.0, "PS": 1.0}
        if found is None or found[2].upper() not in known:
            raise self._garbled("expected a number", text, command)
        return float(found[1]) * known[found[2].upper()]

    def _each(
        self, settings: Mapping[str, Any], name: str, allowed: Any, accepted: str
    ) -> dict[int, Any]:
        """A setting for each input, from one value or a list."""
        if name not in settings:
            return {}
        value = settings[name]
        values = value if isinstance(value, list | tuple) else [value] * len(self._inputs)
        if len(values) != len(self._inputs) or not all(allowed(each) for each in values):
            raise self._refused(
                name, value, f"one value or {len(self._inputs)}, each of: {accepted}"
            )
        return dict(zip(self._inputs, values, strict=True))

    def _refused(self, name: str, value: object, accepted: str) -> Refused:
        return Refused(f"{name} = {value!r}, accepted: {accepted}", **self._about())

    def _garbled(self, reason: str, text: str, command: str) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, text.encode("latin-1"), **self._about(command))

    def _about(self, command: str = "") -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource, "command": command}


def _inputs(value: Any) -> tuple[int, ...]:
    inputs = tuple(value) if isinstance(value, list | tuple) else ()
    if not inputs or len(set(inputs)) != len(inputs) or not set(inputs) <= set(CHANNELS):
        raise ValueError(f"inputs = {value!r}, expected some of {list(CHANNELS)}, each once")
    return tuple(sorted(inputs))


def _in_range(value: object, low: float, high: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high  # type: ignore[operator,arg-type]
