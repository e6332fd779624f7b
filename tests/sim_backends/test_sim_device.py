"""The simulated quantum devices by docs/device-protocol.md."""

from __future__ import annotations

import asyncio
import math
import struct
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backends.lab import LabConfig
from sim_backends.mount_memory import MemoryPort
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual

HELLO = bytes.fromhex(
    "17000000 83a2696401a2646fa568656c6c6fa776657273696f6e01 ff719184".replace(" ", "")
)


def make_bench(gate_time_us: float = 20.0) -> Bench:
    memory = {
        "qubits": 3,
        "t1_s": 10.0,
        "t2_s": 1.0,
        "gate_time_us": gate_time_us,
        "readout_time_us": 50.0,
    }
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 5},
            "memories": {"a": memory, "b": memory},
            "midpoints": {
                "m": {
                    "ends": ["a", "b"],
                    "attempt_period_us": 20.0,
                    "efficiency": {"a": 0.5, "b": 0.5},
                    "visibility": 1.0,
                }
            },
            "instruments": {
                "a": {"type": "quantum-device", "of": "memories.a", "port": 1, "serial": "QM-A"},
                "b": {"type": "quantum-device", "of": "memories.b", "port": 2, "serial": "QM-B"},
                "m": {"type": "quantum-device", "of": "midpoints.m", "port": 3, "serial": "BSM"},
            },
        }
    )
    return Bench(config, TruthLog(None))


def frame(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload + struct.pack("<I", zlib.crc32(payload))


class Node:
    """A node's end of the connection, written from the specification alone."""

    def __init__(self, port: MemoryPort) -> None:
        self.port = port
        self.buffer = b""
        self.number = 0
        self.events: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any] | None:
        """The next frame; None at the end of the connection."""
        while True:
            if len(self.buffer) >= 4:
                length = int.from_bytes(self.buffer[:4], "little")
                if len(self.buffer) >= length + 8:
                    payload, rest = self.buffer[4 : 4 + length], self.buffer[4 + length :]
                    assert rest[:4] == zlib.crc32(payload).to_bytes(4, "little")
                    self.buffer = rest[4:]
                    return msgspec.msgpack.decode(payload, type=dict[str, Any])
            async with asyncio.timeout(5.0):
                data = await self.port.read()
            if not data:
                return None
            self.buffer += data

    async def send(self, do: str, **arguments: object) -> int:
        self.number += 1
        fields = {"id": self.number, "do": do, **arguments}
        await self.port.write(frame(msgspec.msgpack.encode(fields)))
        return self.number

    async def reply(self, number: int) -> dict[str, Any]:
        while (fields := await self.next()) is not None:
            if "event" in fields:
                self.events.append(fields)
                continue
            assert fields.pop("id") == number
            return fields
        raise ConnectionResetError

    async def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        return await self.reply(await self.send(do, **arguments))

    async def event(self) -> dict[str, Any]:
        if self.events:
            return self.events.pop(0)
        fields = await self.next()
        assert fields is not None
        assert "event" in fields
        return fields


def connect(bench: Bench, *names: str) -> list[Node]:
    return [Node(bench.memory(name)) for name in names]


def test_the_test_vector_of_the_specification_is_answered() -> None:
    async def scenario() -> None:
        node = Node(make_bench().memory("a"))
        for byte in HELLO:
            await node.port.write(bytes([byte]))
        reply = await node.next()
        assert reply == {
            "id": 1,
            "ok": True,
            "version": 1,
            "minor": 5,
            "role": "node",
            "maker": "simulated lab",
            "model": "simulated node",
            "serial": "QM-A",
            "firmware": "1.0",
        }

    run_virtual(scenario())


