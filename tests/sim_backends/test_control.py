"""Changing a lab that is being served: by console, over HTTP, by a script, and on the network."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qnodeos import UserError
from qnodeos.cli.sim import sim
from sim_backends.bench import Bench
from sim_backends.changing import value_of
from sim_backends.console import answered, read_console
from sim_backends.control import Control, ControlError
from sim_backends.control_http import ControlPort
from sim_backends.faults.director import direct
from sim_backends.faults.network import NetworkFaults
from sim_backends.faults.proxy import REPAIR_S, NetworkProxy
from sim_backends.faults.script import FaultConfig
from sim_backends.handling import Handling, control_address
from sim_backends.lab import LabError, load_lab
from sim_backends.mount import listen_on
from sim_backends.mount_messages import serve_streams, stop_streams
from sim_backends.serve import ServeError, serve
from sim_backends.truth import TruthLog
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "lab.toml"
LAB = load_lab(EXAMPLE)
TOKEN = "of the test"


def make() -> tuple[Bench, Control]:
    bench = Bench(LAB, TruthLog(None), unix_s=asyncio.get_running_loop().time)
    return bench, Control(bench.world, direct(bench), LAB.things)


def in_lab(scenario: Callable[[Bench, Control], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        bench, control = make()
        await scenario(bench, control)
        bench.close()

    run_virtual(run(), limit_s=100.0)


def test_the_console_sets_shows_and_breaks() -> None:
    async def scenario(bench: Bench, control: Control) -> None:
        assert answered(control, "set sources.crystal.fidelity 0.9") == (
            "sources.crystal.fidelity = 0.9\n"
        )
        assert value_of(bench.world, "sources.crystal.fidelity") == 0.9
        assert answered(control, "fault fibre alice cut 5 s") == "n = 1\n"
        assert value_of(bench.world, "channels.alice.loss_db") == 156.0
        assert "channels.alice.loss_db = 156.0" in answered(control, "show channels.alice")
        assert "'of': 'channels.alice'" in answered(control, "show channels.alice")
        await asyncio.sleep(5.1)
        assert value_of(bench.world, "channels.alice.loss_db") == 6.0
        assert answered(control, "fault detectors.bob darks 50") == "n = 2\n"
        assert value_of(bench.world, "detectors.bob.dark_cps") == 15000.0
        assert answered(control, "end 2") == "ended = 2\n"
        assert value_of(bench.world, "detectors.bob.dark_cps") == 300.0
        assert "power-cycle" in answered(control, "faults")
        assert "fault fibre alice cut" in answered(control, "help")
        assert answered(control, "\n") == ""

    in_lab(scenario)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dance", ["dance", "help"]),
        ("set sources.crystal.fidelity 2", ["found 2", "less than or equal to 1"]),
        ("set sources.crystal.colour 2", ["colour", "fidelity"]),
        ("fault fibre carol cut", ["channels.carol", "alice, bob"]),
        ("fault fibre alice melt", ["melt", "cut"]),
        ("fault fibre alice cut lots", ["'lots'", "a number"]),
        ("fault fibre alice cut 5 6 7 s", ["'6'", "too much"]),
        ("show kitchen", ["kitchen", "channels"]),
        ("show channels.carol", ["channels.carol", "alice, bob"]),
        ("end 7", ["no fault 7"]),
    ],
)
def test_a_wrong_line_changes_nothing_and_says_so(line: str, words: list[str]) -> None:
    async def scenario(bench: Bench, control: Control) -> None:
        answer = answered(control, line)
        assert answer.startswith("not done: ")
        for word in words:
            assert word in answer
        assert bench.world.config == LAB
        assert not control.show()["faults"]

    in_lab(scenario)


async def test_the_console_reads_lines_until_its_input_ends() -> None:
    bench, control = make()
    said: list[str] = []
    out, into = os.pipe()
    with os.fdopen(out) as source:
        reading = asyncio.create_task(read_console(control, source=source, say=said.append))
        os.write(into, b"set channels.bob.loss_db 9\nnonsense\n")
        os.close(into)
        async with asyncio.timeout(5):
            await reading
    assert said[0] == "lab> "
    assert said[1] == "channels.bob.loss_db = 9\nlab> "
    assert said[2].startswith("not done: ")
    assert value_of(bench.world, "channels.bob.loss_db") == 9


async def ask(url: str, request: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection(*control_address(url.removeprefix("http://")))
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{request} HTTP/1.1\r\nHost: lab\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    first, _, rest = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(rest)


@asynccontextmanager
async def control_port() -> AsyncIterator[tuple[Bench, str]]:
    bench, control = make()
    port = ControlPort("127.0.0.1", 0, token=TOKEN)
    await port.start(control)
    try:
        yield bench, port.url
    finally:
        await port.stop()


async def test_a_program_looks_and_changes_over_http() -> None:
    async with control_port() as (bench, url):
        status, world = await ask(url, "GET /world")
        assert status == 200
        assert world["sources"]["crystal"]["fidelity"] == 0.965
        change = {"path": "midpoints.station.efficiency.bob", "value": 0.2}
        assert await ask(url, "POST /set", change) == (
            200,
            {"midpoints.station.efficiency.bob": 0.2},
        )
        assert value_of(bench.world, "midpoints.station.efficiency.bob") == 0.2
        cut = {"kind": "cut", "of": "channels.bob", "size": 3.0}
        assert await ask(url, "POST /fault", cut) == (200, {"n": 1})
        assert value_of(bench.world, "channels.bob.loss_db") == 9.0
        _, world = await ask(url, "GET /world")
        (acting,) = world["faults"]
        assert 0.0 <= acting.pop("began_s") <= world["t_s"]
        assert acting == {
            "n": 1,
            "fault": "cut",
            "of": "channels.bob",
            "size": 3.0,
            "unit": "dB more",
            "for_s": None,
        }
        _, breakable = await ask(url, "GET /faults")
        assert breakable["channels"]["names"] == ["alice", "bob"]
        assert breakable["channels"]["kinds"]["cut"]["unit"] == "dB more"
        assert breakable["taggers"]["kinds"]["clock-jump"]["once"]
        assert await ask(url, "POST /end", {"n": 1}) == (200, {"ended": 1})


@pytest.mark.parametrize(
    ("request_line", "body", "status", "word"),
    [
        ("GET /nowhere", None, 404, "GET /world"),
        ("POST /set", b"{", 400, "not JSON"),
        ("POST /set", [1], 400, "an object"),
        ("POST /set", {"path": "x"}, 400, '"value"'),
        ("POST /set", {"path": "lab.seed", "value": 1}, 400, "lab.seed"),
        ("POST /fault", {"kind": "cut"}, 400, "of: is missing"),
        ("POST /fault", {"kind": "cut", "of": "channels.x"}, 400, "channels.x"),
        ("POST /end", {"n": "one"}, 400, '"n"'),
        ("POST /set", b"x" * 70_000, 413, "65536"),
    ],
)
async def test_a_wrong_request_is_told(
    request_line: str, body: Any, status: int, word: str
) -> None:
    async with control_port() as (bench, url):
        found, answer = await ask(url, request_line, body)
        assert found == status
        assert word in answer["error"]
        assert bench.world.config == LAB


async def test_without_the_token_nothing_is_told_or_done() -> None:
    async with control_port() as (bench, url):
        for token in ("", "another"):
            assert (await ask(url, "GET /world", token=token))[0] == 401
            change = {"path": "channels.bob.loss_db", "value": 1.0}
            assert (await ask(url, "POST /set", change, token=token))[0] == 401
        assert bench.world.config == LAB


def test_control_is_for_this_machine_unless_told_else() -> None:
    with pytest.raises(Exception, match="this machine only"):
        Handling(control=("0.0.0.0", 0)).take(LAB)
    with pytest.raises(ValueError, match="HOST:PORT"):
        control_address("7190")
    with pytest.raises(UserError, match="HOST:PORT"):
        sim(EXAMPLE, control="here")


async def served(path: Path, handling: Handling, body: Callable[[list[str]], Any]) -> None:
    told: asyncio.Queue[list[str]] = asyncio.Queue(1)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(path, ready=told.put_nowait, stop=stop, handling=handling))
    async with asyncio.timeout(20):
        getting = asyncio.create_task(told.get())
        await asyncio.wait({serving, getting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            getting.cancel()
            serving.result()
        try:
            await body(await getting)
        finally:
            stop.set()
            await serving


def small_lab(folder: Path, more: str = "") -> Path:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    path = folder / "lab.toml"
    path.write_text(
        f"""
