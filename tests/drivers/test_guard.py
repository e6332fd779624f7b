"""The guard, as the real process that it is, against a tiny instrument on a real socket."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from drivers.safety import ArmingLease, GuardEntry, GuardLost, GuardProcess, keep_armed

DRIVER = """
from drivers.devices import Identity, Instrument
from drivers.framing import LINE_LF
from drivers.plugin import Manifest

class Lamp(Instrument):
    manifest = Manifest("test.lamp", "Laser", "^ACME", ("tcp", "serial"), "off", emits=True)
    def __init__(self, link, options=None):
        super().__init__(link, options)
        if "bad" in self.options:
            raise ValueError("option 'bad' is not known; a lamp has none")
    async def connect(self):
        text = (await self.link.exchange(b"who?\\n", LINE_LF)).decode()
        return Identity(text, text.split()[-1])
    async def enter_safe_state(self):
        await self.link.exchange(b"off\\n", LINE_LF)
    async def ping(self):
        await self.connect()
"""

NODE = """
import asyncio, json, sys
from pathlib import Path
from drivers.safety import GuardEntry, GuardProcess

async def main():
    entries = [GuardEntry(**entry) for entry in json.loads(sys.argv[1])]
    guard = await GuardProcess.start(entries, data_dir=Path(sys.argv[2]))
    print(guard.pid, flush=True)
    while True:
        guard.renew()
        await asyncio.sleep(0.2)

asyncio.run(main())
"""


class Lamp:
    """The instrument; serves one client only, as many do."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[tuple[str, float]] = []
        self.identity = "ACME lamp 17"
        self.dark = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                words = line.decode().strip()
                self.heard.append((words, asyncio.get_running_loop().time()))
                writer.write((self.identity if words == "who?" else "ok").encode() + b"\n")
                if words == "off":
                    self.dark.set()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def entry(self, **changes: object) -> GuardEntry:
        fields = {
            "name": "pump",
            "driver": "guarded_lamp:Lamp",
            "resource": f"tcp://127.0.0.1:{self.port}",
            "serial": "17",
        }
        return GuardEntry(**{**fields, **changes})  # type: ignore[arg-type]


@asynccontextmanager
async def lamp_on_a_socket() -> AsyncIterator[Lamp]:
    lamp = Lamp()
    server = await asyncio.start_server(lamp.serve, "127.0.0.1", 0)
    lamp.port = server.sockets[0].getsockname()[1]
    try:
        yield lamp
    finally:
        server.close()


