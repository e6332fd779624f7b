import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from qnodeos import UserError
from qnodeos.broker import embedded_broker
from qnodeos.bus import Bus, watch
from tests.ports import free_port

LIMIT_S = 10.0


@contextlib.asynccontextmanager
async def mosquitto(folder: Path, port: int) -> AsyncIterator[str]:
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = await asyncio.create_subprocess_exec(
        "mosquitto", "-c", str(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture(
    params=[
        "amqtt",
        pytest.param(
            "mosquitto",
            marks=pytest.mark.skipif(not shutil.which("mosquitto"), reason="no mosquitto here"),
        ),
    ]
)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    port = free_port()
    broker = (
        embedded_broker("127.0.0.1", port)
        if request.param == "amqtt"
        else mosquitto(tmp_path, port)
    )
    async with broker as found:
        yield found


class Watcher:
    """The latest value of every topic that somebody else sees."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}
        self.told = 0
        self._news = asyncio.Event()

    async def run(self, url: str) -> None:
        async for topic, value in watch(url, "homie/5/#"):
            self.seen[topic] = value
            self.told += 1
            self._news.set()

    async def until(self, holds: Callable[[dict[str, str]], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not holds(self.seen):
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def running(url: str, *buses: Bus) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    tasks = [asyncio.create_task(bus.run()) for bus in buses]
    tasks.append(asyncio.create_task(watcher.run(url)))
    try:
        yield watcher
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError)


async def test_state_values_alarms_and_description_are_seen(url: str):
    bus = Bus(url, "alice")
    bus.publish("instrument-pump", "power_mw", 2.5)
    async with running(url, bus) as watcher:
        await watcher.until(lambda seen: seen.get("homie/5/alice/$state") == "init")
        bus.set_state("ready")
        bus.publish("link-memory", "ready", True)
        bus.publish("link-memory", "pairs", 17)
        bus.alarm("guard", "nothing is armed")
        await watcher.until(
            lambda seen: (
                seen.items()
                >= {
                    "homie/5/alice/$state": "ready",
                    "homie/5/alice/instrument-pump/power-mw": "2.5",
                    "homie/5/alice/link-memory/ready": "true",
                    "homie/5/alice/link-memory/pairs": "17",
                    "homie/5/alice/$alert/guard": "nothing is armed",
                }.items()
            )
        )
        bus.clear_alarm("guard")
        await watcher.until(lambda seen: seen["homie/5/alice/$alert/guard"] == "")
        await watcher.until(lambda seen: "link-memory" in seen["homie/5/alice/$description"])
        description = json.loads(watcher.seen["homie/5/alice/$description"])
        assert description["homie"] == "5.0"
        assert description["nodes"]["link-memory"]["properties"] == {
            "ready": {"datatype": "boolean"},
            "pairs": {"datatype": "integer"},
        }


async def test_all_is_retained_for_those_who_come_later_and_the_end_is_told(url: str):
    bus = Bus(url, "alice")
    bus.publish("group", "value", 1)
    bus.set_state("ready")
    async with running(url, bus) as watcher:
        await watcher.until(lambda seen: len(seen) == 3)
    await bus.close()
    async with running(url) as later:
        await later.until(
            lambda seen: (
                seen.get("homie/5/alice/$state") == "disconnected"
                and seen.get("homie/5/alice/group/value") == "1"
            )
        )


async def test_a_killed_node_is_told_lost(url: str):
    code = (
        "import asyncio, sys\n"
        "from qnodeos.bus import Bus\n"
        "bus = Bus(sys.argv[1], 'alice')\n"
        "bus.set_state('ready')\n"
        "asyncio.run(bus.run())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, url)
    async with running(url) as watcher:
        await watcher.until(lambda seen: seen.get("homie/5/alice/$state") == "ready")
        process.kill()
        await process.wait()
        await watcher.until(lambda seen: seen.get("homie/5/alice/$state") == "lost")


async def test_an_absent_broker_is_no_trouble_and_is_found_when_it_comes():
    port = free_port()
    bus = Bus(f"mqtt://127.0.0.1:{port}", "alice")
    for value in range(100):
        bus.publish("group", "value", value)
    bus.set_state("ready")
    assert bus.counters.replaced == 100  # 99 values and the state before
    async with running(f"mqtt://127.0.0.1:{port}", bus) as watcher:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await watcher.until(lambda seen: bool(seen))
        assert bus.counters.failures
        assert not bus.connected
        assert "no broker" in bus.reason
        async with embedded_broker("127.0.0.1", port):
            await watcher.until(lambda seen: seen.get("homie/5/alice/group/value") == "99")
            await watcher.until(lambda seen: seen.get("homie/5/alice/$state") == "ready")
            assert bus.connected
        bus.publish("group", "value", 1000)
        # A new broker, which remembers nothing, is told everything.
        watcher.seen.clear()
        async with embedded_broker("127.0.0.1", port):
            await watcher.until(
                lambda seen: (
                    seen.get("homie/5/alice/group/value") == "1000"
                    and seen.get("homie/5/alice/$state") == "ready"
                )
            )


async def test_a_cancellation_that_the_client_loses_ends_the_bus_all_the_same():
    """As `wait_for` of Python 3.11 does when the broker's answer comes in the same turn."""

    class Client:
        messages = watch("mqtt://127.0.0.1:1")

        async def __aenter__(self) -> "Client":
            return self

        async def __aexit__(self, *_: object) -> None:
            """Nothing to do."""

        async def publish(self, *_: object, **__: object) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)

    class Broker:
        def client(self, *_: object) -> Any:
            return Client()

    bus = Bus("mem://bus", "alice", broker=Broker())
    bus.publish("group", "value", 1)
    life = asyncio.create_task(bus.run())
    await asyncio.sleep(0.02)
    life.cancel()
    done, _ = await asyncio.wait([life], timeout=LIMIT_S)
    assert done
    assert life.cancelled()


async def test_a_bus_that_is_stopped_as_its_broker_dies_ends():
    """A group of tasks that fails tells its error alone, and not that it was cancelled."""
    dies = asyncio.Event()

    class Client:
        async def __aenter__(self) -> "Client":
            if dies.is_set():
                raise aiomqtt.MqttError("there is no broker")
            return self

        async def __aexit__(self, *_: object) -> None:
            """Nothing to do."""

        async def publish(self, *_: object, **__: object) -> None:
            """It is taken."""

        @property
        async def messages(self) -> AsyncIterator[None]:
            await dies.wait()
            raise aiomqtt.MqttError("the broker is gone")
            yield

    class Broker:
        def client(self, *_: object) -> Any:
            return Client()

    bus = Bus("mem://bus", "alice", broker=Broker())
    life = asyncio.create_task(bus.run())
    await asyncio.sleep(0.02)
    dies.set()
    life.cancel()
    done, _ = await asyncio.wait([life], timeout=2.0)
    assert bus.counters.failures == 1
    assert done
    assert life.cancelled()


async def test_closing_without_a_broker_returns_at_once():
    bus = Bus(f"mqtt://127.0.0.1:{free_port()}", "alice")
    async with asyncio.timeout(1.0):
        await bus.close()


async def test_the_same_value_again_is_not_sent_again(url: str):
    bus = Bus(url, "alice")
    async with running(url, bus) as watcher:
        bus.publish("group", "value", 1)
        bus.set_state("ready")
        await watcher.until(lambda seen: seen.get("homie/5/alice/$state") == "ready")
        bus.publish("group", "mark", 1)
        await watcher.until(lambda seen: seen.get("homie/5/alice/group/mark") == "1")
        await watcher.until(lambda seen: seen.get("homie/5/alice/$state") == "ready")
        assert watcher.seen["homie/5/alice/group/value"] == "1"
        told = watcher.told
        for _ in range(10):
            bus.publish("group", "value", 1)
        bus.publish("group", "mark", 2)  # would come after what is sent again
        await watcher.until(lambda seen: seen["homie/5/alice/group/mark"] == "2")
        assert watcher.told == told + 1


def test_topics_are_bounded():
    bus = Bus("mqtt://127.0.0.1:1", "alice")
    for number in range(5000):
        bus.publish("group", f"value{number}", number)
    assert bus.counters.dropped == 5000 - (4096 - 1)


async def test_the_embedded_broker_says_why_it_cannot_serve():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="in use") as caught:
            async with embedded_broker("127.0.0.1", port):
                pass
        assert f"127.0.0.1:{port}" in caught.value.found
    with pytest.raises(UserError, match="this machine only"):
        async with embedded_broker("0.0.0.0", port):
            pass


async def test_without_amqtt_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(UserError, match="not installed") as caught:
        async with embedded_broker("127.0.0.1", free_port()):
            pass
    assert "qnodeos[demo]" in caught.value.do