[lab]
seed = 1
truth = "truth.jsonl"
[lasers.pump]
threshold_ma = 40.0
slope_mw_per_ma = 0.2
max_current_ma = 120.0
wavelength_nm = 405.0
[instruments]
power = {{ type = "pm100d", of = "lasers.pump", port = {port}, serial = "P1" }}
{more}
"""
    )
    return path


async def test_a_served_lab_has_its_faults_and_its_control(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[faults]]\nkind = "power-cycle"\nof = "instruments.power"\nfor_s = 0.3\n')

    async def body(lines: list[str]) -> None:
        power, control = lines
        url = control.split()[2]
        host, port = control_address(power.split()[2].removeprefix("tcp://"))
        reader, writer = await asyncio.open_connection(host, port)
        assert await reader.read() == b"", "it is switched off"
        writer.close()
        await asyncio.sleep(0.6)
        assert (await ask(url, "GET /world"))[1]["faults"] == []
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"*IDN?\n")
        assert (await reader.readline()).startswith(b"THORLABS")
        writer.close()

    handling = Handling(faults=script, control=("127.0.0.1", 0), token=TOKEN)
    await served(small_lab(tmp_path), handling, body)
    told = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [each["state"] for each in told if each["kind"] == "fault"] == ["onset", "end"]


async def test_a_script_for_another_lab_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[faults]]\nkind = "cut"\nof = "channels.alice"\n')
    with pytest.raises(LabError, match=r"channels\.alice"):
        await serve(small_lab(tmp_path), handling=Handling(faults=script))
    with pytest.raises(ServeError, match="--control-anywhere"):
        await serve(small_lab(tmp_path), handling=Handling(control=("0.0.0.0", 0)))


@asynccontextmanager
async def proxied(faults: NetworkFaults) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy before a server that echoes; and the first words of its connections."""
    first: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(b"")
        place = len(first) - 1
        with suppress(OSError):
            while data := await reader.read(1000):
                first[place] += data
                writer.write(data)
        writer.close()

    listener = listen_on("127.0.0.1", 0)
    to = f"127.0.0.1:{listener.getsockname()[1]}"
    clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
    server = await serve_streams(echo, listener, clients)
    proxy = NetworkProxy("way", "127.0.0.1", 0, to, faults)
    await proxy.start()
    try:
        yield proxy.address, first
    finally:
        await proxy.stop()
        await stop_streams(server, clients)


