"""Draining, reloading, metrics, the watchdog and words to systemd, on real parts."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sim_nodes import LAB, NAMES, write_nodes
from qnodeos import metrics
from qnodeos.config import load_node
from qnodeos.draining import drain
from qnodeos.errors import UserError
from qnodeos.journal import events_after
from qnodeos.loop_watch import STALL_S, LoopWatch
from qnodeos.metrics import MetricsServer
from qnodeos.rehearsal import rehearsal
from qnodeos.reloading import differences, reload
from qnodeos.requests import RequestEnded
from qnodeos.systemd import Notifier
from sim_backends.lab import load_lab
from tests.ports import free_port
from timing.loop import run_virtual


@asynccontextmanager
async def nodes(folder: Path) -> AsyncIterator[dict[str, Any]]:
    write_nodes(folder, LAB)
    configs = [load_node(folder / f"{name}.toml") for name in NAMES]
    async with rehearsal(load_lab(folder / "lab.toml"), configs, delay_s=1e-5) as network:
        while not all(network.nodes[name].links["memory"].ready for name in ("alice", "bob")):
            await network.lasts(0.05)
        yield network.nodes


def ask(node: Any, number: int, within_s: float = 60.0) -> Any:
    return node.links["memory"].desk.ask(
        kind="K", number=number, minimum_fidelity=0.5, within_s=within_s, purpose="test"
    )


async def use(inbox: Any) -> int:
    count = 0
    async for pair in inbox:
        await pair.measure()
        count += 1
    return count


@pytest.mark.parametrize(("number", "ends"), [(100, True), (10**6, False)])
def test_a_node_that_goes_down_lets_open_requests_end(
    tmp_path: Path, number: int, ends: bool
) -> None:
    async def scenario() -> None:
        async with nodes(tmp_path) as both:
            alice, bob = both["alice"], both["bob"]
            far = asyncio.create_task(use(bob.links["memory"].desk.accept("test")))
            near = asyncio.create_task(use(ask(alice, number)))
            await asyncio.sleep(0.02)
            left = await drain(alice.parts, "alice is going down", limit_s=0.3)
            assert left == (0 if ends else 1)
            if ends:
                assert await near == number
            else:
                with pytest.raises(RequestEnded, match="alice is going down"):
                    await near
            await asyncio.sleep(0.01)  # bob has heard of it
            for asker in (alice, bob):
                with pytest.raises(RequestEnded, match="alice is going down"):
                    await use(ask(asker, 1))
            far.cancel()

    run_virtual(scenario(), limit_s=60)


def test_what_can_change_changes_and_the_rest_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with nodes(tmp_path) as both:
            alice, file = both["alice"], tmp_path / "alice.toml"
            link, text = alice.links["memory"], file.read_text()
            assert reload(alice.parts) == []
            file.write_text(text.replace("test_fraction = 0.0", "test_fraction = 0.25"))
            assert reload(alice.parts) == ["links.memory.test_fraction: 0.0 -> 0.25"]
            assert link.config.test_fraction == 0.25
            bob = asyncio.create_task(use(both["bob"].links["memory"].desk.accept("test")))
            assert await use(ask(alice, 100)) == 100
            assert 10 < link.counters["test_rounds"] < 80
            changed = text.replace("test_fraction = 0.0", "test_fraction = 0.5")
            file.write_text(changed.replace("id = 1\n", "id = 9\n", 1))
            with pytest.raises(UserError, match="only with a restart") as refused:
                reload(alice.parts)
            assert refused.value.found == "node.id"
            assert link.config.test_fraction == 0.25  # nothing was changed
            file.write_text("nonsense")
            with pytest.raises(UserError):
                reload(alice.parts)
            bob.cancel()

    run_virtual(scenario(), limit_s=60)


def test_differences_are_told_by_their_places() -> None:
    old, new = {"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "d": [1], "e": 0}
    assert differences(old, new) == {"a.c": (2, 3), "e": (None, 0)}


async def got(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


async def test_whoever_asks_for_figures_again_and_again_gets_what_was_made_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "KEPT_S", 1e6)
    monkeypatch.setattr(metrics, "MOST_AT_ONCE", 3)
    port, asked = free_port(), []
    parts = {"link": lambda: asked.append(1) or {"heralds": len(asked)}}
    serving = asyncio.create_task(MetricsServer(f"tcp://127.0.0.1:{port}", "alice", parts).run())
    try:
        async with asyncio.timeout(5):
            request = b"GET /metrics HTTP/1.1\r\n\r\n"
            while not asked:
                with suppress(ConnectionRefusedError):
                    await got(port, request)
                await asyncio.sleep(0.01)
            answers = [await got(port, request) for _ in range(20)]
            assert len(set(answers)) == len(asked) == 1
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            with pytest.raises((ConnectionError, AssertionError)):
                assert await got(port, request)
            for _, writer in silent:
                writer.write(b"\r\n\r\n")
                writer.write_eof()
            for reader, writer in silent:
                assert b"404" in await reader.read()
                writer.close()
            assert await got(port, request) == answers[0]
    finally:
        serving.cancel()


async def test_prometheus_finds_every_figure() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    port = free_port()
    parts = {
        "link-memory": lambda: {"heralds": 7, "ready": True, "fidelity": 0.9, "clock": "lost"},
        "link-fibre": lambda: {"heralds": 3},
    }
    serving = asyncio.create_task(MetricsServer(f"tcp://127.0.0.1:{port}", "alice", parts).run())
    try:
        async with asyncio.timeout(5):
            while True:
                try:
                    answer = await got(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK")
            found = {
                (sample.name, sample.labels.get("part")): sample.value
                for family in text_string_to_metric_families(body.decode())
                for sample in family.samples
            }
            assert found["qnodeos_heralds", "link-memory"] == 7.0
            assert found["qnodeos_heralds", "link-fibre"] == 3.0
            assert found["qnodeos_ready", "link-memory"] == 1.0
            assert found["qnodeos_info", "link-memory"] == 1.0
            assert found["process_open_fds", None] > 3
            assert b'figure="clock",node="alice",part="link-memory",word="lost"' in body
            assert b"404" in await got(port, b"GET / HTTP/1.1\r\n\r\n")
            assert await got(port, b"x" * 20_000) == b""
            assert b"200 OK" in await got(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def test_systemd_is_told_in_its_own_words(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        there = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"})
        assert there.watchdog_s == 3.0
        there.ready("serves")
        assert manager.recv(100) == b"READY=1\nSTATUS=serves"
        there.reloading(5)
        assert manager.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=5"
        there.alive()
        assert manager.recv(100) == b"WATCHDOG=1"
        there.stopping("bye")
        assert manager.recv(100) == b"STOPPING=1\nSTATUS=bye"
    there.alive()  # the manager is gone: nothing happens


def test_without_systemd_nobody_is_told() -> None:
    alone = Notifier({"WATCHDOG_USEC": "3000000"})
    assert alone.watchdog_s is None
    alone.ready("serves")
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_PID": "1"}).watchdog_s is None


class Listener:
    """Stands for store, bus and systemd: notes what it is told."""

    watchdog_s: float | None = 1.0

    def __init__(self) -> None:
        self.told: list[str] = []

    def event(self, kind: str, data: dict[str, Any]) -> None:
        self.told.append(kind)

    def alarm(self, name: str, text: str) -> None:
        self.told.append(f"alarm {text}")

    def clear_alarm(self, name: str) -> None:
        self.told.append("clear")

    def alive(self) -> None:
        self.told.append("alive")


def test_a_stalled_loop_is_told_once_and_cleared_when_calm() -> None:
    async def scenario() -> None:
        loop, listener = asyncio.get_running_loop(), Listener()
        stall_s = 0.0

        def clock() -> float:
            return loop.time() + stall_s

        watch = LoopWatch(clock, listener, listener, listener)  # type: ignore[arg-type]
        watching = asyncio.create_task(watch.run())
        await asyncio.sleep(1.05)
        assert watch.status()["stalls"] == 0
        assert listener.told.count("alive") >= 2  # a third of the limit, and a look's grain
        for _ in range(2):
            stall_s += 2 * STALL_S
            await asyncio.sleep(0.3)
        assert watch.status()["stalls"] == 2
        assert [word for word in listener.told if word.startswith("alarm")] == [
            "alarm the event loop stood still for 0.50 s"
        ]
        await asyncio.sleep(40)
        assert listener.told.count("clear") == 1
        watching.cancel()

    run_virtual(scenario(), limit_s=100)


def test_the_journal_is_read_from_where_one_was(tmp_path: Path) -> None:
    async def scenario() -> Path:
        async with nodes(tmp_path):
            await asyncio.sleep(1.5)
        return tmp_path / "data" / "alice" / "journal.sqlite"

    place = run_virtual(scenario(), limit_s=60)
    rows = events_after(place, 0)
    assert rows[0][1].kind == "start"
    assert "status" not in {row.kind for _, row in rows}
    assert rows[-1][1].kind == "stop"
    newest = events_after(place, 0, last=2)
    assert newest == rows[-2:]
    assert events_after(place, rows[-1][0]) == []
    assert {row.kind for _, row in events_after(place, 0, kinds=["status"])} == {"status"}


def test_the_unit_of_systemd_fits_the_program() -> None:
    unit = Path(__file__).parents[2] / "packaging" / "systemd" / "qnodeos@.service"
    text = unit.read_text()
    assert "Type=notify" in text
    limit_s = int(re.findall(r"WatchdogSec=(\d+)", text)[0])
    assert limit_s / 3 > 1.0  # the sign of life comes in time, also with a stall


async def test_a_port_for_figures_that_is_taken_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match="nobody is told figures") as told:
            await MetricsServer(f"tcp://127.0.0.1:{port}", "alice", dict).run()
    assert f"127.0.0.1:{port}" in told.value.found
    assert "[metrics]" in told.value.do
