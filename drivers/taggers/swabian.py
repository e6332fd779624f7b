"""Swabian Instruments Time Tagger (20, Ultra, X), through the maker's library.

The library is imported at the first connection, as `TimeTagger` (old installers) or
`Swabian.TimeTagger` (the wheel). Tags come from its `TimeTagStream`: times in int64 ps since the
device was switched on, and for each event a type: 0 tag, 1 error, 2 and 3 begin and end of an
overflow, 4 missed events with their number. Facts from the maker's documentation and public
scripts, see docs/instruments.md.
Unverified: all of it on hardware; tested against a stand-in with the documented functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from drivers.checks import is_number, known_options
from drivers.devices import Identity, TimeTagger
from drivers.errors import InstrumentError, NotConnected, Refused
from drivers.links.base import Link
from drivers.links.vendor import LibraryThread
from drivers.plugin import Manifest
from timing.tags import TagBatch

BATCH_S = 0.05
MODULES = ("TimeTagger", "Swabian.TimeTagger")
LARGEST_BUFFER = 256 * 1024 * 1024 - 1
"""Events that one buffer may hold, as the maker's wrapper bounds it."""

_TAG, _ERROR, _OVERFLOW_BEGIN, _OVERFLOW_END, _MISSED = range(5)
_LEVEL_V = (-5.0, 5.0)
_OPEN_S = 20.0


