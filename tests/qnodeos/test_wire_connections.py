"""Connections of the wire at their edges: libzmq at the far end, silence, too many, nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import zmq
from nacl.bindings import crypto_box_keypair
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from qnodeos import wire_connection, wire_sockets
from qnodeos.curve import Client
from qnodeos.keys import load_key_pair, load_public_key
from qnodeos.zmtp import frame, greeting
from tests.qnodeos.test_wire import LIMIT_S, Net, Ping, envelope, received


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    async with AsyncExitStack() as stack:
        yield Net(tmp_path, ("alice", "bob", "carol"), stack)


async def knock(net: Net, name: str = "alice") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", net.ports[name])


async def test_libzmq_is_heard_and_its_heartbeats_are_answered(net: Net) -> None:
    alice = await net.start("alice")
    bob = net.outsider(load_key_pair(net.folder / "bob.key_secret"), "alice")
    bob.heartbeat_ivl, bob.heartbeat_timeout = 50, 200
    monitor = bob.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    monitor.rcvtimeo = int(LIMIT_S * 1000)
    bob.connect(net.address("alice"))
    assert (await asyncio.to_thread(recv_monitor_message, monitor))["event"] == (
        zmq.EVENT_HANDSHAKE_SUCCEEDED
    )
    monitor.rcvtimeo = 800  # four times what it waits for an answer
    with pytest.raises(zmq.Again):
        await asyncio.to_thread(recv_monitor_message, monitor)
    bob.send(envelope(1, Ping(1, "x" * 100_000)))
    assert (await received(alice)).message == Ping(1, "x" * 100_000)
    bob.disable_monitor()
    monitor.close()


async def test_libzmq_hears_what_a_node_says(net: Net) -> None:
    keys = load_key_pair(net.folder / "bob.key_secret")
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger, router.rcvtimeo = 0, int(LIMIT_S * 1000)
        router.curve_server = True
        router.curve_publickey, router.curve_secretkey = keys.public, keys.secret
        router.bind(net.address("bob"))
        alice = await net.start("alice")
        for _ in range(3):
            _, heartbeat = await asyncio.to_thread(router.recv_multipart)
            assert heartbeat.startswith(b"\x96")
        await alice.close()


async def test_a_far_end_that_vanished_without_a_word_is_connected_anew(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_connection, "PING_S", 0.05)
    monkeypatch.setattr(wire_connection, "PING_TTL_S", 0.3)
    alice, bob = await net.connected(lost_after_s=60.0)
    there = alice._carrier._reaching["bob"].connection
    for one in bob._carrier._in:
        one._transport.pause_reading()  # a cable is out: nothing more is heard, and nothing told
    await net.until(lambda: alice.peers["bob"].state == "lost")
    await net.until(lambda: alice.peers["bob"].state == "up")
    assert alice._carrier._reaching["bob"].connection is not there


async def test_an_end_that_pings_no_more_is_hung_up_on(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_connection, "PING_S", 0.05)
    monkeypatch.setattr(wire_connection, "PING_TTL_S", 0.3)
    alice, bob = await net.connected(lost_after_s=60.0)
    there = next(one for one, name in bob._carrier._in.items() if name == "alice")
    monkeypatch.setattr(wire_connection.Outgoing, "_ping", lambda _: None)
    alice._timer.cancel()  # no heartbeats either
    async with asyncio.timeout(LIMIT_S):
        while there.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert there.end == "closed"


async def test_who_proves_nothing_is_hung_up_on(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_connection, "HANDSHAKE_S", 0.1)
    monkeypatch.setattr(wire_connection, "PING_S", 0.02)
    await net.start("alice")
    for first in (b"", greeting(server=False)):
        reader, writer = await knock(net)
        writer.write(first)
        async with asyncio.timeout(LIMIT_S):
            assert await reader.read() == greeting(server=True)
        writer.close()


@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/1.1\r\n\r\n".ljust(64), greeting(server=False) + b"\x04\xff" * 400]
)
async def test_nonsense_ends_its_own_connection_and_no_other(net: Net, nonsense: bytes) -> None:
    alice, bob = await net.connected()
    reader, writer = await knock(net)
    writer.write(nonsense)
    async with asyncio.timeout(LIMIT_S):
        with suppress(ConnectionResetError):
            assert await reader.read() == greeting(server=True)
    writer.close()
    assert bob.send("alice", Ping(1))
    assert (await received(alice)).message == Ping(1)


async def test_who_begins_its_handshake_again_and_again_is_hung_up_on(net: Net) -> None:
    """Each begin costs three multiplications on the curve."""
    await net.start("alice")
    key = z85.decode(load_public_key(net.folder / "alice.key"))
    client = Client(*crypto_box_keypair(), key)
    reader, writer = await knock(net)
    writer.write(greeting(server=False) + 3 * frame(client.hello(), command=True))
    async with asyncio.timeout(LIMIT_S):
        said = bytearray()
        with suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                said += data
    assert said.count(b"\x07WELCOME") == 1
    writer.close()


async def test_a_peer_that_pings_without_end_is_hung_up_on(net: Net) -> None:
    alice, bob = await net.connected(lost_after_s=60.0)
    there = alice._carrier._reaching["bob"].connection
    for _ in range(10 * wire_connection._MOST_COMMANDS):
        there._ping()
    await net.until(lambda: alice.peers["bob"].state == "lost")
    await net.until(lambda: alice.peers["bob"].state == bob.peers["alice"].state == "up")
    assert alice._carrier._reaching["bob"].connection is not there


async def test_idle_strangers_keep_no_peer_out(net: Net) -> None:
    alice = await net.start("alice")
    idle = [await knock(net) for _ in range(3 * wire_sockets._UNPROVED)]
    bob = await net.start("bob")
    await net.until(lambda: bob.peers["alice"].state == "up" and alice.peers["bob"].state == "up")
    assert len(alice._carrier._in) <= wire_sockets._UNPROVED + 1
    for _, writer in idle:
        writer.close()


async def test_a_peer_keeps_some_connections_and_the_newest_is_heard(net: Net) -> None:
    alice = await net.start("alice")
    keys = load_key_pair(net.folder / "bob.key_secret")
    for number in range(1, 3 * wire_sockets._EACH):
        bob = net.outsider(keys, "alice")
        bob.reconnect_ivl = -1
        bob.connect(net.address("alice"))
        bob.send(envelope(number, Ping(number)))
        assert (await received(alice)).message == Ping(number)
    assert len(alice._carrier._in) <= wire_sockets._EACH


async def test_a_node_that_does_not_read_is_refused_more_and_keeps_none_in_memory(
    net: Net,
) -> None:
    alice, bob = await net.connected(lost_after_s=60.0)
    for one in bob._carrier._in:
        one._transport.pause_reading()
    taken = 0
    while alice.send("bob", Ping(taken, "x" * 900_000)):
        taken += 1
    assert taken < 20
    assert alice.peers["bob"].counters.refused == 1


async def test_one_who_sends_on_unread_is_not_read_into_memory(net: Net) -> None:
    alice, bob = await net.connected(lost_after_s=60.0)
    there = next(one for one, name in alice._carrier._in.items() if name == "bob")
    alice._carrier._on_message = lambda: None  # busy with something else
    for number in range(40):
        bob.send("alice", Ping(number, "x" * 500_000))
        await asyncio.sleep(0.001)
    assert there._frames.unread_bytes <= wire_connection._UNREAD_BYTES + (1 << 18)
    alice._carrier._on_message = alice._drain
    alice._drain()
    assert [(await received(alice)).message.number for _ in range(5)] == [0, 1, 2, 3, 4]
    last = (await received(alice)).message.number
    while bob.send("alice", Ping(99)) is False:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    while last != 99:
        last = (await received(alice)).message.number


async def test_what_was_said_last_comes_before_the_end(net: Net) -> None:
    alice, bob = await net.connected(lost_after_s=60.0)
    heard: list[object] = []
    alice.listen(lambda one: heard.append(one.message))
    tell = alice._on_peer

    def told(status: object) -> None:
        heard.append("lost")
        tell(status)

    alice._on_peer = told
    for number in range(300):
        assert bob.send("alice", Ping(number))
    await bob.close()
    await net.until(lambda: alice.peers["bob"].state == "lost")
    assert heard == [*(Ping(number) for number in range(300)), "lost"]
