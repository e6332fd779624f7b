"""IDQ's service DataLinkTarget: it takes the tags from a Time Controller and hands them on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from drivers.errors import InstrumentError, InstrumentProblem, NotConnected, ProtocolError, Timeout
from drivers.framing import PACKET, Packet
from drivers.links.base import Link

CHANNELS = (1, 2, 3, 4)
DLT_PORT = 6060
STREAM_PORT = 4241
"""Before the first channel's."""

_TAGS = Packet(max_bytes=0xFFFF_FFFF)
_GRACE_S = 2.0  # for the way through box, network and DLT
_HOST = re.compile(r"zmq(?:\+\w+)?://(\[[^\]]+\]|[^:/]+):(\d+)/?")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the service and its streams are, and how it is told of the box."""

    dlt: str
    streams: Mapping[int, str]
    address: str


def resources(resource: str, options: Mapping[str, Any]) -> Places:
    """From the options, or what goes without saying; raises ValueError."""
    found = _HOST.fullmatch(resource)
    address = options.get("address", found[1].strip("[]") if found else resource)
    dlt = options.get("dlt", f"zmq://127.0.0.1:{DLT_PORT}" if found else f"{resource}-dlt")
    at_dlt = _HOST.fullmatch(str(dlt))
    streams = options.get("streams")
    if streams is None:
        streams = [
            f"zmq+pair://{at_dlt[1]}:{STREAM_PORT + n}" if at_dlt else f"{resource}-tags{n}"
            for n in CHANNELS
        ]
    for name, value in (("dlt", dlt), ("address", address)):
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name} = {value!r}, expected a text")
    if not isinstance(streams, list | tuple) or len(streams) != len(CHANNELS):
        raise ValueError(f"streams = {streams!r}, expected {len(CHANNELS)} resources")
    return Places(dlt, dict(zip(CHANNELS, (str(each) for each in streams), strict=True)), address)


class DataLinkTarget:
    """The service beside one Time Controller; `link` is that of the box."""

    def __init__(self, link: Link, places: Places):
        self._link = link
        self._places = places
        self._dlt = link.beside(places.dlt)
        self._ids: dict[int, str] = {}
        self._told: set[str] = set()
        self._received: dict[int, asyncio.Queue[bytes | InstrumentProblem]] = {}

    async def open(self) -> None:
        """Connect; raises NotConnected that says what is missing."""
        try:
            await self._dlt.open()
        except NotConnected as problem:
            raise NotConnected(
                f"the service DataLinkTarget is not reached ({problem.reason}); start it, it comes "
                "with IDQ's software, or set the option `dlt`",
                owner=self._link.owner,
                resource=self._places.dlt,
            ) from problem

    async def close(self) -> None:
        """Close the link."""
        await self._dlt.close()

    async def ping(self) -> None:
        """Ask for its acquisitions."""
        await self._ask("list")

    async def stop_all(self) -> None:
        """End the acquisitions of this box; those of others go on."""
        ids = await self._ask("list")
        if not isinstance(ids, list):
            raise self._garbled("expected a list of acquisitions", ids, "list")
        for each in ids:
            address, colon, _ = str(each).rpartition(":")
            if not colon or address == self._places.address:
                await self._ask(f"stop --id {each}")
        self._ids.clear()

    async def new_errors(self) -> bool:
        """Whether an acquisition tells of errors that it had not told before."""
        found = False
        for channel, number in self._ids.items():
            status = await self._ask(f"status --id {number}")
            errors = status.get("errors", []) if isinstance(status, dict) else None
            if not isinstance(errors, list):
                raise self._garbled("expected a status with errors", status, "status")
            fresh = {f"{channel} {error}" for error in errors} - self._told
            self._told |= fresh
            found = found or bool(fresh)
        return found

    @asynccontextmanager
    async def streams(self, channels: Sequence[int]) -> AsyncIterator[dict[int, Link]]:
        """Streams of some channels, each read in a task of its own while this lasts."""
        links: dict[int, Link] = {}
        self._received = {channel: asyncio.Queue(2) for channel in channels}
        self._told.clear()
        tasks = []
        try:
            for channel in channels:
                resource = self._places.streams[channel]
                found = _HOST.fullmatch(resource)
                port = int(found[2]) if found else STREAM_PORT + channel
                answer = await self._ask(
                    f"start-stream --address {self._places.address} --channel {channel} "
                    f"--stream-port {port}"
                )
                if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
                    raise self._garbled("expected the id of a stream", answer, "start-stream")
                self._ids[channel] = answer["id"]
                links[channel] = link = self._link.beside(resource)
                await link.open()
                tasks.append(
                    asyncio.create_task(self._read(channel, link), name=f"id900 input {channel}")
                )
            yield links
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for link in links.values():
                await link.close()
            for number in self._ids.values():
                if self._dlt.usable:
                    with contextlib.suppress(InstrumentProblem):
                        await self._ask(f"stop --id {number}")
            self._ids.clear()

    async def next_of_each(self, links: Mapping[int, Link], period_s: float) -> dict[int, bytes]:
        """The next message of every channel. Raises Timeout when one gives none."""
        limit_s = 2 * period_s + _GRACE_S
        payloads: dict[int, bytes] = {}
        end_s = asyncio.get_running_loop().time() + limit_s
        for channel, queue in self._received.items():
            try:
                async with asyncio.timeout_at(end_s):
                    message = await queue.get()
            except TimeoutError:
                others = "the others did" if payloads else "nor did the others so far"
                raise Timeout(
                    f"input {channel} sent nothing for a sub-acquisition within {limit_s:g} s, "
                    f"{others}: its time is unknown from here on. If it is dark, and its stream "
                    "leaves out empty messages, leave it out of `inputs`",
                    owner=self._link.owner,
                    resource=links[channel].resource,
                    command="(stream)",
                ) from None
            if isinstance(message, InstrumentProblem):
                self._link.poison()
                raise message
            payloads[channel] = message
        return payloads

    async def _read(self, channel: int, link: Link) -> None:
        """Messages into the queue, and what ends them; while it is full the sender waits."""
        queue = self._received[channel]
        try:
            while True:
                await queue.put(await link.receive(_TAGS, timeout_s=None, command="(stream)"))
        except InstrumentProblem as problem:
            await queue.put(problem)

    async def _ask(self, command: str) -> Any:
        raw = await self._dlt.exchange(
            PACKET.wrap(command.encode()), PACKET, timeout_s=1.0, command=command
        )
        try:
            answer = json.loads(raw) if raw.strip() else {}
        except ValueError:
            raise self._garbled("expected JSON", raw, command) from None
        error = answer.get("error") if isinstance(answer, dict) else None
        if error:
            text = error.get("description", error) if isinstance(error, dict) else error
            raise InstrumentError("DataLinkTarget", str(text), **self._about(command))
        return answer

    def _garbled(self, reason: str, found: object, command: str) -> ProtocolError:
        self._dlt.poison()
        raw = found if isinstance(found, bytes) else json.dumps(found).encode()
        return ProtocolError(reason, raw, **self._about(command))

    def _about(self, command: str) -> dict[str, str]:
        return {"owner": self._link.owner, "resource": self._dlt.resource, "command": command}
