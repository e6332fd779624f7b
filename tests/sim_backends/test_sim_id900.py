"""The simulated ID900 by the messages of the vendor's examples, on plain ZeroMQ sockets."""

import asyncio
import json

import numpy as np
import zmq
import zmq.asyncio

from sim_backends.lab import LabConfig
from sim_backends.mount_memory import MemoryPort
from sim_backends.mount_zmq import ZmqPairPlace, ZmqPlace
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from timing.loop import run_virtual

PORTS = ("port", "dlt_port", "tags1_port", "tags2_port", "tags3_port", "tags4_port")


def make_bench() -> Bench:
    detector = {
        "channels": 2,
        "efficiency": 0.8,
        "full_bias_ua": 20.0,
        "dark_cps": 5000.0,
        "jitter_ps": 80.0,
        "dead_time_ns": 60.0,
    }
    config = LabConfig.model_validate(
        {
            "lab": {"seed": 7},
            "detectors": {"d": detector},
            "taggers": {"t": {"skew_ppm": 3.0, "inputs": {1: "d.1", 3: "d.2"}}},
            "instruments": {
                "box": {
                    "type": "id900",
                    "of": "taggers.t",
                    "serial": "2108004P010",
                    **{name: 5000 + n for n, name in enumerate(PORTS)},
                }
            },
        }
    )
    bench = Bench(config, TruthLog(None))
    bank = bench.world.detectors["d"]
    bank.enabled, bank.bias_ua = True, [20.0, 20.0]
    return bench


async def ask(port: MemoryPort, command: str) -> str:
    message = command.encode()
    await port.write(len(message).to_bytes(4, "little") + message)
    answer = await asyncio.wait_for(port.read(), 1.0)
    assert int.from_bytes(answer[:4], "little") == len(answer) - 4
    return answer[4:].decode()


def test_every_command_is_answered_in_long_and_short_forms() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box")
        assert "Serial : 2108004P010" in await ask(port, "*IDN?")
        assert await ask(port, "INPUt1:THREshold 1000mV") == ""
        assert await ask(port, "inpu1:thre?") == "1V"
        assert await ask(port, "REC:PWID 0.2s;PPER 200000040000") == ""
        assert await ask(port, "RECord:PWID?;PPER?") == "200000000000TB\n200000040000TB"
        assert await ask(port, "RAW1:STOP:LINK TSCO1;:RAW1:REF:LINK NONE") == ""
        assert await ask(port, "RAW1:STOP:LINK?") == "TSCO1"
        assert await ask(port, "DEVIce:RESolution LOWRES") == ""
        assert await ask(port, "DEVI:RES:BWID?") == "100TB"
        for wrong in ("MAKE:COFFEE", "INPU1:THRE high", "REC:PLAY", "RAW1:COFFEE?"):
            assert "SCPI_ERR" in await ask(port, wrong)

    run_virtual(scenario())


def test_the_service_starts_tells_and_stops_streams() -> None:
    async def scenario() -> None:
        port = make_bench().memory("box", "dlt_port")
        assert json.loads(await ask(port, "list")) == []
        command = "start-stream --address 10.0.0.5 --channel 1 --stream-port 4242"
        identity = json.loads(await ask(port, command))["id"]
        assert json.loads(await ask(port, "list")) == [identity]
        assert "already" in json.loads(await ask(port, command))["error"]["description"]
        status = json.loads(await ask(port, f"status --id {identity}"))
        assert (status["timestamps_count"], status["errors"]) == (0, [])
        assert "status" in json.loads(await ask(port, f"stop --id {identity}"))
        assert json.loads(await ask(port, "list")) == []
        for wrong in ("", "coffee", "stop --id 9", "start-stream --channel 9 --stream-port 1 -- x"):
            assert "error" in json.loads(await ask(port, wrong))

    run_virtual(scenario())


def vendor_session(ports: list[int]) -> list[list[np.ndarray]]:
    """As the vendor's example for synchronised streams does it, with blocking sockets."""
    context = zmq.Context()
    context.linger = 0

    def connected(kind: int, port: int) -> zmq.Socket[bytes]:
        socket = context.socket(kind)
        socket.rcvtimeo = 5000
        socket.connect(f"tcp://127.0.0.1:{port}")
        return socket

    control, dlt = connected(zmq.REQ, ports[0]), connected(zmq.REQ, ports[1])

    def say(socket: zmq.Socket[bytes], command: str) -> bytes:
        socket.send(command.encode())
        return socket.recv()

    for command in (
        *(f"RAW{n}:REF:LINK NONE" for n in (1, 3)),
        *("REC:TRIG:ARM:MODE MANUal", "REC:ENABle ON", "REC:STOP", "REC:NUM INF"),
        f"REC:PWID {2 * 10**11};PPER {2 * 10**11 + 400_000}",
    ):
        assert say(control, command) == b""
    streams, ids = [], []
    for n in (1, 3):
        streams.append(connected(zmq.PAIR, ports[1 + n]))
        answer = say(
            dlt, f"start-stream --address 127.0.0.1 --channel {n} --stream-port {4241 + n}"
        )
        ids.append(json.loads(answer)["id"])
        say(control, f"RAW{n}:SEND ON")
    say(control, "REC:PLAY")
    assert say(control, "REC:STAGe?") == b"PLAYING"
    messages = [[np.frombuffer(s.recv(), "<u8") for _ in range(3)] for s in streams]
    say(control, "REC:STOP")
    for identity in ids:
        say(dlt, f"stop --id {identity}")
    context.destroy(0)
    return messages


async def test_a_session_as_in_the_vendors_example() -> None:
    bench = make_bench()
    sockets = bench.sockets["box"]
    places = {
        name: (ZmqPlace if "tags" not in name else ZmqPairPlace)("127.0.0.1", 0) for name in PORTS
    }
    for name, place in places.items():
        await place.start(sockets[name])
    life = asyncio.create_task(bench.run())
    ports = [int(place.resource.rsplit(":", 1)[1]) for place in places.values()]
    messages = await asyncio.to_thread(vendor_session, ports)
    life.cancel()
    await asyncio.gather(life, return_exceptions=True)
    for place in places.values():
        await place.stop()
    for stream in messages:
        for times in stream:
            assert 700 < len(times) < 1300  # 1000 darks in 0.2 s
            assert (np.diff(times.astype(np.int64)) > 0).all()
            assert times[-1] <= 2 * 10**11
