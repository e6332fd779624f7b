"""PicoQuant MultiHarp, HydraHarp, TimeHarp, PicoHarp in T2 mode, through the maker's snAPI.

snAPI is imported at the first connection. Its `unfold` measurement gives 64-bit times without
overflow records and a byte for each: bit 7 marks a marker, else 0 is sync and 1 the first input.
Blocks are views of one buffer that the next call overwrites, so they are copied. Facts from the
source of snAPI and its demos on GitHub, see docs/instruments.md.
Unverified: all of it on hardware; that times are picoseconds whatever the base resolution; that a
full FIFO ends the measurement. A block store that overran is cleared by the library, which only
writes that to its log: such a loss is told here when a block comes full.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from drivers.checks import known_options
from drivers.devices import Identity, TimeTagger
from drivers.errors import InstrumentError, NotConnected, Refused
from drivers.links.base import Link
from drivers.links.vendor import LibraryThread
from drivers.plugin import Manifest
from timing.tags import TagBatch

BATCH_S = 0.05
SYNC_CHANNEL = 65
"""The number under which tags of the sync input are given; inputs are 1 to 64 as printed."""

_MARKER = 0x80
_BLOCK_EVENTS = 16 * 1024 * 1024
_OPEN_S = 30.0


class PicoQuantTagger(TimeTagger):
    """One device in T2 mode: `vendor://SERIAL`, or `vendor://any` for the first that is found.

    Options: `ini` (a configuration file of snAPI, with trigger levels and dead times),
    `block_events` (room for events between two reads, default 16 million). No settings.
    """

    manifest = Manifest(
        driver="picoquant.snapi",
        kind="TimeTagger",
        identity=r"(?i)harp",
        links=("vendor",),
        safe_state="not measuring",
        read_only=("ping", "readings"),
        needs_package="snAPI",
        sources=("PicoQuant/snAPI Main.py and demos on GitHub",),
    )
    resolution_ps = 1
    channels = (*range(1, 65), SYNC_CHANNEL)

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("picoquant.snapi", self.options, "ini", "block_events")
        size = self.options.get("block_events", _BLOCK_EVENTS)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1024:
            raise ValueError(f"block_events = {size!r}, expected a whole number from 1024 on")
        self._size = size
        self._library: Any = None
        self._device: Any = None
        self._thread: LibraryThread | None = None
        self._streaming = False
        self._full_blocks = 0

    async def connect(self) -> Identity:
        """Import snAPI, open the device in T2 mode and load its configuration file."""
        await self.disconnect()
        self._library = _import_library(self.link)
        self._thread = thread = LibraryThread(self.link, "snAPI")
        self._device = await thread.call(self._open, command="getDevice", timeout_s=_OPEN_S)
        told = self._device.deviceConfig
        model, serial = str(told.get("Model", "")), str(told.get("ID", ""))
        return Identity(f"{model} {serial}", serial=serial, firmware=str(told.get("Version", "")))

    async def disconnect(self) -> None:
        """Close the device."""
        device, thread = self._device, self._thread
        self._device = self._thread = None
        if thread is None:
            return
        if device is None:
            thread.close()
        else:
            await thread.give_back(device.closeDevice)

    async def enter_safe_state(self) -> None:
        """It sends nothing out; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Read its configuration."""
        if not await self._call("getDeviceConfig"):
            self.link.poison()
            raise NotConnected("snAPI does not find it any more", **self._about())

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Whether it measures, and blocks that came full, as events are lost then."""
        await self.ping()
        return {"streaming": self._streaming, "full_blocks": self._full_blocks}

    async def stream(self) -> AsyncGenerator[TagBatch, None]:
        """See TimeTagger. Twenty batches a second; the span of each ends with its last tag.

        Raises InstrumentError when the measurement ends by itself.
        """
        if self._streaming:
            raise Refused("a stream runs already", **self._about())
        thread, device = self._connected()
        self._streaming = True
        self._full_blocks = 0
        try:
            started = await thread.call(
                device.unfold.startBlock, 0, self._size, False, command="startBlock"
            )
            if not started:
                raise InstrumentError("startBlock", "snAPI refuses to measure", **self._about())
            stop_ps: int | None = None
            while True:
                await asyncio.sleep(BATCH_S)
                ended = await thread.call(device.unfold.isFinished, command="isFinished")
                block = await thread.call(self._block, device, command="getBlock")
                batch = self._batch(*block, stop_ps)
                stop_ps = batch.stop_ps
                self._full_blocks += batch.overflow
                yield batch
                if ended:
                    raise InstrumentError(
                        "finished",
                        "the measurement has ended by itself; its FIFO may have been full",
                        **self._about(),
                    )
        finally:
            self._streaming = False
            if self.link.usable:
                await thread.call(device.unfold.stopMeasure, command="stopMeasure")

    def _block(self, device: Any) -> tuple[Any, Any]:
        times, channels = device.unfold.getBlock()
        count = int(device.unfold.numRead())
        return np.array(times[:count], copy=True), np.array(channels[:count], copy=True)

    def _batch(self, times: Any, channels: Any, stop_ps: int | None) -> TagBatch:
        """One block as a batch, without its markers."""
        full = len(times) >= self._size
        is_tag = (channels & _MARKER) == 0
        tags = times[is_tag].astype(np.int64)
        numbers = channels[is_tag].astype(np.uint8)
        numbers[numbers == 0] = SYNC_CHANNEL
        if stop_ps is None:
            stop_ps = int(tags[0]) if len(tags) else 0
        return TagBatch(
            time_ps=tags,
            channel=numbers,
            start_ps=min(stop_ps, int(tags[0])) if len(tags) else stop_ps,
            stop_ps=int(tags[-1]) + 1 if len(tags) else stop_ps,
            overflow=full,
            lost=full,
        )

    def _open(self) -> Any:
        device = self._library.snAPI()
        name = self.link.resource.partition("://")[2]
        found = device.getDevice() if name == "any" else device.getDevice(name)
        if not found:
            raise NotConnected(f"snAPI finds no device '{name}'", **self._about())
        if not device.initDevice(self._library.MeasMode.T2):
            raise InstrumentError("initDevice", "T2 mode was not set", **self._about())
        ini = self.options.get("ini")
        if ini is not None and not device.loadIniConfig(str(ini)):
            raise InstrumentError("loadIniConfig", f"{ini} was not taken", **self._about())
        return device

    async def _call(self, function: str, *arguments: Any) -> Any:
        thread, device = self._connected()
        return await thread.call(getattr(device, function), *arguments, command=function)

    def _connected(self) -> tuple[LibraryThread, Any]:
        if self._thread is None or self._device is None:
            raise NotConnected("it is not connected", **self._about())
        return self._thread, self._device

    def _about(self) -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource}


def _import_library(link: Link) -> Any:
    """snAPI; raises NotConnected with what to install, also where it does not load."""
    try:
        return import_module("snAPI.Main")
    except (ImportError, OSError, AttributeError) as error:
        raise NotConnected(
            f"PicoQuant's snAPI cannot be loaded ({error}); install it with `pip install snAPI`, "
            "and the library and licence that came with the device",
            owner=link.owner,
            resource=link.resource,
        ) from error
