"""Single Quantum Retina driver of superconducting nanowire detectors: JSON-RPC and WebSocket.

Settings are one tree, read by `getSettings` and changed by `setSettings` with the branches that
change: `devices.<mcu>.channels.<cu>.configuration` holds `biasI` (A) and `triggerV`, `backend.
intTime` is in ms, and `frontend.rankMap` says which [mcu, cu] has which number on the box. Counts
come from `/counts`, a record of 32 bytes a channel: u8 mcu, cu, status, pad, f32 monitor voltage,
f32 bias, u32 counts, u32 integration time in 10 ms, u32 number, f64 time. Facts from the vendor's
MIT client WebSQController.py (2023), see docs/instruments.md. There is no switch for the bias, so
off means a bias of zero. Unverified: a serial number (none is known); the smallest step of a bias.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Mapping
from typing import Any

from drivers.checks import Setter, apply_in_order, is_number, known_options, number_option
from drivers.devices import Detector, Identity, NanowireBias
from drivers.errors import (
    InstrumentError,
    InstrumentProblem,
    NotConnected,
    ProtocolError,
    Refused,
    Timeout,
)
from drivers.framing import PACKET
from drivers.jsonrpc import JsonRpc
from drivers.links.base import Link
from drivers.plugin import Manifest

TRIGGER_V = 10.0
_RECORD = struct.Struct("<BBBxffIIId")
_TICK_MS = 10
_INTEGRATION_MS = (10, 60_000)
_OFF_UA = 0.05
_SAME_UA = 0.1
_HOST = re.compile(r"http://(\[[^\]]+\]|[^:/]+)(:\d+)?(/.*)?")


class Retina(Detector, NanowireBias):
    """A Retina with all its channels, by the number on the box.

    Options: `counts_resource` (default ws://, the same host and port, /counts), `max_bias_ua` (50).
    Settings: `integration_ms`, `trigger_v`, `bias_ua` (lists of one for each channel), `enabled`. A
    bias set while the detectors are off is sent when they are switched on.
    """

    manifest = Manifest(
        driver="singlequantum.retina",
        kind="Detector",
        identity=r"^Retina of \d+ channels",
        links=("http",),
        safe_state="bias of all detectors zero",
        emits=True,
        read_only=("ping", "readings", "enabled", "bias_ua", "trigger_v", "count_rates_cps"),
        http_path="/api",
        sources=(
            "Single Quantum WebSQController.py (2023, MIT)",
            "docs.singlequantum.com/retina/6_remote_control.html",
        ),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("singlequantum.retina", self.options, "counts_resource", "max_bias_ua")
        self._max_bias_ua = number_option(self.options, "max_bias_ua", 50.0, 0.0, 1000.0, "uA")
        self._counts_resource = str(
            self.options.get("counts_resource", _counts_resource(link.resource))
        )
        self._rpc = JsonRpc(link)
        self._counts_link: Link | None = None
        self._reader: asyncio.Task[None] | None = None
        self._places: tuple[tuple[str, str], ...] = ()
        self._wanted_ua: tuple[float, ...] = ()
        self._rates: dict[int, float] = {}
        self._heard_s = 0.0
        self._news = asyncio.Event()
        self._broken: InstrumentProblem | None = None

    async def connect(self) -> Identity:
        """Read the settings, and start listening to the counts."""
        await self.disconnect()
        self._rates.clear()
        self._broken = None
        tree = await self._settings()
        ranks = _branch(tree, "frontend", "rankMap")
        try:
            numbered = sorted((int(rank), str(mcu), str(cu)) for rank, (mcu, cu) in ranks.items())
        except (AttributeError, TypeError, ValueError):
            numbered = []
        if not numbered:
            raise self._rpc.garbled("expected frontend.rankMap", ranks, "getSettings")
        self._places = tuple((mcu, cu) for _, mcu, cu in numbered)
        self._wanted_ua = self._told(tree, "biasI", 1e6)
        self._counts_link = counts = self.link.beside(self._counts_resource)
        await counts.open()
        self._reader = asyncio.create_task(self._read_counts(counts), name="retina counts")
        return Identity(f"Retina of {len(self._places)} channels")

    async def disconnect(self) -> None:
        """Stop listening and close the link of the counts."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        if self._counts_link is not None:
            await self._counts_link.close()
            self._counts_link = None

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `integration_ms`, `trigger_v`, `bias_ua`, then `enabled`."""
        setters: dict[str, Setter] = {
            "integration_ms": (float, self.set_integration_ms),
            "trigger_v": (list, self.set_trigger_v),
            "bias_ua": (list, self.set_bias_ua),
            "enabled": (bool, self.set_enabled),
        }
        await apply_in_order(settings, setters, self._rpc.about())

    async def enter_safe_state(self) -> None:
        """Set every bias to zero and see that the box says so."""
        await self._send_bias((0.0,) * len(self._places))

    async def ping(self) -> None:
        """Read the settings, and see that counts still come."""
        await self._settings()
        self._raise_if_broken()

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Bias as it is, and the count rate, of every channel."""
        tree = await self._settings()
        actual = self._told(tree, "biasI", 1e6)
        shown: dict[str, float | int | bool | str] = {"enabled": any(map(_biased, actual))}
        for channel, bias in enumerate(actual, start=1):
            shown[f"bias_{channel}_ua"] = bias
        for channel, rate in enumerate(await self._fresh_rates(tree), start=1):
            shown[f"rate_{channel}_cps"] = rate
        return shown

    async def set_enabled(self, on: bool) -> None:
        """See Detector; on gives every channel the bias that was set."""
        if not on:
            await self.enter_safe_state()
            return
        self.require_armed("switching the detector bias on")
        if not any(map(_biased, self._wanted_ua)):
            raise Refused("no bias is set; set bias_ua first", **self._rpc.about("biasI"))
        await self._send_bias(self._wanted_ua)

    async def enabled(self) -> bool:
        """See Detector: whether any channel has a bias."""
        return any(map(_biased, self._told(await self._settings(), "biasI", 1e6)))

    async def set_bias_ua(self, bias_ua: tuple[float, ...]) -> None:
        """See NanowireBias; 0 to the option `max_bias_ua`."""
        wanted = self._checked("bias_ua", bias_ua, 0.0, self._max_bias_ua, "uA")
        if await self.enabled():
            if any(map(_biased, wanted)):
                self.require_armed("changing the detector bias")
            await self._send_bias(wanted)
        self._wanted_ua = wanted

    async def bias_ua(self) -> tuple[float, ...]:
        """See NanowireBias; while the detectors are off, what they get when switched on."""
        actual = self._told(await self._settings(), "biasI", 1e6)
        return actual if any(map(_biased, actual)) else self._wanted_ua

    async def set_trigger_v(self, trigger_v: tuple[float, ...]) -> None:
        """Set the discriminator level of every channel, -10 to 10 V."""
        wanted = self._checked("trigger_v", trigger_v, -TRIGGER_V, TRIGGER_V, "V")
        told = self._told(await self._configure("triggerV", wanted), "triggerV", 1.0)
        if any(abs(a - b) > 1e-3 for a, b in zip(told, wanted, strict=True)):
            raise InstrumentError(
                "triggerV", f"{wanted} was set, but it tells {told}", **self._rpc.about("triggerV")
            )

    async def trigger_v(self) -> tuple[float, ...]:
        """The discriminator level of every channel."""
        return self._told(await self._settings(), "triggerV", 1.0)

    async def set_integration_ms(self, integration_ms: float) -> None:
        """Set over how long counts are summed, in steps of 10 ms."""
        low, high = _INTEGRATION_MS
        if not is_number(integration_ms, low, high) or integration_ms % _TICK_MS:
            raise Refused(
                f"integration_ms = {integration_ms!r}, accepted are {low} to {high} in steps of "
                f"{_TICK_MS}",
                **self._rpc.about("intTime"),
            )
        await self._rpc.call("setSettings", {"backend": {"intTime": int(integration_ms)}})
        told = self._integration_ms(await self._settings())
        if told != integration_ms:
            raise InstrumentError(
                "intTime",
                f"{integration_ms:g} ms was set, but it tells {told:g}",
                **self._rpc.about("intTime"),
            )
        self._rates.clear()

    async def count_rates_cps(self) -> tuple[float, ...]:
        """See Detector; waits for counts where the last ones are old."""
        return await self._fresh_rates(await self._settings())

    async def _fresh_rates(self, tree: Any) -> tuple[float, ...]:
        clock = asyncio.get_running_loop().time
        limit_s = 2e-3 * self._integration_ms(tree) + 0.5
        oldest_s = clock() - limit_s
        ranks = range(1, len(self._places) + 1)
        try:
            async with asyncio.timeout(limit_s):
                while self._heard_s < oldest_s or not all(rank in self._rates for rank in ranks):
                    self._raise_if_broken()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise Timeout(
                f"no counts within {limit_s:g} s", **self._rpc.about("(counts)")
            ) from None
        return tuple(self._rates[rank] for rank in ranks)

    async def _read_counts(self, counts: Link) -> None:
        """Keep the last record of every channel; what ends this is kept for whoever asks next."""
        try:
            while True:
                message = await counts.receive(PACKET, timeout_s=None, command="(counts)")
                self._take_counts(message)
        except InstrumentProblem as problem:
            self._broken = problem
        finally:
            self._news.set()

    def _take_counts(self, message: bytes) -> None:
        channels = len(self._places)
        if not message or len(message) % _RECORD.size:
            raise self._bad_counts("expected records of 32 bytes", message)
        for _, _, _, _, _, counts, size, rank, _ in _RECORD.iter_unpack(message):
            if not 1 <= rank <= channels or not size:
                raise self._bad_counts(f"expected a channel of 1 to {channels}", message)
            self._rates[rank] = counts / (size * _TICK_MS * 1e-3)
        self._heard_s = asyncio.get_running_loop().time()
        self._news.set()

    async def _send_bias(self, bias_ua: tuple[float, ...]) -> None:
        tree = await self._configure("biasI", tuple(bias * 1e-6 for bias in bias_ua))
        told = self._told(tree, "biasI", 1e6)
        if any(abs(a - b) > _SAME_UA for a, b in zip(told, bias_ua, strict=True)):
            raise InstrumentError(
                "biasI", f"{bias_ua} uA was set, but it tells {told}", **self._rpc.about("biasI")
            )

    async def _configure(self, name: str, values: tuple[float, ...]) -> Any:
        """Change one entry of every channel; the settings as the box has them afterwards."""
        devices: dict[str, Any] = {}
        for (mcu, cu), value in zip(self._places, values, strict=True):
            channels = devices.setdefault(mcu, {"channels": {}})["channels"]
            channels[cu] = {"configuration": {name: value}}
        await self._rpc.call("setSettings", {"devices": devices})
        return await self._settings()

    async def _settings(self) -> Any:
        tree = await self._rpc.call("getSettings")
        if not isinstance(tree, dict):
            raise self._rpc.garbled("expected a tree of settings", tree, "getSettings")
        return tree

    def _told(self, tree: Any, name: str, factor: float) -> tuple[float, ...]:
        values = []
        for mcu, cu in self._places:
            value = _branch(tree, "devices", mcu, "channels", cu, "configuration", name)
            if not is_number(value, float("-inf"), float("inf")):
                raise self._rpc.garbled(
                    f"expected {name} of channel [{mcu}, {cu}]", value, "getSettings"
                )
            values.append(float(value) * factor)
        return tuple(values)

    def _integration_ms(self, tree: Any) -> float:
        value = _branch(tree, "backend", "intTime")
        if not is_number(value, 1, 1e9):
            raise self._rpc.garbled("expected backend.intTime", value, "getSettings")
        return float(value)

    def _checked(
        self, name: str, values: tuple[float, ...], low: float, high: float, unit: str
    ) -> tuple[float, ...]:
        right = isinstance(values, list | tuple) and len(values) == len(self._places)
        if not right or not all(is_number(value, low, high) for value in values):
            raise Refused(
                f"{name} = {values!r}, accepted: {len(self._places)} values of {low:g} to "
                f"{high:g} {unit}",
                **self._rpc.about(name),
            )
        return tuple(float(value) for value in values)

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise NotConnected(
                f"its counts are no longer received, because: {self._broken.reason}",
                **self._rpc.about("(counts)"),
            ) from self._broken
        if self._reader is None:
            raise NotConnected("not connected yet", **self._rpc.about())
        if self._reader.done():
            self._reader.result()

    def _bad_counts(self, reason: str, message: bytes) -> ProtocolError:
        return ProtocolError(reason, message, **self._rpc.about("(counts)"))


def _counts_resource(resource: str) -> str:
    found = _HOST.fullmatch(resource)
    return f"ws://{found[1]}{found[2] or ':80'}/counts" if found else f"{resource}-counts"


def _branch(tree: Any, *path: str) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def _biased(bias_ua: float) -> bool:
    return abs(bias_ua) > _OFF_UA
