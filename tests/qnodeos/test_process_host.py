"""Hosts at the socket of a real node of a rehearsal: several, wrong ones, and some that vanish."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from netqasm.lang.parsing.text import parse_text_subroutine

from benchmarks.sim_nodes import LAB, NAMES, write_nodes
from qnodeos.config import load_node
from qnodeos.process import host as process_host
from qnodeos.process import host_messages as hm
from qnodeos.process.host import PLACE, ProcessHost
from qnodeos.rehearsal import rehearsal
from sim_backends.lab import load_lab
from tests.ports import free_port
from timing.loop import run_virtual


class Host:
    """A host as bytes."""

    everyone: ClassVar[list["Host"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.number = 0
        self.everyone.append(self)

    @classmethod
    async def at(cls, folder: Path, node: str) -> "Host":
        socket = (folder / "data" / node / PLACE).read_text()
        return cls(*await asyncio.open_unix_connection(socket))

    def send(self, message: bytes) -> None:
        self.number += 1
        size = hm.HEADER.size + len(message)
        self.writer.write(hm.HEADER.pack(self.number, size) + message)

    async def answer(self) -> Any:
        """ "done", an error's code, or a returned register."""
        match (await self.reader.readexactly(1))[0]:
            case 0:
                await self.reader.readexactly(7)
                return "done"
            case 1:
                return (await self.reader.readexactly(1))[0]
            case 3:
                return struct.unpack("<Bxxi", await self.reader.readexactly(7))[1]
        raise AssertionError("an answer of another kind")

    async def asked(self, message: bytes) -> Any:
        self.send(message)
        return await self.answer()

    async def begun(self, app: int = 0, most: int = 3) -> "Host":
        assert await self.asked(struct.pack("<B3xIB3x", 0, app, most)) == "done"
        return self

    async def ran(self, text: str, app: int = 0) -> Any:
        return await self.asked(subroutine(text, app))


def subroutine(text: str, app: int = 0) -> bytes:
    return b"\x02" + bytes(parse_text_subroutine(f"# NETQASM 0.10\n# APPID {app}\n{text}"))


def epr_socket(app: int, remote_node: int) -> bytes:
    return struct.pack("<B3xIiiiB3x", 1, app, 0, remote_node, 0, 100)


WAIT_FOR_A_PAIR = """
set R0 10
array R0 @0
set R0 1
array R0 @1
set R1 0
store R1 @1[R1]
set R2 2
set R3 0
set R4 1
set R5 0
recv_epr R2 R3 R4 R5
set R0 10
wait_all @0[R1:R0]
"""
MEASURE = "set Q0 0\nqalloc Q0\ninit Q0\nx Q0\nmeas Q0 M0\nqfree Q0\nret_reg M0"