def test_capabilities_of_both_roles() -> None:
    async def scenario() -> None:
        node, midpoint = connect(make_bench(), "a", "m")
        of_node, of_midpoint = await node.ask("capabilities"), await midpoint.ask("capabilities")
        assert set(of_node) == set(of_midpoint)
        assert (of_node["qubits"], of_node["t2_s"], of_node["herald_mode"]) == (3, 1.0, "hardware")
        assert set(of_node["gates"]) == {"X", "Y", "Z", "H", "S", "SDG", "CNOT"}
        assert of_midpoint["qubits"] == 0
        assert of_midpoint["gates"] == []
        assert (of_node["turns"], of_midpoint["turns"]) == (True, False)
        assert math.isclose(of_midpoint["attempt_period_s"], 20e-6)
        assert math.isclose(of_node["initial_fidelity"], 1.0)
        assert (await midpoint.ask("hello", version=1))["role"] == "midpoint"

    run_virtual(scenario())


def test_a_herald_is_told_by_all_three_with_the_same_slot_and_the_pair_is_there() -> None:
    async def scenario() -> None:
        a, b, _ = nodes = connect(make_bench(), "a", "b", "m")
        agreed = 0
        for _ in range(20):
            slots = [(await node.ask("start", count=0))["slot"] for node in nodes]
            heralds = [await node.event() for node in nodes]
            assert {herald["event"] for herald in heralds} == {"herald"}
            assert len({herald["slot"] for herald in heralds}) == 1
            assert heralds[0]["slot"] >= max(slots)
            assert [herald.get("qubit") for herald in heralds] == [0, 0, None]
            assert heralds[2]["bell_state"] in ("PSI_PLUS", "PSI_MINUS")
            assert "bell_state" not in heralds[0]
            # The slot is over at the herald, and the loop's clock says so.
            assert abs(heralds[0]["time_ps"] * 1e-12 - (heralds[0]["slot"] + 1) * 20e-6) < 1e-9
            status = await a.ask("status")
            assert (status["attempting"], status["held"]) == (False, [0])
            assert (await a.ask("start", count=0))["error"] == 3
            outcomes = [await node.ask("measure", qubit=0, basis="Z") for node in (a, b)]
            agreed += outcomes[0]["outcome"] != outcomes[1]["outcome"]
            assert (await a.ask("measure", qubit=0, basis="Z"))["error"] == 3
        assert agreed == 20

    run_virtual(scenario())


def test_operations_take_their_time_and_answer_in_order() -> None:
    async def scenario() -> None:
        (node,) = connect(make_bench(), "a")
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        numbers = [
            await node.send("initialise", qubit=0, state="+"),
            await node.send("gate", gate="H", qubits=[0]),
            await node.send("move", source=0, target=2),
            await node.send("measure", qubit=2, basis="Z"),
            await node.send("status"),
        ]
        replies = [await node.reply(number) for number in numbers]
        assert all(reply["ok"] for reply in replies)
        assert replies[3]["outcome"] == 0
        assert replies[4]["held"] == []
        assert loop.time() - start_s == pytest.approx(110e-6, abs=1e-9)

    run_virtual(scenario())


def test_what_takes_no_time_to_speak_of_is_answered_in_one_write() -> None:
    """Each would wake the node up, which takes longer than the gates."""

    async def scenario() -> None:
        (node,) = connect(make_bench(gate_time_us=1.0), "a")
        await node.ask("initialise", qubit=0, state="0")
        asked = b"".join(
            frame(msgspec.msgpack.encode({"id": n, "do": "gate", "gate": "X", "qubits": [0]}))
            for n in (1, 2, 3)
        )
        await node.port.write(asked)
        async with asyncio.timeout(5.0):
            data = await node.port.read()
        assert data.count(frame(msgspec.msgpack.encode({"id": 1, "ok": True}))[:4]) == 3

    asyncio.run(scenario())


def test_operations_take_little_longer_on_the_wall_clock() -> None:
    async def scenario() -> None:
        (node,) = connect(make_bench(), "a")
        loop = asyncio.get_running_loop()
        await node.ask("initialise", qubit=0, state="0")
        spans = []
        for _ in range(20):
            start_s = loop.time()
            await node.ask("gate", gate="X", qubits=[0])
            spans.append(loop.time() - start_s)
        assert min(spans) >= 20e-6
        # The loop's own timers would make each of them a millisecond.
        assert min(spans) < 0.7e-3

    asyncio.run(scenario())


