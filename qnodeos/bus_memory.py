"""An MQTT broker's twin in memory: what is retained, who is told, and last wills.

It has what the bus uses of MQTT 3.1.1: retained messages, `#` at the end of a subscription, wills,
quality 0 (sent) and 1 (acknowledged), and a connection that ends when nothing comes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import aiomqtt

BROKER = "bus"
"""The broker's name to the road, beside those of the nodes."""

DELAY_S = 0.0002
KEEPALIVE_S = 5.0
ACKNOWLEDGE_LIMIT_S = 5.0
_QUEUED = 10_000
_NEXT_S = 1e-9

Road = Callable[[str, str, bytes], Sequence[tuple[float, bytes, bool]]]
"""As `qnodeos.wire_memory.Road`. With MQTT nobody checks who speaks: forgeries get through."""


class BusClient(Protocol):
    """What the bus uses of an MQTT client."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...

    async def publish(
        self, topic: str, payload: Any = None, qos: int = 0, retain: bool = False
    ) -> None:
        """Tell all who have subscribed. Raises aiomqtt.MqttError."""
        ...

    @property
    def messages(self) -> Any:
        """What comes, as an asynchronous iterator. Raises aiomqtt.MqttError at the end."""
        ...


class BusClients(Protocol):
    """Where a bus gets its connections to a broker in memory."""

    def client(self, name: str, will: aiomqtt.Will | None = None) -> MemoryClient:
        """A client, not yet connected. Raises aiomqtt.MqttError."""
        ...


@dataclass(frozen=True, slots=True)
class _Will:
    topic: str
    payload: bytes
    retain: bool


class MemoryBroker:
    """Serves the clients of one process. `tap` is told who published, the topic and the value."""

    def __init__(
        self,
        *,
        road: Road = lambda _from, _to, data: ((DELAY_S, data, True),),
        tap: Callable[[str, str, bytes], None] = lambda *_: None,
    ):
        self.road, self.tap = road, tap
        self.retained: dict[str, bytes] = {}
        self.up = True
        self._clients: list[MemoryClient] = []

    def client(self, name: str, will: aiomqtt.Will | None = None) -> MemoryClient:
        """A client, not yet connected."""
        return MemoryClient(self, name, _kept(will))

    def stop(self) -> None:
        """End every connection and take none; what was retained is forgotten."""
        self.up = False
        for client in tuple(self._clients):
            client.lose("the broker has gone")
        self.retained.clear()

    def start(self) -> None:
        """Serve again."""
        self.up = True

    def attach(self, client: MemoryClient) -> None:
        """A client has connected."""
        self._clients.append(client)

    def detach(self, client: MemoryClient, *, will: bool) -> None:
        """A client is gone; without a word, its will is published."""
        if client in self._clients:
            self._clients.remove(client)
            if will and client.will is not None:
                kept = client.will
                self.take(client.name, kept.topic, kept.payload, kept.retain)

    def take(self, sender: str, topic: str, payload: bytes, retain: bool) -> None:
        """Something is published."""
        if not self.up:
            return
        self.tap(sender, topic, payload)
        if retain and payload:
            self.retained[topic] = payload
        elif retain:
            self.retained.pop(topic, None)
        for client in tuple(self._clients):
            client.hear(topic, payload)


class MemoryClient:
    """One connection to a `MemoryBroker`; as much of `aiomqtt.Client` as the bus uses."""

    def __init__(self, broker: MemoryBroker, name: str, will: _Will | None):
        self.name, self.will = name, will
        self._broker = broker
        self._subscribed: list[str] = []
        self._heard: asyncio.Queue[aiomqtt.Message | None] = asyncio.Queue(_QUEUED)
        self._reason = "not connected"
        self._alive: asyncio.TimerHandle | None = None
        self._last_s = 0.0
        self._told: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if not self._broker.up:
            raise aiomqtt.MqttError("[Errno 111] Connection refused")
        there = self._broker.road(self.name, BROKER, b"CONNECT")
        back = self._broker.road(BROKER, self.name, b"CONNACK")
        if not there or not back:
            await asyncio.sleep(ACKNOWLEDGE_LIMIT_S)
            raise aiomqtt.MqttError("Operation timed out")
        await asyncio.sleep(there[0][0] + back[0][0])
        self._broker.attach(self)
        self._reason = ""
        self._alive = self._loop.call_later(KEEPALIVE_S, self._ping)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._alive is not None:
            self._alive.cancel()
        if not self._reason:
            self._reason = "disconnected"
            self._broker.detach(self, will=False)

    async def publish(
        self, topic: str, payload: Any = None, qos: int = 0, retain: bool = False
    ) -> None:
        """See BusClient; with quality 1 it returns when the broker has it."""
        self._check()
        data = payload.encode() if isinstance(payload, str) else bytes(payload or b"")
        told = self._told = self._loop.create_future()
        for delay_s, copy, _ in self._broker.road(self.name, BROKER, data):
            # The loop fires timers of one instant in any order.
            self._last_s = max(self._loop.time() + delay_s, self._last_s + _NEXT_S)
            self._loop.call_at(self._last_s, self._take, topic, copy, retain, told)
        if qos == 0:
            return
        try:
            async with asyncio.timeout(ACKNOWLEDGE_LIMIT_S):
                await told
        except TimeoutError:
            raise aiomqtt.MqttError("Operation timed out") from None
        self._check()

    async def subscribe(self, topics: Sequence[tuple[str, int]]) -> None:
        """Hear of these topics, what is retained first."""
        self._check()
        for topic, _ in topics:
            self._subscribed.append(topic)
            for name, payload in self._broker.retained.items():
                if _matches(topic, name):
                    self._put(name, payload, retain=True)

    @property
    def messages(self) -> AsyncIterator[aiomqtt.Message]:
        """See BusClient."""
        return self._messages()

    def hear(self, topic: str, payload: bytes) -> None:
        """Something was published."""
        if any(_matches(each, topic) for each in self._subscribed):
            for delay_s, copy, _ in self._broker.road(BROKER, self.name, payload):
                self._last_s = max(self._loop.time() + delay_s, self._last_s + _NEXT_S)
                self._loop.call_at(self._last_s, self._put, topic, copy)

    def lose(self, reason: str) -> None:
        """The connection ends without a word."""
        if self._reason:
            return
        self._reason = reason
        self._broker.detach(self, will=True)
        if self._told is not None and not self._told.done():
            self._told.set_result(None)
        if not self._heard.full():
            self._heard.put_nowait(None)

    async def _messages(self) -> AsyncIterator[aiomqtt.Message]:
        while True:
            if self._reason and self._heard.empty():
                raise aiomqtt.MqttError(f"Disconnected: {self._reason}")
            message = await self._heard.get()
            if message is not None:
                yield message

    def _take(self, topic: str, data: bytes, retain: bool, told: asyncio.Future[None]) -> None:
        if not self._reason:
            self._broker.take(self.name, topic, data, retain)
        if not told.done():
            told.set_result(None)

    def _put(self, topic: str, payload: bytes, retain: bool = False) -> None:
        if not self._heard.full():
            self._heard.put_nowait(aiomqtt.Message(topic, payload, 0, retain, 0, None))

    def _ping(self) -> None:
        """A broker ends a connection from which nothing comes for 1.5 keep-alive times."""
        if self._broker.road(self.name, BROKER, b"PINGREQ"):
            self._alive = self._loop.call_later(KEEPALIVE_S, self._ping)
        else:
            self._alive = self._loop.call_later(KEEPALIVE_S / 2, self.lose, "nothing comes through")

    def _check(self) -> None:
        if self._reason:
            raise aiomqtt.MqttError(f"The client is not connected: {self._reason}")


def _kept(will: aiomqtt.Will | None) -> _Will | None:
    if will is None:
        return None
    payload = will.payload
    data = payload.encode() if isinstance(payload, str) else bytes(payload or b"")  # type: ignore[arg-type]
    return _Will(will.topic, data, will.retain)


def _matches(subscribed: str, topic: str) -> bool:
    if subscribed.endswith("#"):
        return topic.startswith(subscribed[:-1])
    return subscribed == topic
