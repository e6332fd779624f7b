"""State and alarms on MQTT, retained, in the shape of the Homie 5 convention (`homie`).

    homie/5/NODE/$state               init, ready, disconnected; `lost` as last will
    homie/5/NODE/$description         JSON: what there is; told while $state is init
    homie/5/NODE/GROUP/PROPERTY       one value, as long as there is one
    homie/5/NODE/$alert/KEY           one alarm, until it is cleared

Nothing waits for the broker: values are kept, the latest of each topic, until it can take them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiomqtt

from qnodeos.bus_memory import BusClient, BusClients
from qnodeos.config.places import without_password
from qnodeos.errors import first_of
from qnodeos.homie import NO_VALUE, Value, datatype, description, topic_part, value_text

log = logging.getLogger("qnodeos.bus")

DeviceState = Literal["init", "ready", "disconnected", "sleeping"]

KEEPALIVE_S = 5
CONNECT_LIMIT_S = 5.0
BACK_OFF_S = (0.25, 0.5, 1.0, 2.0, 5.0)
_TOPICS = 4096
_FLUSH_S = 0.1
_CLOSE_LIMIT_S = 2.0


@dataclass(slots=True)
class BusCounters:
    """`replaced`: values overtaken by a newer one of the same topic before they were sent;
    `dropped`: values of topics above the limit."""

    published: int = 0
    replaced: int = 0
    dropped: int = 0
    connects: int = 0
    failures: int = 0


class Bus:
    """This node's publisher; `run` keeps it connected, everything else returns at once.

    `broker` is one in memory, which takes the place of the one at `url`. `on_alarm` hears of each
    alarm that is raised or changed, by its key, and with "" of its end.
    """

    def __init__(
        self,
        url: str,
        node: str,
        *,
        broker: BusClients | None = None,
        on_alarm: Callable[[str, str], None] = lambda *_: None,
    ):
        self.connected = False
        self.reason = "not connected yet"
        self.counters = BusCounters()
        self._url, self._node = url, node
        self._state_topic = f"homie/5/{node}/$state"
        self._description_topic = f"homie/5/{node}/$description"
        self._values: dict[str, str] = {}
        self._changed: dict[str, int] = {}
        self._changes = 0
        self._fresh: dict[str, None] = {}
        self._described: dict[str, dict[str, str]] = {}
        self._undescribed = True
        self._wake = asyncio.Event()
        self._broker = broker
        self._on_alarm = on_alarm
        self._client: BusClient | None = None
        self.set_state("init")

    def publish(self, group: str, name: str, value: Value) -> None:
        """Tell a value; it replaces one that has not been sent yet. `_` becomes `-` in topics."""
        group, name = topic_part(group), topic_part(name)
        if not self._put(self._topic(group, name), value_text(value)):
            return
        kind = datatype(value)
        if self._described.setdefault(group, {}).get(name) != kind:
            self._described[group][name] = kind
            self._undescribed = True

    def withdraw(self, group: str, name: str) -> None:
        """A value is known no more: it is not left standing as if it were new."""
        topic = self._topic(topic_part(group), topic_part(name))
        if topic in self._values:
            self._put(topic, NO_VALUE)

    def set_state(self, state: DeviceState) -> None:
        """Tell the state of the whole node."""
        self._put(self._state_topic, state)

    def alarm(self, key: str, text: str) -> None:
        """Raise an alarm, or change its text; it stays until it is cleared."""
        topic = f"homie/5/{self._node}/$alert/{topic_part(key)}"
        if self._values.get(topic) != text:
            self._on_alarm(key, text)
        self._put(topic, text)

    def clear_alarm(self, key: str) -> None:
        """Take an alarm back; harmless if there is none."""
        topic = f"homie/5/{self._node}/$alert/{topic_part(key)}"
        if topic in self._values:
            if self._values[topic]:
                self._on_alarm(key, "")
            self._put(topic, "")

    @property
    def alarms(self) -> dict[str, str]:
        """What is raised now: text by key."""
        begin = f"homie/5/{self._node}/$alert/"
        return {
            topic.removeprefix(begin): text
            for topic, text in self._values.items()
            if text and topic.startswith(begin)
        }

    def changes(self, after: int = 0) -> tuple[int, dict[str, str]]:
        """What was told after a number that came with an earlier answer, by `GROUP/PROPERTY`.

        As it stands on the bus: see `homie`. With it the number to ask with next. Alarms are apart:
        one that is gone is in no books.
        """
        begin = f"homie/5/{self._node}/"
        found = {
            topic.removeprefix(begin): self._values[topic]
            for topic, number in self._changed.items()
            if number > after and "$alert/" not in topic
        }
        return self._changes, found

    async def run(self) -> None:
        """Stay connected and publish, until cancelled; an absent broker is tried again."""
        failures = 0
        while True:
            connects = self.counters.connects
            try:
                await self._serve()
            except* (aiomqtt.MqttError, OSError) as group:
                self.connected = False
                self._client = None
                failures = 1 if self.counters.connects > connects else failures + 1
                self.counters.failures += 1
                self._explain(f"no broker: {first_of(group)}")
            # Where the broker is lost as the node is stopped, its loss is all that the group tells.
            _end_if_cancelled()
            await asyncio.sleep(BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1])

    async def close(self) -> None:
        """Publish what is left and `disconnected`, if a broker is there; after `run` ended."""
        if not self.connected:
            return
        self.set_state("disconnected")
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S), self._new_client() as client:
                await self._publish(client)
        except (aiomqtt.MqttError, OSError, TimeoutError) as error:
            self._explain(f"the last state could not be told: {error}")
        self.connected = False

    async def _serve(self) -> None:
        async with self._new_client() as client, asyncio.TaskGroup() as tasks:
            self.connected = True
            self.counters.connects += 1
            self._explain("connected")
            # The broker may be a new one that remembers nothing: tell it all again.
            self._fresh.update(dict.fromkeys(self._values))
            tasks.create_task(_until_disconnected(client))
            while True:
                await self._publish(client)
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(_FLUSH_S)  # gather, so that a burst costs one turn

    async def _publish(self, client: BusClient) -> None:
        if self._undescribed:
            self._undescribed = False
            self._put(self._description_topic, description(self._node, self._described))
        if self._description_topic in self._fresh:
            # A description changes only in this state, which ends when all of it has been told.
            await client.publish(self._state_topic, "init", qos=1, retain=True)
            _end_if_cancelled()
            self._fresh.setdefault(self._state_topic)
        while self._fresh:
            topic = self._next_topic()
            text = self._values[topic]
            del self._fresh[topic]
            try:
                await client.publish(topic, text, qos=1 if "$" in topic else 0, retain=True)
            except BaseException:
                self._fresh.setdefault(topic)
                raise
            self.counters.published += 1
            _end_if_cancelled()
            if not text and self._values.get(topic) == "" and "/$alert/" in topic:
                del self._values[topic], self._changed[topic]

    def _next_topic(self) -> str:
        """The state comes last."""
        topics = iter(self._fresh)
        topic = next(topics)
        return next(topics, topic) if topic == self._state_topic else topic

    def _topic(self, group: str, name: str) -> str:
        return f"homie/5/{self._node}/{group}/{name}"

    def _put(self, topic: str, text: str) -> bool:
        if topic not in self._values and len(self._values) >= _TOPICS:
            self.counters.dropped += 1
            if self.counters.dropped == 1:
                log.warning("%s: more than %d topics; new ones are dropped", self._node, _TOPICS)
            return False
        if topic in self._fresh:
            self.counters.replaced += 1
        elif self._values.get(topic) == text:
            return True  # it is retained already
        self._values[topic] = text
        self._changes += 1
        self._changed[topic] = self._changes
        self._fresh[topic] = None
        self._wake.set()
        return True

    def _new_client(self) -> BusClient:
        will = aiomqtt.Will(self._state_topic, "lost", qos=1, retain=True)
        if self._broker is not None:
            return self._broker.client(self._node, will)
        return _client(self._url, will)

    def _explain(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            log.info("%s: bus %s: %s", self._node, without_password(self._url), reason)


async def watch(url: str, *topics: str) -> AsyncIterator[tuple[str, str]]:
    """Topic and value of everything told on these topics, now and from now on; reconnects.

    What is retained is told again after each reconnection.
    """
    async for topic, text, _ in watch_told(url, *topics):
        yield topic, text


async def watch_told(url: str, *topics: str) -> AsyncIterator[tuple[str, str, bool]]:
    """As `watch`, with whether it is what the broker has retained, from whenever that was.

    Values are as they stand on the bus: see `homie`.
    """
    failures = 0
    while True:
        try:
            async with _client(url) as client:
                await client.subscribe([(topic, 1) for topic in topics])
                _end_if_cancelled()
                failures = 0
                async for message in client.messages:
                    payload = message.payload
                    text = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
                    yield message.topic.value, text, bool(message.retain)
        except aiomqtt.MqttError as error:
            failures += 1
            log.info("watching %s: %s", without_password(url), error)
        await asyncio.sleep(BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1])


def _end_if_cancelled() -> None:
    """aiomqtt waits with `wait_for`, which before Python 3.12 loses a cancellation that comes in
    the same turn as what it waits for, and a group of tasks loses one that comes with an error; a
    node would never end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _until_disconnected(client: BusClient) -> None:
    async for _ in client.messages:  # nothing is subscribed; this raises when the broker is gone
        pass


def _client(url: str, will: aiomqtt.Will | None = None) -> aiomqtt.Client:
    parts = urlsplit(url)
    secure = parts.scheme == "mqtts"
    return aiomqtt.Client(
        parts.hostname or "127.0.0.1",
        parts.port or (8883 if secure else 1883),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        will=will,
        keepalive=KEEPALIVE_S,
        timeout=CONNECT_LIMIT_S,
        tls_context=ssl.create_default_context() if secure else None,
        max_queued_incoming_messages=10_000,
        logger=log.getChild("mqtt"),
    )