@pytest.fixture(autouse=True)
def lab_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "guarded_lamp.py").write_text(DRIVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield
    log = tmp_path / "guard.log"
    if log.exists():
        assert "Traceback" not in log.read_text()


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def node_process(lamp: Lamp, data_dir: Path) -> subprocess.Popen[bytes]:
    entries = [{"name": "pump", "driver": "guarded_lamp:Lamp", "resource": lamp.entry().resource}]
    return subprocess.Popen(
        [sys.executable, "-c", NODE, json.dumps(entries), str(data_dir)],
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )


async def test_a_killed_node_leaves_the_dark_behind(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        node = node_process(lamp, tmp_path)
        assert node.stdout is not None
        pid = int(await asyncio.to_thread(node.stdout.readline))
        assert lamp.heard == [], "a guard does not touch the instrument before it has to"
        assert os.getsid(pid) != os.getsid(node.pid)
        killed_s = asyncio.get_running_loop().time()
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        node.stdout.close()
        async with asyncio.timeout(2):
            await lamp.dark.wait()
        assert [words for words, _ in lamp.heard] == ["who?", "off"]
        assert lamp.heard[-1][1] - killed_s < 2
        await gone(pid)
        assert "the node has died" in (tmp_path / "guard.log").read_text()
        assert "pump: safe (off)" in (tmp_path / "guard.log").read_text()


async def test_a_proper_end_touches_nothing(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        guard = await GuardProcess.start([lamp.entry()], data_dir=tmp_path)
        assert guard.alive
        guard.renew()
        await guard.release()
        assert not guard.alive
        assert lamp.heard == []
        with pytest.raises(GuardLost):
            guard.renew()


async def test_a_node_that_hangs_loses_its_light(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        guard = await GuardProcess.start([lamp.entry()], data_dir=tmp_path, lease_s=0.3)
        async with asyncio.timeout(2):
            await lamp.dark.wait()
        assert await guard.wait(timeout_s=2) == 0
        assert "has not renewed its lease for 0.3 s" in (tmp_path / "guard.log").read_text()


async def test_the_end_of_a_session_does_not_end_a_guard(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        guard = await GuardProcess.start([lamp.entry()], data_dir=tmp_path)
        for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guard.pid, name)
        await asyncio.sleep(0.1)
        guard.renew()
        assert guard.alive
        guard.abandon()
        assert await guard.wait(timeout_s=2) == 0
        assert lamp.dark.is_set()


async def test_it_tries_again_until_the_instrument_is_there(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        lamp.identity = "garbage"
        guard = await GuardProcess.start([lamp.entry()], data_dir=tmp_path)
        guard.abandon()
        async with asyncio.timeout(2):
            while not lamp.heard:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not lamp.dark.is_set()
        lamp.identity = "ACME lamp 17"
        assert await guard.wait(timeout_s=3) == 0
        assert lamp.dark.is_set()


async def test_it_gives_up_in_time_and_says_so(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        lamp.identity = "ACME lamp 18"
        guard = await GuardProcess.start([lamp.entry()], data_dir=tmp_path, act_limit_s=0.6)
        guard.abandon()
        assert await guard.wait(timeout_s=3) == 1
        assert not lamp.dark.is_set()
        words = (tmp_path / "guard.log").read_text()
        assert "pump: NOT SAFE" in words
        assert "expected is '17'" in words


async def test_a_new_guard_waits_for_the_old_one(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        lamp.identity = "not yet"
        old = await GuardProcess.start([lamp.entry()], data_dir=tmp_path, act_limit_s=0.7)
        with pytest.raises(GuardLost, match=rf"process {old.pid}.*another node is running"):
            await GuardProcess.start([lamp.entry()], data_dir=tmp_path, lock_limit_s=0.1)
        starting = asyncio.create_task(GuardProcess.start([lamp.entry()], data_dir=tmp_path))
        await asyncio.sleep(0.3)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(10):
                await starting
        old.abandon()
        new = await GuardProcess.start([lamp.entry()], data_dir=tmp_path)
        # Its lock is free a moment before its end can be waited for.
        assert await old.wait(timeout_s=1) == 1
        await new.release()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"driver": "no.such"}, "pump: unknown driver 'no.such'"),
        ({"resource": "lpt1"}, "pump: resource 'lpt1' is not understood"),
        ({"options": {"bad": 1}}, "pump: option 'bad' is not known"),
    ],
)
async def test_an_order_that_cannot_be_carried_out(
    changes: dict[str, object], says: str, tmp_path: Path
) -> None:
    entry = Lamp().entry(**{"resource": "tcp://127.0.0.1:1", **changes})
    with pytest.raises(GuardLost, match=says):
        await GuardProcess.start([entry], data_dir=tmp_path)


async def test_a_guard_is_small(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        guard = await GuardProcess.start([lamp.entry()], data_dir=tmp_path)
        process = psutil.Process(guard.pid)
        assert process.memory_info().rss < 60 << 20
        assert process.num_threads() == 1
        loaded = {Path(entry.path).name for entry in process.memory_maps()}
        assert not [name for name in loaded if "zmq" in name.lower()]
        await guard.release()


async def test_a_serial_port_of_the_dead_is_free(tmp_path: Path) -> None:
    far, near = os.openpty()
    path = os.ttyname(near)
    os.close(near)
    entry = GuardEntry("pump", "guarded_lamp:Lamp", f"serial://{path}")
    heard = bytearray()
    dark = asyncio.Event()

    def answer() -> None:
        try:
            data = os.read(far, 100)
        except OSError:  # nobody has it open now
            return
        heard.extend(data)
        for line in data.splitlines():
            os.write(far, b"ACME lamp 17\n" if line == b"who?" else b"ok\n")
            if line == b"off":
                dark.set()

    hold = os.open(path, os.O_RDWR | os.O_NOCTTY)  # a port does not vanish with its user
    asyncio.get_running_loop().add_reader(far, answer)
    guard = await GuardProcess.start([entry], data_dir=tmp_path)
    guard.abandon()
    assert await guard.wait(timeout_s=3) == 0
    assert bytes(heard) == b"who?\noff\n"
    asyncio.get_running_loop().remove_reader(far)
    os.close(hold)
    os.close(far)


async def test_keep_armed_holds_the_lease_while_a_guard_watches(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        clock = asyncio.get_running_loop().time
        lease = ArmingLease(clock, duration_s=0.6)
        told: asyncio.Queue[str] = asyncio.Queue(10)
        arming = asyncio.create_task(
            keep_armed(
                lease,
                [lamp.entry()],
                data_dir=tmp_path,
                all_safe=lambda: True,
                on_guard=told.put_nowait,
            )
        )
        async with asyncio.timeout(10):
            assert await told.get() == ""
            await asyncio.sleep(0.7)
            assert lease.live
            holder = int((tmp_path / "guard.lock").read_text())
            os.kill(holder, signal.SIGKILL)
            assert "guard" in await told.get()
            assert not lease.live
            assert await told.get() == ""
            await asyncio.sleep(0.05)
            assert lease.live
            assert int((tmp_path / "guard.lock").read_text()) != holder
        arming.cancel()
        await asyncio.gather(arming, return_exceptions=True)
        assert not lease.live
        assert lamp.heard == []


async def test_a_node_that_stood_still_gets_a_new_guard_before_it_arms(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        lease = ArmingLease(asyncio.get_running_loop().time, duration_s=0.6)
        told: asyncio.Queue[str] = asyncio.Queue(10)
        arming = asyncio.create_task(
            keep_armed(
                lease,
                [lamp.entry()],
                data_dir=tmp_path,
                all_safe=lambda: True,
                on_guard=told.put_nowait,
            )
        )
        async with asyncio.timeout(10):
            assert await told.get() == ""
            await asyncio.sleep(0)
            time.sleep(1.0)  # noqa: ASYNC251  (standing still is what is tested)
            assert not lease.live
            assert await told.get() != ""
            assert not lease.live
            assert await told.get() == ""
            assert lamp.dark.is_set()
        arming.cancel()
        await asyncio.gather(arming, return_exceptions=True)


async def test_keep_armed_lets_the_guard_act_when_not_all_is_safe(tmp_path: Path) -> None:
    async with lamp_on_a_socket() as lamp:
        lease = ArmingLease(asyncio.get_running_loop().time)
        ready = asyncio.Event()
        arming = asyncio.create_task(
            keep_armed(
                lease,
                [lamp.entry()],
                data_dir=tmp_path,
                all_safe=lambda: False,
                on_guard=lambda _: ready.set(),
            )
        )
        async with asyncio.timeout(5):
            await ready.wait()
        arming.cancel()
        await asyncio.gather(arming, return_exceptions=True)
        assert lamp.dark.is_set()
