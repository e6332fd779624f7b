"""The Retina driver against a box of a few lines, and against its twin on real sockets."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.detectors.retina import Retina
from drivers.errors import InstrumentError, NotConnected, ProtocolError, Refused, Timeout
from drivers.framing import PACKET
from drivers.links import make_link
from drivers.links.memory import Pipe, pipe_pair
from drivers.plugin import make_instrument
from sim_backends.detectors import DetectorBank
from sim_backends.instruments.retina import Retina as Twin
from sim_backends.lab import DetectorConfig
from sim_backends.mount_http import HttpPlace
from sim_backends.mount_ws import WebSocketPlace
from timing.loop import run_virtual

TREE: dict[str, Any] = {
    "devices": {
        "1": {"channels": {"2": {"configuration": {"biasI": 0.0, "triggerV": 0.1}}}},
        "3": {"channels": {"1": {"configuration": {"biasI": 0.0, "triggerV": 0.2}}}},
    },
    "backend": {"intTime": 100},
    "frontend": {"rankMap": {"2": [1, 2], "1": [3, 1]}},
}


def record(rank: int, counts: int, size: int = 10, status: int = 0) -> bytes:
    # Laid out by hand after the vendor's table: offsets 0, 1, 2, 4, 8, 12, 16, 20, 24.
    raw = bytearray(32)
    raw[0:3] = bytes([1, rank, status])
    struct.pack_into("<ff", raw, 4, 0.15, 15e-6)
    struct.pack_into("<III", raw, 12, counts, size, rank)
    struct.pack_into("<d", raw, 24, 1_700_000_000.5)
    return bytes(raw)


class Box:
    """Keeps a tree of settings; what a test wants it to get wrong is in `spoil`."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = json.loads(json.dumps(TREE))
        self.asked: list[dict[str, Any]] = []
        self.counts: Pipe | None = None
        self.obeys = True
        self.tasks: list[asyncio.Task[None]] = []

    def registry(self) -> dict[str, Any]:
        def api() -> tuple[Pipe, Pipe]:
            near, far = pipe_pair()
            self.tasks.append(asyncio.create_task(self._serve(*far)))
            return near

        def counts() -> tuple[Pipe, Pipe]:
            near, (_, writer) = pipe_pair()
            self.counts = writer
            return near

        return {"box": api, "box-counts": counts}

    async def _serve(self, reader: Pipe, writer: Pipe) -> None:
        buffer = bytearray()
        while data := await reader.read():
            buffer += data
            while (message := PACKET.take(buffer)) is not None:
                request = json.loads(message)
                self.asked.append(request)
                if request["method"] == "setSettings" and self.obeys:
                    _merge(self.tree, request["params"])
                answer = {"jsonrpc": "2.0", "id": request["id"], "result": self.tree}
                await writer.write(PACKET.wrap(json.dumps(answer).encode()))

    async def tell(self, message: bytes) -> None:
        assert self.counts is not None
        await self.counts.write(PACKET.wrap(message))


def _merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


@asynccontextmanager
async def connected(box: Box, *, armed: bool = True, **options: Any) -> AsyncIterator[Retina]:
    retina = make_instrument(
        Retina, "mem://box", owner="lab/snspd", options=options, memory=box.registry()
    )
    assert isinstance(retina, Retina)
    retina.armed = lambda: armed
    await retina.link.open()
    assert (await retina.connect()).text == "Retina of 2 channels"
    try:
        yield retina
    finally:
        await retina.disconnect()
        await retina.link.close()


def test_channels_are_those_of_the_box_and_bias_is_in_amperes() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box) as retina:
            assert await retina.trigger_v() == (0.2, 0.1)
            await retina.set_bias_ua((11.0, 22.0))
            assert not any(each["method"] == "setSettings" for each in box.asked)
            assert (await retina.bias_ua(), await retina.enabled()) == ((11.0, 22.0), False)
            await retina.set_enabled(True)
            sent = next(e["params"] for e in box.asked if e["method"] == "setSettings")
            assert sent["devices"]["3"]["channels"]["1"]["configuration"] == {
                "biasI": pytest.approx(11e-6)
            }
            assert sent["devices"]["1"]["channels"]["2"]["configuration"] == {
                "biasI": pytest.approx(22e-6)
            }
            assert await retina.enabled()
            await retina.set_bias_ua((12.0, 0.0))
            assert await retina.bias_ua() == pytest.approx((12.0, 0.0))
            await retina.enter_safe_state()
            assert not await retina.enabled()
            assert await retina.bias_ua() == (12.0, 0.0)

    run_virtual(scenario())


