"""What one passage from node to node takes: by the wire, by ZeroMQ with CURVE alone, by plain TCP.

Another process echoes; one way is half of there and back. A word is sent each 5 ms, as heralds are,
so that both processes have slept before.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zmq

from benchmarks.frame import Row, benchmark
from link_layer.messages import Message, ReadyAgain
from qnodeos.config import WireTable
from qnodeos.keys import load_key_pair, new_keys
from qnodeos.wire import Received, Wire

WORDS = 600
PAUSE_S = 0.005
BYTES = 40
"""Of the bare ways: as long as the wire's word in its envelope."""

NAMES = ("alice", "bob")


@benchmark("hop", "one passage between two nodes: the wire, beside bare ZeroMQ and bare TCP")
def run() -> list[Row]:
    """Microseconds one way at 50 and 99 %, and the ratios at 50 %."""
    took_us = {}
    for name, there_and_back in (("TCP", _tcp), ("ZeroMQ with CURVE", _zmq), ("the wire", _wire)):
        with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
            took_us[name] = 1e6 * np.array(there_and_back(Path(folder))) / 2
    rows = []
    for name, each in took_us.items():
        rows += [
            Row(f"{name}: one way, p50", float(np.percentile(each, 50)), "us"),
            Row("the same, p99", float(np.percentile(each, 99)), "us"),
        ]
    wire, bare, tcp = (float(np.median(took_us[name])) for name in reversed(took_us))
    return [
        *rows,
        Row("the wire, of ZeroMQ with CURVE", wire / bare, "", at_most=3),
        Row("ZeroMQ with CURVE, of TCP", bare / tcp, ""),
    ]


def _echo(way: str, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    code = f"import benchmarks.hop as hop; hop.{way}({str(folder)!r}, *{more!r})"
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)


def _timed(there_and_back: Callable[[], object]) -> list[float]:
    took_s = []
    for _ in range(WORDS):
        time.sleep(PAUSE_S)
        began_s = time.perf_counter()
        there_and_back()
        took_s.append(time.perf_counter() - began_s)
    return took_s


def _tcp(folder: Path) -> list[float]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        _echo("echo_tcp", folder, str(server.getsockname()[1])),
        server.accept()[0] as line,
    ):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _timed(lambda: (line.send(bytes(BYTES)), line.recv(4096)))


def echo_tcp(folder: str, port: str) -> None:
    """The other process of TCP."""
    with socket.create_connection(("127.0.0.1", int(port))) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := line.recv(4096):
            line.sendall(data)


def _zmq(folder: Path) -> list[float]:
    for name in NAMES:
        new_keys(name, folder)
    mine, bob = (load_key_pair(folder / f"{name}.key_secret") for name in NAMES)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        port = _free_port()
        dealer.linger = 0
        dealer.curve_serverkey = bob.public
        dealer.curve_publickey, dealer.curve_secretkey = mine.public, mine.secret
        dealer.connect(f"tcp://127.0.0.1:{port}")
        with _echo("echo_zmq", folder, str(port)) as other:
            dealer.send(b"hello")
            dealer.recv()
            took_s = _timed(lambda: (dealer.send(bytes(BYTES)), dealer.recv()))
            other.terminate()
    return took_s


def echo_zmq(folder: str, port: str) -> None:
    """The other process of ZeroMQ."""
    keys = load_key_pair(Path(folder) / "bob.key_secret")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.curve_server = True
    router.curve_publickey, router.curve_secretkey = keys.public, keys.secret
    router.bind(f"tcp://127.0.0.1:{port}")
    while True:
        router.send_multipart(router.recv_multipart())


def _wire(folder: Path) -> list[float]:
    for name in NAMES:
        new_keys(name, folder)
    ports = [str(_free_port()) for _ in NAMES]
    with _echo("echo_wire", folder, *ports) as other:
        took_s = asyncio.run(_by_wire(folder, ports))
        other.terminate()
    return took_s


async def _by_wire(folder: Path, ports: list[str]) -> list[float]:
    wire = _made(folder, ports, 0)
    await wire.start()
    word, took_s = ReadyAgain("alice-bob"), []
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(60):
            while not wire.send("bob", word):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await wire.receive()
            for _ in range(WORDS):
                await asyncio.sleep(PAUSE_S)
                began_s = clock()
                wire.send("bob", word)
                took_s.append((await wire.receive()).received_s - began_s)
    finally:
        await wire.close()
    return took_s


def echo_wire(folder: str, *ports: str) -> None:
    """The other process of the wire."""

    async def serve() -> None:
        wire = _made(Path(folder), list(ports), 1)
        await wire.start()

        def back(received: Received[Message]) -> None:
            wire.send("alice", received.message)

        wire.listen(back)
        await asyncio.Event().wait()

    asyncio.run(serve())


def _made(folder: Path, ports: list[str], me: int) -> Wire[Message]:
    far = 1 - me
    peer = {
        "id": far + 1,
        "address": f"tcp://127.0.0.1:{ports[far]}",
        "public_key": folder / f"{NAMES[far]}.key",
    }
    table = WireTable.model_validate(
        {
            "listen": f"tcp://127.0.0.1:{ports[me]}",
            "secret_key": folder / f"{NAMES[me]}.key_secret",
            "peers": {NAMES[far]: peer},
        }
    )
    return Wire(table, NAMES[me], Message, on_peer=lambda status: None)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
