"""Some programs, several at a time, on real node processes: nothing of them is left."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest

from benchmarks.node_usage import tell_metrics, usage
from benchmarks.program_runs import OURS, Program, left_behind, mixture, serve, so_many
from qnodeos.launch.ideal import write_ideal
from qnodeos.launch.network import network
from qnodeos.launch.roles import role_server
from qnodeos.launch.running import run_program


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_programs_side_by_side_leave_nothing_behind(tmp_path: Path) -> None:
    write_ideal(tmp_path / "ideal", 2)
    tell_metrics(tmp_path / "ideal")
    async with network(tmp_path / "ideal", tmp_path / "net") as nodes, role_server() as roles:
        before = [await usage(node) for node in nodes]
        served = await serve(so_many(mixture(), 24), nodes, roles, together=8)
        assert served.failures == []
        assert served.wrong == 0
        assert len(served.seconds) == 24
        assert await left_behind(before, nodes) == {}
        # The count itself can see: a host that holds a qubit is found.
        reader, writer = await asyncio.open_unix_connection(nodes[0].socket)
        holds = struct.pack("<BBBH", 2, 0, 10, 0) + struct.pack("<BBixBB5x", 4, 2, 0, 1, 2)
        for message in (struct.pack("<B3xIB3x", 0, 0, 5), holds):
            writer.write(struct.pack("<II", 1, 8 + len(message)) + message)
            assert (await reader.readexactly(8))[0] == 0
        found: dict[str, int] = {}
        async with asyncio.timeout(10):
            while "connections" not in found:  # /metrics tells the same for half a second
                found = (await usage(nodes[0])).more_than(before[0])
        assert (found["qubits_in_use"], found["connections"]) == (1, 1)
        writer.close()
        assert await left_behind(before, nodes) == {}


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_applications_over_three_nodes_side_by_side(tmp_path: Path) -> None:
    """Each holds half of a node's storage at all three nodes at a time."""
    write_ideal(tmp_path / "ideal", 3)
    tell_metrics(tmp_path / "ideal")
    async with network(tmp_path / "ideal", tmp_path / "net") as nodes, role_server() as roles:
        before = [await usage(node) for node in nodes]
        served = await serve(so_many([Program(OURS / "triangle")], 24), nodes, roles, together=8)
        assert served.failures == []
        assert len(served.seconds) == 24
        assert await left_behind(before, nodes) == {}


@pytest.mark.e2e
@pytest.mark.timeout(120)
async def test_both_ends_of_each_side_of_a_triangle_find_the_same(tmp_path: Path) -> None:
    write_ideal(tmp_path / "ideal", 3)
    async with network(tmp_path / "ideal", tmp_path / "net") as nodes:
        at = {node.name: node for node in nodes}
        result = await run_program(OURS / "triangle", at, time_limit_s=60)
        found = result.results
        assert result.failed == ""
        for one, other in (("alice", "bob"), ("bob", "charlie"), ("charlie", "alice")):
            assert found[one][other] == found[other][one]