def test_attempts_that_run_out_are_told() -> None:
    async def scenario() -> None:
        (node,) = connect(make_bench(), "a")
        first = (await node.ask("start", count=5))["slot"]
        assert await node.event() == {"event": "stopped", "slot": first + 4}
        assert (await node.ask("status"))["attempting"] is False

    run_virtual(scenario())


def test_abort_stops() -> None:
    async def scenario() -> None:
        a, b, m = connect(make_bench(), "a", "b", "m")
        for node in (a, b):
            await node.ask("start", count=0)
        assert (await a.ask("abort")) == {"ok": True}
        await m.ask("start", count=0)
        await asyncio.sleep(1.0)
        assert (await a.ask("status"))["attempting"] is False
        assert a.events + b.events + m.events == []

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"do": "fly"}, 1),
        ({"do": 7}, 1),
        ({}, 1),
        ({"do": "hello", "version": 2}, 1),
        ({"do": "hello"}, 1),
        ({"do": "start"}, 1),
        ({"do": "start", "count": -1}, 1),
        ({"do": "start", "count": True}, 1),
        ({"do": "measure", "qubit": "0", "basis": "Z"}, 1),
        ({"do": "gate", "gate": "X", "qubits": 0}, 1),
        ({"do": "gate", "gate": "CNOT", "qubits": [0]}, 1),
        ({"do": "initialise", "qubit": 9, "state": "0"}, 2),
        ({"do": "initialise", "qubit": 0, "state": "2"}, 2),
        ({"do": "gate", "gate": "T", "qubits": [0]}, 2),
        ({"do": "measure", "qubit": 0, "basis": "W"}, 2),
        ({"do": "measure", "qubit": 0, "basis": "Z"}, 3),
        ({"do": "move", "source": 0, "target": 1}, 3),
        ({"do": "release", "qubit": -1}, 2),
    ],
)
def test_errors_have_the_codes_of_the_specification(request_: dict[str, Any], code: int) -> None:
    async def scenario() -> None:
        (node,) = connect(make_bench(), "a")
        await node.port.write(frame(msgspec.msgpack.encode({"id": 9, **request_})))
        reply = await node.next()
        assert reply is not None
        assert set(reply) == {"id", "error", "text"}
        assert (reply["id"], reply["error"]) == (9, code)
        assert reply["text"]
        assert (await node.ask("status"))["held"] == []

    run_virtual(scenario())


def test_a_midpoint_knows_no_qubits() -> None:
    async def scenario() -> None:
        (node,) = connect(make_bench(), "m")
        assert (await node.ask("measure", qubit=0, basis="Z"))["error"] == 5
        assert (await node.ask("fly"))["error"] == 1
        assert (await node.ask("status"))["held"] == []

    run_virtual(scenario())