def begin(faults: NetworkFaults, kind: str, size: float | None, level: float = 1.0) -> None:
    config = FaultConfig.model_validate({"kind": kind, "of": "network.way", "size": size})
    faults.level(1, config, level)


async def test_between_sockets_a_fault_costs_time_or_the_connection() -> None:
    faults = NetworkFaults(np.random.default_rng(1))
    clock = asyncio.get_running_loop().time
    async with proxied(faults) as (address, first):
        reader, writer = await asyncio.open_connection(*control_address(address))

        async def said(data: bytes) -> tuple[bytes, float]:
            began_s = clock()
            writer.write(data)
            async with asyncio.timeout(5):
                return await reader.readexactly(len(data)), clock() - began_s

        assert (await said(b"plain"))[0] == b"plain"
        begin(faults, "delay", 0.15)
        answer, took_s = await said(b"late")
        assert answer == b"late"
        assert took_s >= 0.3
        begin(faults, "loss", 1.0)
        answer, took_s = await said(b"lost")
        assert answer == b"lost"
        assert took_s >= 2 * REPAIR_S
        begin(faults, "partition", None)
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        begin(faults, "partition", None, 0.0)
        assert await reader.readexactly(4) == b"held"
        begin(faults, "replay", 1.0)
        assert (await said(b"again"))[0] == b"again"
        async with asyncio.timeout(5):
            while len(first) < 2 or not first[1]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert first[1] == b"plainlatelostheld"
        begin(faults, "forgery", 1.0)
        assert (await said(b"true"))[0] != b"true"
        writer.close()


def test_what_the_director_is_asked_for_by_hand_is_checked() -> None:
    async def scenario(bench: Bench, control: Control) -> None:
        with pytest.raises(ControlError, match="size"):
            control.fault({"kind": "cut", "of": "channels.alice", "size": -1.0})

    in_lab(scenario)
