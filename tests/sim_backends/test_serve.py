"""The whole lab as a program: addresses, signals, and what is said when it cannot be served."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qnodeos.cli.sim import sim
from qnodeos.errors import UserError
from sim_backends.lab import load_lab
from sim_backends.serve import Bench, ServeError, serve
from sim_backends.truth import TruthLog
from tests.ports import free_ports
from timing.loop import run_virtual

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "lab.toml"


def lab_file(folder: Path, ports: list[int]) -> Path:
    """A small lab: a laser and a power meter on TCP, a tagger on a serial port."""
    path = folder / "lab.toml"
    path.write_text(
        f"""
[lab]
seed = 1
truth = "data/truth.jsonl"
[lasers.pump]
threshold_ma = 40.0
slope_mw_per_ma = 0.2
max_current_ma = 120.0
wavelength_nm = 405.0
[taggers.a]
inputs = {{}}
[instruments]
pump = {{ type = "dlcpro", of = "lasers.pump", port = {ports[0]}, serial = "DLC" }}
power = {{ type = "pm100d", of = "lasers.pump", port = {ports[1]}, serial = "P1" }}
tagger = {{ type = "tdc1", of = "taggers.a", pty = "tagger", serial = "TDC1-1" }}
"""
    )
    return path


async def test_every_instrument_can_be_reached_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ports = free_ports(2)
    path = lab_file(tmp_path, ports)
    told: asyncio.Queue[list[str]] = asyncio.Queue(1)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(path, ready=told.put_nowait, stop=stop))
    async with asyncio.timeout(10):
        lines = await told.get()
        assert lines == [
            f"pump dlcpro tcp://127.0.0.1:{ports[0]}",
            f"power pm100d tcp://127.0.0.1:{ports[1]}",
            f"tagger tdc1 serial://{tmp_path}/run/tagger",
        ]
        pump = await asyncio.open_connection("127.0.0.1", ports[0])
        await pump[0].readuntil(b"> ")
        for command in (
            b"(param-set! 'laser1:dl:cc:current-set 90.0)\n",
            b"(param-set! 'laser1:dl:cc:enabled #t)\n",
        ):
            pump[1].write(command)
            assert await pump[0].readuntil(b"> ") == b"0\n> "
        power = await asyncio.open_connection("127.0.0.1", ports[1])
        power[1].write(b"SENS:CORR:WAV 405\nMEAS:POW?\n")
        assert float(await power[0].readline()) == pytest.approx(10e-3, rel=0.02)
        assert (tmp_path / "run" / "tagger").is_char_device()
        stop.set()
        await serving
        assert await pump[0].read() == b""
    assert list((tmp_path / "run").iterdir()) == []
    assert (tmp_path / "data" / "truth.jsonl").exists()
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
    for end in (pump, power):
        end[1].close()


async def test_a_port_in_use_names_everything_and_leaves_the_running_lab_alone(
    tmp_path: Path,
) -> None:
    ports = free_ports(2)
    path = lab_file(tmp_path, ports)
    truth = tmp_path / "data" / "truth.jsonl"
    truth.parent.mkdir()
    truth.write_text("of the lab that runs")
    with socket.create_server(("127.0.0.1", ports[1])), pytest.raises(ServeError) as caught:
        await serve(path)
    assert caught.value.what == f"port {ports[1]} is in use"
    assert caught.value.where == f"{path}: instruments.power.port"
    assert caught.value.found == f"127.0.0.1:{ports[1]}"
    assert truth.read_text() == "of the lab that runs"
    assert not (tmp_path / "run").exists()
    socket.create_server(("127.0.0.1", ports[0])).close()


def test_the_command_tells_a_port_in_use_in_one_message(tmp_path: Path) -> None:
    ports = free_ports(2)
    path = lab_file(tmp_path, ports)
    with socket.create_server(("127.0.0.1", ports[0])), pytest.raises(UserError) as caught:
        sim(path, quiet=True)
    text = str(caught.value)
    for part in (f"port {ports[0]} is in use", str(path), "instruments.pump.port", "or choose"):
        assert part in text
    assert caught.value.exit_status == 2


def test_the_command_tells_a_wrong_lab_file_in_one_message(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text("[lab]\nseed = 'one'\n")
    with pytest.raises(UserError, match="the lab file cannot be used") as caught:
        sim(path, quiet=True)
    assert "lab.seed" in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        sim(tmp_path / "missing.toml", quiet=True)


def test_a_file_in_the_way_of_a_serial_port_is_named(tmp_path: Path) -> None:
    path = lab_file(tmp_path, free_ports(2))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tagger").write_text("mine")
    with pytest.raises(UserError, match="there is a file where") as caught:
        sim(path, quiet=True)
    assert "instruments.tagger.pty" in str(caught.value)


def test_a_truth_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = lab_file(tmp_path, free_ports(2))
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(UserError, match="the truth file cannot be written") as caught:
        sim(path, quiet=True)
    assert "lab.truth" in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    path = lab_file(tmp_path, free_ports(2))
    program = f"from pathlib import Path; from qnodeos.cli.sim import sim; sim(Path({str(path)!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = []
        while (line := process.stdout.readline()) and line != "ready\n":
            lines.append(line.split())
        assert lines[0] == ["instrument", "type", "resource"]
        assert lines[3] == ["tagger", "tdc1", f"serial://{tmp_path}/run/tagger"]
        # A client that holds a serial port open does not keep the lab from ending.
        client = os.open(tmp_path / "run" / "tagger", os.O_RDWR | os.O_NOCTTY)
        process.send_signal(number)
        started_s = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - started_s < 5.0
        os.close(client)
        assert process.stderr.read() == ""
    assert not (tmp_path / "run" / "tagger").is_symlink()


def test_the_example_lab_lives_on_virtual_time(tmp_path: Path) -> None:
    """Current in bytes on the laser brings clicks in bytes on both taggers, and truth is kept."""
    truth = tmp_path / "truth.jsonl"

    async def scenario() -> dict[str, int]:
        bench = Bench(load_lab(EXAMPLE), TruthLog(truth))
        life = asyncio.create_task(bench.run())
        pump = bench.memory("alice-pump")
        for end in ("alice", "bob"):
            await bench.memory(f"{end}-detectors").write(
                b'{"command": "SetAllBiasCurrents", "value": [20, 20]}'
                b'{"command": "DetectorEnable", "value": true}'
            )
        words = {}
        for current in ("0.0", "90.0"):
            await pump.write(f"(param-set! 'laser1:dl:cc:current-set {current})\n".encode())
            await pump.write(b"(param-set! 'laser1:dl:cc:enabled #t)\n")
            for end in ("alice", "bob"):
                port = bench.memory(f"{end}-tagger", "pty")
                await port.write(b"time 0;timestamp;counts?;")
                await asyncio.sleep(1.0)
                words[f"{end} {current}"] = len(await port.read()) // 4
                await port.write(b"abort;")
                port.close()
        life.cancel()
        bench.close()
        return words

    words = run_virtual(scenario())
    assert words["alice 0.0"] == pytest.approx(2 * 200 + 15, abs=120)
    assert words["alice 90.0"] > 20 * words["alice 0.0"]
    assert words["bob 90.0"] > 10 * words["bob 0.0"]
    kinds = {json.loads(line)["kind"] for line in truth.read_text().splitlines()}
    assert {"source", "pair_time"} <= kinds