def test_bias_needs_a_lease_and_a_value_and_stays_within_its_bound() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box, armed=False, max_bias_ua=30.0) as retina:
            with pytest.raises(Refused, match="arm"):
                await retina.set_enabled(True)
            await retina.set_bias_ua((20.0, 20.0))
            box.tree["devices"]["3"]["channels"]["1"]["configuration"]["biasI"] = 1e-5
            with pytest.raises(Refused, match="arm"):
                await retina.set_bias_ua((21.0, 20.0))
            for bad in ((31.0, 0.0), (1.0,), (float("nan"), 0.0), (-1.0, 0.0)):
                with pytest.raises(Refused, match="2 values of 0 to 30 uA"):
                    await retina.set_bias_ua(bad)
        async with connected(Box()) as retina:
            with pytest.raises(Refused, match="set bias_ua first"):
                await retina.set_enabled(True)

    run_virtual(scenario())


def test_a_box_that_does_not_obey_is_told() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box) as retina:
            await retina.set_bias_ua((20.0, 20.0))
            box.obeys = False
            with pytest.raises(InstrumentError, match=r"20.0.* uA was set, but it tells"):
                await retina.set_enabled(True)
            with pytest.raises(InstrumentError, match="200 ms was set, but it tells 100"):
                await retina.set_integration_ms(200)
            box.tree["devices"]["3"]["channels"]["1"]["configuration"]["biasI"] = 1e-5
            with pytest.raises(InstrumentError, match="was set, but it tells"):
                await retina.enter_safe_state()

    run_virtual(scenario())


def test_counts_become_rates_and_old_ones_are_not_told() -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box) as retina:
            await box.tell(record(2, 500) + record(1, 100))
            assert await retina.count_rates_cps() == (1000.0, 5000.0)
            await box.tell(record(1, 10, size=1))
            await box.tell(record(2, 70, size=20))
            await asyncio.sleep(0.01)
            assert await retina.count_rates_cps() == (1000.0, 350.0)
            await asyncio.sleep(5.0)
            with pytest.raises(Timeout, match=r"no counts within 0\.7 s"):
                await retina.count_rates_cps()

    run_virtual(scenario())


@pytest.mark.parametrize(
    "message",
    [b"", record(1, 5)[:-1], record(1, 5) + b"x", record(0, 5), record(3, 5), record(1, 5, size=0)],
)
def test_counts_that_cannot_be_end_the_connection(message: bytes) -> None:
    async def scenario() -> None:
        box = Box()
        async with connected(box) as retina:
            await box.tell(message)
            with pytest.raises(NotConnected, match="no longer received, because: expected"):
                await retina.count_rates_cps()
            with pytest.raises(NotConnected):
                await retina.ping()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("frontend", "rankMap"), {}),
        (("frontend", "rankMap"), {"1": 3}),
        (("devices", "3"), None),
        (("devices", "3", "channels", "1", "configuration", "biasI"), "20 uA"),
    ],
)
def test_a_tree_that_cannot_be_shows_what_was_found(path: tuple[str, ...], value: Any) -> None:
    async def scenario() -> None:
        box = Box()
        branch = box.tree
        for step in path[:-1]:
            branch = branch[step]
        branch[path[-1]] = value
        with pytest.raises(ProtocolError):
            async with connected(box):
                pass

    run_virtual(scenario())


def test_the_counts_are_on_the_same_host() -> None:
    places = {
        "http://10.0.0.5": "ws://10.0.0.5:80/counts",
        "http://[::1]:8080/api": "ws://[::1]:8080/counts",
    }
    for resource, counts in places.items():
        assert Retina(make_link(resource, owner="x"))._counts_resource == counts


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**20))
def test_every_count_is_a_rate(counts: int, size: int) -> None:
    retina = Retina(make_link("http://10.0.0.5", owner="x"))
    retina._places = (("1", "1"),)
    run_virtual(_take(retina, record(1, counts, size)))
    assert retina._rates[1] == pytest.approx(100 * counts / size)


async def _take(retina: Retina, message: bytes) -> None:
    retina._take_counts(message)


async def test_the_vendors_paths_on_real_sockets() -> None:
    config = DetectorConfig(
        channels=14,
        efficiency=0.8,
        full_bias_ua=20.0,
        dark_cps=100.0,
        jitter_ps=80.0,
        dead_time_ns=60.0,
    )
    bank = DetectorBank(config, np.random.default_rng(1))
    twin = Twin(bank, advance=lambda: None, unix_s=lambda: 1.7e9)
    api, counts = HttpPlace("127.0.0.1", 0, chunked=True), WebSocketPlace("127.0.0.1", 0)
    await api.start(twin.connect_api)
    await counts.start(twin.connect_counts)
    retina = make_instrument(
        Retina,
        api.resource,
        owner="lab/snspd",
        options={"counts_resource": counts.resource + "counts"},
    )
    assert isinstance(retina, Retina)
    retina.armed = lambda: True
    await retina.link.open()
    await retina.connect()
    await retina.apply({"bias_ua": [float(n) for n in range(14)], "enabled": True})
    assert bank.enabled
    assert bank.bias_ua == pytest.approx(range(14))
    assert len(await retina.count_rates_cps()) == 14
    await retina.enter_safe_state()
    assert not bank.enabled
    assert (api.paths[0], counts.paths) == ("/api", ["/counts"])
    await retina.disconnect()
    await retina.link.close()
    await counts.stop()
    await api.stop()
