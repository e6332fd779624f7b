"""Programs at the local socket of real nodes, over real sockets, in virtual time."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.sim_nodes import LAB, NAMES, write_nodes
from qnodeos.api_session import METHODS
from qnodeos.client import Node, NodeError, NodeGone, Pair, connect, seconds
from qnodeos.config import load_node
from qnodeos.errors import UserError
from qnodeos.frames import PROTOCOL_VERSION, Call, Reply, encoded
from qnodeos.local_api import LocalApi, socket_of
from qnodeos.rehearsal import rehearsal
from qnodeos.socket_place import socket_place, tell
from sim_backends.lab import load_lab
from timing.loop import run_virtual

IDEAL = LAB.replace("visibility = 0.95", "visibility = 1.0").replace("t2_s = 1.0", "t2_s = 20.0")


@asynccontextmanager
async def served(folder: Path, lab: str = IDEAL) -> AsyncIterator[dict[str, Any]]:
    """Two nodes and a station with their sockets; the nodes by name."""
    write_nodes(folder, lab)
    nodes = [load_node(folder / f"{name}.toml") for name in NAMES]
    async with rehearsal(load_lab(folder / "lab.toml"), nodes, delay_s=1e-5) as network:
        apis = [
            asyncio.create_task(LocalApi(network.nodes[name].parts, METHODS).run())
            for name in ("alice", "bob")
        ]
        while not all(network.nodes[name].links["memory"].ready for name in ("alice", "bob")):
            await network.lasts(0.05)
        try:
            yield network.nodes
        finally:
            for api in apis:
                api.cancel()
            await asyncio.gather(*apis, return_exceptions=True)


async def both(folder: Path, use: Any) -> None:
    async with connect(folder / "alice.toml") as alice, connect(folder / "bob.toml") as bob:
        await use(alice, bob)


async def far_pairs(node: Node, number: int, purpose: str = "app") -> list[Any]:
    found = []
    async for item in node.accept(purpose, peer="alice"):
        found.append(item)
        if len(found) == number:
            break
    return found


async def measured(node: Node, number: int) -> dict[int, int]:
    outcomes: dict[int, int] = {}
    async for pair in node.accept(peer="alice"):
        assert isinstance(pair, Pair)
        outcomes[pair.sequence] = await pair.measure("X")
        if len(outcomes) == number:
            break
    return outcomes


def test_a_pair_is_asked_for_and_measured_at_both_ends(tmp_path: Path) -> None:
    async def use(alice: Node, bob: Node) -> None:
        assert (alice.name, bob.name) == ("alice", "bob")
        taking = asyncio.create_task(measured(bob, 20))
        await asyncio.sleep(0.01)
        mine = {}
        async for pair in alice.pairs("bob", number=20, fidelity=0.8, within="2 s"):
            assert isinstance(pair, Pair)
            assert pair.bell_state == "PHI_PLUS"
            assert pair.left_s > 0
            mine[pair.sequence] = await pair.measure("X")
        assert mine == await taking

    async def scenario() -> None:
        async with served(tmp_path):
            await both(tmp_path, use)

    run_virtual(scenario(), limit_s=60)


def test_a_state_is_teleported(tmp_path: Path) -> None:
    async def use(alice: Node, bob: Node) -> None:
        for state, basis, expected in (("1", "Z", 1), ("-", "X", 1), ("+i", "Y", 0)):
            taking = asyncio.create_task(far_pairs(bob, 1))
            hearing = asyncio.create_task(bob.hear("alice", "bits"))
            await asyncio.sleep(0.01)
            data = await alice.qubit(state, peer="bob")
            pair = await alice.entangle("bob", within="2 s")
            await pair.cnot_from(data)
            await data.gate("H")
            z, x = await data.measure(), await pair.measure()
            assert await alice.say("bob", "bits", x=x, z=z)
            (half,), bits = await taking, await hearing
            if bits["x"]:
                await half.gate("X")
            if bits["z"]:
                await half.gate("Z")
            assert await half.measure(basis) == expected

    async def scenario() -> None:
        async with served(tmp_path):
            await both(tmp_path, use)

    run_virtual(scenario(), limit_s=60)


def test_what_a_client_held_is_given_up_when_it_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as nodes, connect(tmp_path / "bob.toml") as bob:
            taking = asyncio.create_task(far_pairs(bob, 1))
            await asyncio.sleep(0.01)
            async with connect(tmp_path / "alice.toml") as alice:
                await alice.entangle("bob")
                await alice.qubit("0", peer="bob")
                await alice.call("entangle", peer="bob", number=1000)
            (half,) = await taking
            await asyncio.sleep(0.1)
            with pytest.raises(NodeError, match="PairExpired"):
                await half.measure()
            memory = nodes["alice"].links["memory"].memory
            assert memory.free == memory.capacity
            assert len(nodes["alice"].links["memory"].desk.queue) == 0

    run_virtual(scenario(), limit_s=60)


def test_mistakes_are_named_and_harm_nobody(tmp_path: Path) -> None:
    async def use(alice: Node, bob: Node) -> None:
        for call, says in (
            (alice.call("fly"), "no method 'fly'; there are accept"),
            (alice.call("next", request=7), "KeyError: this client has no request 7"),
            (alice.call("next"), "missing 1 required keyword-only argument: 'request'"),
            (alice.entangle("carol"), "there is no link to carol"),
            (alice.entangle("bob", fidelity=7), "fidelity 7 is asked, expected 0 to 1"),
            (alice.entangle("bob", purpose="nobody"), "no application takes purpose 'nobody'"),
            (alice.say("carol", "x"), "there is no peer 'carol'"),
            (alice.call("pair.measure", pair=1), "this client has no pair 1"),
        ):
            with pytest.raises(NodeError, match=says):
                await call
        pair = await near_pair(alice, bob)
        with pytest.raises(NodeError, match="accepted: X Y Z H S SDG CNOT"):
            await pair.gate("T")
        with pytest.raises(NodeError, match="has no pair"):
            # A handle is this client's own; another's is no pair at all.
            await bob.call("pair.measure", pair=pair._handle + 1000)
        assert await pair.measure() in (0, 1)

    async def near_pair(alice: Node, bob: Node) -> Pair:
        taking = asyncio.create_task(far_pairs(bob, 1))
        await asyncio.sleep(0.01)
        pair = await alice.entangle("bob")
        await taking
        return pair

    async def scenario() -> None:
        async with served(tmp_path):
            await both(tmp_path, use)

    run_virtual(scenario(), limit_s=60)


@pytest.mark.parametrize(
    "nonsense",
    [b"\xff\xff\xff\xff", struct.pack("<I", 3) + b"abc", struct.pack("<I", 1) + b"\xc0", b""],
)
def test_nonsense_ends_only_its_own_connection(tmp_path: Path, nonsense: bytes) -> None:
    async def scenario() -> None:
        async with served(tmp_path), connect(tmp_path / "alice.toml") as alice:
            socket = socket_of(tmp_path / "data" / "alice")
            reader, writer = await asyncio.open_unix_connection(socket)
            writer.write(nonsense)
            if not nonsense:
                writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            assert (await alice.status())["node"] == "alice"

    run_virtual(scenario(), limit_s=60)


def test_another_version_is_told_both(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path):
            socket = socket_of(tmp_path / "data" / "alice")
            node = Node()
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: node.line, str(socket))
            text = "the client speaks version 9, this node 1 and 2"
            with pytest.raises(NodeError, match=text):
                await node.call("hello", version=9)
            with pytest.raises(NodeGone):
                await node.call("status")
            old = Node()
            await loop.create_unix_connection(lambda: old.line, str(socket))
            assert (await old.call("hello", version=1))["version"] == 1
            assert (await old.call("status"))["node"] == "alice"
            old.line.close()

    run_virtual(scenario(), limit_s=60)


def test_the_socket_is_for_its_user_alone_and_goes_with_the_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path):
            socket = socket_of(tmp_path / "data" / "alice")
            assert socket is not None
            assert socket.stat().st_mode & 0o777 == 0o600
            assert socket.parent.stat().st_mode & 0o777 == 0o700
        assert not socket.exists()
        with pytest.raises(UserError, match="the node does not run"):
            async with connect(tmp_path / "alice.toml"):
                pass

    run_virtual(scenario(), limit_s=60)


@pytest.mark.parametrize(
    ("span", "expected"),
    [("250 ms", 0.25), ("2 s", 2.0), ("1.5min", 90.0), (3, 3.0), ("1e3 us", 1e-3)],
)
def test_times_are_written_as_people_write_them(span: float | str, expected: float) -> None:
    assert seconds(span) == pytest.approx(expected)


def test_a_time_without_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="found string '2', expected a time: a number in s"):
        seconds("2")


def test_under_systemd_the_socket_is_where_others_see_it(tmp_path: Path) -> None:
    told_in = tmp_path / "api"
    with socket_place(told_in, "node.sock", {"RUNTIME_DIRECTORY": str(tmp_path)}) as socket:
        assert socket.parent.parent == tmp_path
        socket.touch()
        tell(socket, told_in)
        assert Path(told_in.read_text()) == socket
    assert not told_in.exists()
    assert not socket.parent.exists()


def test_a_client_that_calls_without_end_gets_one_call_a_turn(tmp_path: Path) -> None:
    turn, seen = 0, []

    async def count(session: Any, progress: Any, /) -> None:
        seen.append(turn)

    async def scenario() -> None:
        nonlocal turn
        write_nodes(tmp_path, IDEAL)
        nodes = [load_node(tmp_path / f"{name}.toml") for name in NAMES]
        async with rehearsal(load_lab(tmp_path / "lab.toml"), nodes) as network:
            parts = network.nodes["alice"].parts
            api = asyncio.create_task(LocalApi(parts, {"count": count}).run())
            await network.lasts(0.1)
            socket = socket_of(parts.config.node.data_dir)
            assert socket is not None
            _, writer = await asyncio.open_unix_connection(socket)
            calls = [Call(0, "hello", {"version": PROTOCOL_VERSION})]
            calls += [Call(number, "count") for number in range(1, 201)]
            writer.write(b"".join(map(encoded, calls)))
            while len(seen) < 200:
                turn += 1
                await asyncio.sleep(0)
            writer.close()
            api.cancel()
            await asyncio.gather(api, return_exceptions=True)

    run_virtual(scenario(), limit_s=60)
    assert max(map(seen.count, range(turn + 1))) <= 2


def test_a_socket_that_is_carried_elsewhere_serves_as_the_nodes_own(tmp_path: Path) -> None:
    """As `ssh -L` carries it (docs/native-api.md)."""

    async def scenario() -> None:
        async with served(tmp_path) as nodes:
            own = socket_of(nodes["alice"].config.node.data_dir)

            async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                there, back = await asyncio.open_unix_connection(own)

                async def one_way(of: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
                    while data := await of.read(4096):
                        to.write(data)
                    to.close()

                await asyncio.gather(one_way(reader, back), one_way(there, writer))

            with socket_place(tmp_path / "elsewhere", "alice.sock") as carried:
                async with (
                    await asyncio.start_unix_server(carry, carried),
                    connect(carried) as alice,
                    connect(tmp_path / "bob.toml") as bob,
                ):
                    far = asyncio.create_task(far_pairs(bob, 1))
                    pair = await alice.entangle("bob", within="5 s")
                    (other,) = await far
                    assert alice.name == "alice"
                    assert await pair.measure() == await other.measure()

    run_virtual(scenario(), limit_s=60)


def test_a_word_that_nobody_waited_for_is_there_for_the_next_who_does(tmp_path: Path) -> None:
    async def use(alice: Node, bob: Node) -> None:
        await bob.channel("alice", "bits")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await bob.hear("alice", "bits")
        await alice.say("bob", "bits", x=1)
        assert await bob.hear("alice", "bits") == {"x": 1}

    async def scenario() -> None:
        async with served(tmp_path):
            await both(tmp_path, use)

    run_virtual(scenario(), limit_s=60)


@pytest.mark.parametrize("early", [True, False])
def test_a_pair_that_nobody_waits_for_any_more_is_given_up(tmp_path: Path, early: bool) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as nodes:
            links = [nodes[name].links["memory"] for name in ("alice", "bob")]
            async with connect(tmp_path / "alice.toml") as alice:
                inbox = links[1].desk.accept("app")
                asking = asyncio.create_task(alice.entangle("bob", within="2 s"))
                if early:
                    await asyncio.sleep(5e-5)
                else:
                    halves = aiter(inbox)
                    (await anext(halves)).give_up("not needed")
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                assert asking.cancelled()
                await asyncio.sleep(0.3)
                assert all(len(link.desk.queue) == 0 for link in links)
                for item in inbox.left():
                    item.give_up("not needed")
                await asyncio.sleep(0.3)
                assert all(link.memory.free == link.memory.capacity for link in links)

    run_virtual(scenario(), limit_s=60)


def test_what_a_device_was_told_is_done_though_nobody_waits(tmp_path: Path) -> None:
    async def use(alice: Node, bob: Node) -> None:
        qubit = await alice.qubit("1", peer="bob")
        measuring = asyncio.create_task(qubit.measure())
        await asyncio.sleep(0)
        measuring.cancel()
        await asyncio.sleep(0.1)
        with pytest.raises(NodeError, match="no qubit"):
            await qubit.measure()

    async def scenario() -> None:
        async with served(tmp_path):
            await both(tmp_path, use)

    run_virtual(scenario(), limit_s=60)


def test_a_pair_that_came_in_the_turn_in_which_nobody_waits_any_more_is_given_up() -> None:
    async def scenario() -> list[Any]:
        said: list[Any] = []
        node = Node()
        node.line.say = said.append  # type: ignore[method-assign]
        asking = asyncio.create_task(node.entangle("bob"))
        await asyncio.sleep(0)
        node._take(Reply(said[0].id, {"pair": 5}))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert asking.cancelled()
        return said

    _, given_up = run_virtual(scenario())
    assert (given_up.method, given_up.arguments) == ("pair.release", {"pair": 5})