@pytest.mark.parametrize(
    "data",
    [
        HELLO[:-1] + b"\x00",
        struct.pack("<I", (1 << 20) + 1),
        frame(b"\xc1"),
        frame(msgspec.msgpack.encode([1, 2])),
        frame(msgspec.msgpack.encode({"do": "status"})),
        frame(msgspec.msgpack.encode({"id": -1, "do": "status"})),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_bad_frame_ends_the_connection_in_the_safe_state(data: bytes) -> None:
    async def scenario() -> None:
        bench = make_bench()
        (node,) = connect(bench, "a")
        await node.ask("initialise", qubit=1, state="0")
        await node.ask("start", count=0)
        await node.port.write(data)
        assert await node.next() is None
        (again,) = connect(bench, "a")
        status = await again.ask("status")
        assert (status["attempting"], status["held"]) == (False, [])

    run_virtual(scenario())


def test_too_many_waiting_requests_end_the_connection() -> None:
    async def scenario() -> None:
        (node,) = connect(make_bench(), "a")
        await node.ask("initialise", qubit=1, state="0")
        requests = frame(msgspec.msgpack.encode({"id": 7, "do": "status"})) * 200
        for _ in range(3):
            await node.port.write(requests)
        gate = {"id": 8, "do": "gate", "gate": "X", "qubits": [1]}
        await node.port.write(frame(msgspec.msgpack.encode(gate)) + requests * 2)
        assert [await node.next() for _ in range(601)][-1] is None

    run_virtual(scenario())


def test_a_new_connection_replaces_the_old_one_and_releases_everything() -> None:
    async def scenario() -> None:
        bench = make_bench()
        (old,) = connect(bench, "a")
        await old.ask("initialise", qubit=1, state="0")
        waiting = await old.send("gate", gate="X", qubits=[1])
        (new,) = connect(bench, "a")
        with pytest.raises(ConnectionResetError):
            await old.reply(waiting)
        assert (await new.ask("status"))["held"] == []
        await new.ask("initialise", qubit=2, state="0")
        old.port.close()
        await asyncio.sleep(0.01)
        assert (await new.ask("status"))["held"] == [2]

    run_virtual(scenario())


def test_a_lost_connection_releases_the_near_half_only() -> None:
    async def scenario() -> None:
        bench = make_bench()
        a, b, m = nodes = connect(bench, "a", "b", "m")
        for node in nodes:
            await node.ask("start", count=0)
        for node in nodes:
            await node.event()
        a.port.close()
        assert bench.world.memories["a"].held() == []
        assert (await b.ask("status"))["held"] == [0]
        assert 0 <= (await b.ask("measure", qubit=0, basis="X"))["outcome"] <= 1
        await m.ask("abort")

    run_virtual(scenario())


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=60), max_size=10))
def test_garbage_never_leaves_the_device_in_use(pieces: list[bytes]) -> None:
    async def scenario() -> None:
        bench = make_bench()
        port = bench.memory("a")
        try:
            for piece in pieces:
                await port.write(piece)
        except ConnectionResetError:
            pass
        (node,) = connect(bench, "a")
        assert (await node.ask("status"))["held"] == []

    run_virtual(scenario())


def test_a_turn_is_about_its_axis_by_its_angle() -> None:
    """Half a turn about Y brings |0> to |1>, a quarter to |+>; about Z nothing happens to |0>."""

    async def scenario() -> None:
        (node,) = connect(make_bench(), "a")
        for axis, angle_rad, basis, expected in (
            ("Y", math.pi, "Z", 1),
            ("Y", math.pi / 2, "X", 0),
            ("X", -math.pi / 2, "Y", 0),
            ("X", math.pi / 2, "Y", 1),
            ("Z", 1.0, "Z", 0),
        ):
            await node.ask("initialise", qubit=1, state="0")
            await node.ask("turn", qubit=1, axis=axis, angle_rad=angle_rad)
            assert (await node.ask("measure", qubit=1, basis=basis))["outcome"] == expected
        for wrong in ({"axis": "W", "angle_rad": 1.0}, {"axis": "X", "angle_rad": "1"}):
            await node.ask("initialise", qubit=1, state="0")
            assert "error" in await node.ask("turn", qubit=1, **wrong)

    run_virtual(scenario())


def test_a_midpoint_is_tuned_in_what_it_has() -> None:
    async def scenario() -> None:
        node, midpoint = connect(make_bench(), "a", "m")
        assert (await node.ask("tune"))["error"] == 5
        assert (await midpoint.ask("capabilities"))["tunes"] == []
        assert set(await midpoint.ask("tune")) == {"ok"}
        refused = await midpoint.ask("tune", phase_deg=10.0)
        assert (refused["error"], refused["text"]) == (1, "phase_deg cannot be set here")

    run_virtual(scenario())
