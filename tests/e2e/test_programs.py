"""Programs of the NetQASM SDK, unmodified, on real node processes; their results judged."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import netqasm
import pytest

from qnodeos.client import connect
from qnodeos.launch.ideal import write_ideal
from qnodeos.launch.network import network
from qnodeos.launch.running import NodeAt, RunResult, run_program

EXAMPLES = Path(netqasm.__file__).parent / "examples" / "apps"
OURS = Path(__file__).parent / "programs"


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[tuple[list[NodeAt], Path]]:
    folder = tmp_path / "net"
    write_ideal(tmp_path / "ideal", 2)
    async with network(tmp_path / "ideal", folder) as nodes:
        yield nodes, folder


async def ran(
    ends: list[NodeAt], folder: Path, roles: tuple[str, str], **inputs: dict[str, Any]
) -> RunResult:
    nodes = dict(zip(roles, ends, strict=True))
    result = await run_program(folder, nodes, inputs=inputs, time_limit_s=60)
    assert not result.failed, f"{result.failed}: {result.last_words}"
    return result


def agree(alice: dict[str, Any], bob: dict[str, Any]) -> bool:
    """BB84: where both measured in one basis, the bits are the same."""
    kept = [row for row in zip(alice["table"], bob["table"], strict=True) if row[0][2]]
    assert kept
    return all(mine[3] == theirs[3] for mine, theirs in kept)


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_examples_of_the_sdk_give_what_physics_says(
    ends: tuple[list[NodeAt], Path],
) -> None:
    nodes, folder = ends
    alice, bob = "alice", "bob"
    states = {"repeats": 12}
    found = await ran(nodes, OURS / "six_states", (alice, bob), alice=states, bob=states)
    assert found.results[bob] == {"wrong": 0, "received": 60}  # teleportation without an error

    found = await ran(nodes, EXAMPLES / "bb84", (alice, bob))
    assert agree(found.results[alice], found.results[bob])

    players = ("player1", "player2")
    for row, col in ((0, 0), (1, 2), (2, 1)):
        found = await ran(
            nodes, EXAMPLES / "magic_square", players, player1={"row": row}, player2={"col": col}
        )
        mine, theirs = found.results["player1"]["row"], found.results["player2"]["col"]
        assert mine[col] == theirs[row]  # no classical strategy always wins
        assert sum(mine) % 2 == 0
        assert sum(theirs) % 2 == 1

    rounds = {"rounds": 300}
    found = await ran(nodes, OURS / "chsh_rounds", (alice, bob), alice=rounds, bob=rounds)
    games = zip(found.results[alice]["played"], found.results[bob]["played"], strict=True)
    won = sum((a ^ b) == (x & y) for (x, a), (y, b) in games) / 300
    assert abs(won - math.cos(math.pi / 8) ** 2) < 4 * 0.0204  # of 0.854, above all classical 0.75

    for bits in ((0, 1), (1, 0)):
        given = {"b0": bits[0], "b1": bits[1]}
        found = await ran(nodes, EXAMPLES / "blind_grover", ("client", "server"), client=given)
        client = found.results["client"]
        assert (client["result0"], client["result1"]) == bits

    for program, roles in (
        ("teleport", ("receiver", "sender")),
        ("dist_cnot", ("controller", "target")),
        ("blind_rotation", ("client", "server")),
        ("link_layer_ck", ("client", "server")),
        ("link_layer_md", ("client", "server")),
        ("multiple_files", (alice, bob)),
    ):
        await ran(nodes, EXAMPLES / program, roles)
    alone = await run_program(EXAMPLES / "single_node", {alice: nodes[0]}, time_limit_s=30)
    assert not alone.failed, alone.last_words

    for name in (alice, bob):
        async with connect(folder / "data" / name) as node:
            link = (await node.status())["links"]["alice-bob"]
            assert link.get("corrections_late", 0) == 0
            with pytest.raises(Exception, match="no request 1"):
                await node.call("next", request=1)
            # Nothing is left of any program: all eight storage qubits can be had.
            qubits = [await node.qubit(link="alice-bob") for _ in range(8)]
            for qubit in qubits:
                await qubit.release()


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_a_program_that_fails_ends_at_all_nodes_and_harms_no_other(
    ends: tuple[list[NodeAt], Path], tmp_path: Path
) -> None:
    nodes, _ = ends
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "app_alice.py").write_text("def main(app_config):\n    raise OSError('no luck')\n")
    (folder / "app_bob.py").write_text("import time\ndef main(app_config):\n    time.sleep(1000)\n")
    roles = dict(zip(("alice", "bob"), nodes, strict=True))
    result = await run_program(folder, roles, time_limit_s=60)
    assert result.failed == "alice"
    assert "no luck" in result.last_words
    assert result.seconds < 20
    (folder / "app_alice.py").write_text("def main(app_config):\n    return 1\n")
    result = await run_program(folder, roles, time_limit_s=2)
    assert result.failed == "bob"  # too slow
    await ran(nodes, EXAMPLES / "teleport", ("receiver", "sender"))


@pytest.mark.e2e
@pytest.mark.timeout(300)
async def test_three_and_four_nodes_share_their_devices_between_links(tmp_path: Path) -> None:
    write_ideal(tmp_path / "ideal", 4)
    async with network(tmp_path / "ideal", tmp_path / "net") as nodes:
        by_name = {node.name: node for node in nodes}
        assert list(by_name) == ["alice", "bob", "charlie", "david"]
        three = {name: by_name[name] for name in ("alice", "bob", "charlie")}
        result = await run_program(EXAMPLES / "three_nodes", three, time_limit_s=60)
        assert not result.failed, f"{result.failed}: {result.last_words}"

        roles = {"alice": nodes[0], "bob": nodes[1], "repeater": nodes[2]}
        for x, y in ((0, 0), (1, 1)):
            given = {"alice": {"x": x}, "bob": {"y": y}}
            result = await run_program(EXAMPLES / "chsh", roles, inputs=given, time_limit_s=60)
            assert not result.failed, f"{result.failed}: {result.last_words}"
            assert set(result.results) == set(roles)

        result = await run_program(EXAMPLES / "anonymous_transmission", by_name, time_limit_s=90)
        assert not result.failed, f"{result.failed}: {result.last_words}"