class SwabianTagger(TimeTagger):
    """One Time Tagger: `vendor://SERIAL`, `vendor://any`, or `vendor://HOST:41101` for a server.

    Options: `channels` (default [1, 2, 3, 4]; negative numbers, for falling edges, have no place in
    tags and are refused), `buffer_events` (default 10 million).
    Settings: `trigger_v`, one number for all channels, or a list with one for each.
    """

    manifest = Manifest(
        driver="swabian.timetagger",
        kind="TimeTagger",
        identity=r"(?i)time ?tagger",
        links=("vendor",),
        safe_state="not streaming",
        read_only=("ping", "readings"),
        needs_package="TimeTagger",
        sources=(
            "Time Tagger documentation: TimeTagStream, units of measurement",
            "public scripts with TimeTagStream",
        ),
    )
    resolution_ps = 1
    channels = tuple(range(1, 21))

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        known_options("swabian.timetagger", self.options, "channels", "buffer_events")
        wanted = self.options.get("channels", [1, 2, 3, 4])
        if not isinstance(wanted, list) or not wanted or not set(wanted) <= set(self.channels):
            raise ValueError(f"channels = {wanted!r}, expected a list of inputs from 1 to 20")
        self._inputs = sorted(set(wanted))
        size = self.options.get("buffer_events", 10_000_000)
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST_BUFFER:
            raise ValueError(f"buffer_events = {size!r}, expected 1 to {LARGEST_BUFFER}")
        self._size = size
        self._library: Any = None
        self._tagger: Any = None
        self._thread: LibraryThread | None = None
        self._streaming = False
        self._lost_tags = 0
        self._overflows = 0

    async def connect(self) -> Identity:
        """Import the library and open the instrument; an open one is given back first."""
        await self.disconnect()
        self._library = _import_library(self.link)
        self._thread = thread = LibraryThread(self.link, "the Time Tagger library")
        name = self.link.resource.partition("://")[2]
        self._tagger = await thread.call(
            self._open, name, command="createTimeTagger", timeout_s=_OPEN_S
        )
        serial = str(await thread.call(self._tagger.getSerial, command="getSerial"))
        model = str(await thread.call(self._tagger.getModel, command="getModel"))
        return Identity(f"{model} {serial}", serial=serial)

    async def disconnect(self) -> None:
        """Give the instrument back to the library."""
        tagger, thread = self._tagger, self._thread
        self._tagger = self._thread = None
        if thread is None:
            return
        if tagger is None:
            thread.close()
        else:
            await thread.give_back(self._library.freeTimeTagger, tagger)

    async def apply(self, settings: Mapping[str, Any]) -> None:
        """Settings: `trigger_v`; not while a stream runs."""
        rest = dict(settings)
        levels = rest.pop("trigger_v", None)
        await super().apply(rest)
        if levels is None:
            return
        each = levels if isinstance(levels, list) else [levels] * len(self._inputs)
        if len(each) != len(self._inputs) or not all(is_number(v, *_LEVEL_V) for v in each):
            raise Refused(
                f"trigger_v = {levels!r}, accepted is one number of {_LEVEL_V[0]:g} to "
                f"{_LEVEL_V[1]:g} V, or one for each of {len(self._inputs)} channels",
                **self._about(),
            )
        if self._streaming:
            raise Refused("settings change only while no stream runs", **self._about())
        for channel, level in zip(self._inputs, each, strict=True):
            await self._call("setTriggerLevel", channel, float(level))

    async def enter_safe_state(self) -> None:
        """It sends nothing out; shows that it answers."""
        await self.ping()

    async def ping(self) -> None:
        """Ask for its serial number."""
        try:
            await self._call("getSerial")
        except InstrumentError as error:
            # The library's word for an instrument that was unplugged.
            self.link.poison()
            raise NotConnected(f"the library says {error.text}", **self._about()) from error

    async def readings(self) -> dict[str, float | int | bool | str]:
        """Trigger levels; tags and overflows that the present or last stream has lost."""
        levels = {
            f"trigger_{channel}_v": float(await self._call("getTriggerLevel", channel))
            for channel in self._inputs
        }
        return {
            **levels,
            "streaming": self._streaming,
            "lost_tags": self._lost_tags,
            "overflows": self._overflows,
        }

    async def stream(self) -> AsyncGenerator[TagBatch, None]:
        """See TimeTagger. Twenty batches a second; the span of each ends with its last tag."""
        if self._streaming:
            raise Refused("a stream runs already", **self._about())
        thread, tagger = self._connected()
        self._streaming = True
        self._lost_tags = self._overflows = 0
        source: Any = None
        try:
            source = await thread.call(
                self._library.TimeTagStream,
                tagger,
                self._size,
                self._inputs,
                command="TimeTagStream",
            )
            stop_ps: int | None = None
            while True:
                await asyncio.sleep(BATCH_S)
                data = await thread.call(source.getData, command="getData")
                batch = self._batch(data, stop_ps)
                stop_ps = batch.stop_ps
                self._lost_tags += batch.lost_tags
                self._overflows += batch.overflow
                yield batch
        finally:
            self._streaming = False
            if source is not None and self.link.usable:
                await thread.call(source.stop, command="stop")

    def _batch(self, data: Any, stop_ps: int | None) -> TagBatch:
        """One buffer of the library as a batch."""
        kind = np.asarray(data.getEventTypes())
        time_ps = np.asarray(data.getTimestamps(), dtype=np.int64)
        channel = np.asarray(data.getChannels())
        missed = int(np.asarray(data.getMissedEvents())[kind == _MISSED].sum())
        overflow = bool(data.hasOverflows) or bool(
            np.isin(kind, (_OVERFLOW_BEGIN, _OVERFLOW_END)).any()
        )
        full = int(data.size) >= self._size
        is_tag = kind == _TAG
        tags = time_ps[is_tag]
        if stop_ps is None:
            stop_ps = int(tags[0]) if len(tags) else int(data.tStart)
        return TagBatch(
            time_ps=tags,
            channel=channel[is_tag].astype(np.uint8),
            start_ps=stop_ps,
            stop_ps=int(tags[-1]) + 1 if len(tags) else stop_ps,
            overflow=overflow or full,
            lost=overflow or full or missed > 0 or bool((kind == _ERROR).any()),
            lost_tags=missed,
        )

    def _open(self, name: str) -> Any:
        if ":" in name:
            return self._library.createTimeTaggerNetwork(name)
        return self._library.createTimeTagger("" if name == "any" else name)

    async def _call(self, function: str, *arguments: Any) -> Any:
        thread, tagger = self._connected()
        return await thread.call(getattr(tagger, function), *arguments, command=function)

    def _connected(self) -> tuple[LibraryThread, Any]:
        if self._thread is None or self._tagger is None:
            raise NotConnected("it is not connected", **self._about())
        return self._thread, self._tagger

    def _about(self) -> dict[str, str]:
        return {"owner": self.link.owner, "resource": self.link.resource}


def _import_library(link: Link) -> Any:
    """The library under one of its two names; raises NotConnected with what to install."""
    for name in MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise NotConnected(
        "the Time Tagger library is not installed; the installer and the wheel of Swabian "
        "Instruments bring it",
        owner=link.owner,
        resource=link.resource,
    )