@asynccontextmanager
async def hosted(folder: Path, listen: str | None = None) -> AsyncIterator[tuple[ProcessHost, Any]]:
    write_nodes(folder, LAB)
    configs = [load_node(folder / f"{name}.toml") for name in NAMES]
    async with rehearsal(load_lab(folder / "lab.toml"), configs, delay_s=1e-5) as network:
        node = network.nodes["alice"]
        host = ProcessHost(node.parts, flavour="vanilla", listen=listen)
        running = asyncio.create_task(host.run())
        while not node.links["memory"].ready or not (folder / "data" / "alice" / PLACE).exists():
            await network.lasts(0.05)
        try:
            yield host, node.links["memory"]
        finally:
            while Host.everyone:
                Host.everyone.pop().writer.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def test_programs_of_several_hosts_do_not_know_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted(tmp_path) as (_, link):
            one, other = [await (await Host.at(tmp_path, "alice")).begun() for _ in range(2)]
            assert await one.ran(MEASURE) == 1
            assert await one.answer() == "done"
            assert await one.ran("set Q0 0\nqalloc Q0") == "done"
            # The same application id and qubit number, of another connection: another qubit.
            assert await other.ran("set Q0 0\nmeas Q0 M0") == hm.GENERAL
            assert await one.ran("set Q0 0\nmeas Q0 M0\nret_reg M0") == 0
            assert await one.answer() == "done"
            assert await one.asked(struct.pack("<B3xI", 3, 0)) == "done"
            await asyncio.sleep(0.01)
            assert link.memory.free == link.memory.capacity

    run_virtual(scenario(), limit_s=60)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("set R0 2147483647\narray R0 @0", hm.GENERAL),
        ("set Q0 5\nh Q0", hm.GENERAL),
        ("\n".join(f"set Q0 {n}\nqalloc Q0" for n in range(4)), hm.NO_QUBIT),
    ],
)
def test_a_wrong_program_ends_alone(tmp_path: Path, text: str, code: int) -> None:
    async def scenario() -> None:
        async with hosted(tmp_path) as (host, link):
            good = await (await Host.at(tmp_path, "alice")).begun()
            bad = await (await Host.at(tmp_path, "alice")).begun(app=7)
            assert await bad.ran(text, app=7) == code
            assert await bad.ran("set R0 1", app=7) == hm.GENERAL  # it is over
            assert await (await bad.begun(app=8)).ran(MEASURE, app=8) == 1  # the next is not
            assert await good.ran(MEASURE) == 1
            await asyncio.sleep(0.01)
            assert link.memory.free == link.memory.capacity
            assert host.status()["programs_failed"] == 2

    run_virtual(scenario(), limit_s=60)


@pytest.mark.parametrize(
    "nonsense",
    [
        hm.HEADER.pack(1, 7) + bytes(8),
        hm.HEADER.pack(1, 1 << 30),
        hm.HEADER.pack(1, 9) + b"\x63",
        hm.HEADER.pack(1, 10) + b"\x00\x00",
    ],
)
def test_nonsense_puts_out_one_host(tmp_path: Path, nonsense: bytes) -> None:
    async def scenario() -> None:
        async with hosted(tmp_path) as (host, _):
            good = await (await Host.at(tmp_path, "alice")).begun()
            bad = await Host.at(tmp_path, "alice")
            bad.writer.write(nonsense)
            assert await bad.reader.read() == b""
            assert await good.ran(MEASURE) == 1
            assert host.status()["put_out"] == 1

    run_virtual(scenario(), limit_s=60)


def test_hosts_from_elsewhere_take_no_place_of_this_computers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        port = free_port()
        monkeypatch.setattr(process_host, "MOST_CONNECTIONS", 2)
        async with hosted(tmp_path, f"tcp://127.0.0.1:{port}") as (host, _):
            for _ in range(3):
                Host.everyone.append(Host(*await asyncio.open_connection("127.0.0.1", port)))
            assert await Host.everyone[-1].reader.read() == b""
            good = await (await Host.at(tmp_path, "alice")).begun()
            assert await good.ran(MEASURE) == 1
            assert (host.status()["connections"], host.status()["put_out"]) == (3, 1)

    run_virtual(scenario(), limit_s=60)


def test_a_host_that_vanishes_while_it_waits_leaves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted(tmp_path) as (host, link):
            waiting = await (await Host.at(tmp_path, "alice")).begun()
            assert await waiting.asked(epr_socket(0, 2)) == "done"
            assert await waiting.ran("set Q0 1\nqalloc Q0") == "done"
            waiting.send(subroutine(WAIT_FOR_A_PAIR))
            await asyncio.sleep(1.0)
            assert host.status()["connections"] == 1
            assert link.memory.free < link.memory.capacity
            waiting.writer.close()
            await asyncio.sleep(0.1)
            assert host.status()["connections"] == 0
            assert link.memory.free == link.memory.capacity
            link.desk.accept("netqasm-0-0-0")  # its purpose is free again

    run_virtual(scenario(), limit_s=60)


def test_a_socket_to_a_node_without_a_link_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hosted(tmp_path):
            host = await (await Host.at(tmp_path, "alice")).begun()
            assert await host.asked(epr_socket(0, 99)) == hm.GENERAL

    run_virtual(scenario(), limit_s=60)
