import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from link_layer.messages import MOST_REPORT_BYTES, TagReport
from qnodeos import UserError
from qnodeos.config import WireTable
from qnodeos.envelope import PROTOCOL_VERSION, Envelope
from qnodeos.keys import KeyPair, load_key_pair, load_public_key, new_keys
from qnodeos.wire import PeerStatus, Received, Wire
from tests.ports import free_ports

LIMIT_S = 8.0


class Ping(msgspec.Struct, frozen=True, tag=True):
    number: int
    text: str = ""


class Pong(msgspec.Struct, frozen=True, tag=True):
    number: int


Message = Ping | Pong | TagReport


class Net:
    """Nodes on loopback, each with keys; every status that any of them told is kept."""

    def __init__(self, folder: Path, names: tuple[str, ...], stack: AsyncExitStack):
        self.folder, self.names, self._stack = folder, names, stack
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.told: dict[str, list[PeerStatus]] = {name: [] for name in names}
        self._news = asyncio.Event()
        for name in names:
            new_keys(name, folder)

    def table(self, name: str, **changes: Any) -> WireTable:
        return WireTable(
            listen=self.address(name),
            secret_key=self.folder / f"{name}.key_secret",
            peers={
                other: {
                    "id": 1 + self.names.index(other),
                    "address": self.address(other),
                    "public_key": self.folder / f"{other}.key",
                }
                for other in self.names
                if other != name
            }
            | changes,
        )

    def address(self, name: str) -> str:
        return f"tcp://127.0.0.1:{self.ports[name]}"

    def wire(self, name: str, table: WireTable | None = None, **options: Any) -> Wire[Message]:
        def tell(status: PeerStatus) -> None:
            self.told[name].append(status)
            self._news.set()

        options = {"heartbeat_s": 0.05, "lost_after_s": 0.4} | options
        return Wire(table or self.table(name), name, Message, on_peer=tell, **options)

    async def start(self, name: str, **options: Any) -> Wire[Message]:
        wire = self.wire(name, **options)
        await wire.start()
        self._stack.push_async_callback(wire.close)
        return wire

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait for a status after which it holds."""
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def connected(self, **options: Any) -> tuple[Wire[Message], Wire[Message]]:
        """alice and bob, each of whom has heard the other."""
        alice, bob = await self.start("alice", **options), await self.start("bob", **options)
        await self.until(
            lambda: alice.peers["bob"].state == "up" and bob.peers["alice"].state == "up"
        )
        return alice, bob

    def outsider(self, keys: KeyPair, to: str) -> zmq.Socket[bytes]:
        """A bare socket with these keys, which may send whatever it likes."""
        context = zmq.Context()
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.curve_publickey, dealer.curve_secretkey = keys.public, keys.secret
        dealer.curve_serverkey = load_public_key(self.folder / f"{to}.key")

        def close() -> None:
            dealer.close()
            context.term()

        self._stack.callback(close)
        return dealer


@asynccontextmanager
async def _net(folder: Path, *names: str) -> AsyncIterator[Net]:
    async with AsyncExitStack() as stack:
        yield Net(folder, names, stack)


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    async with _net(tmp_path, "alice", "bob", "carol") as made:
        yield made


async def received(wire: Wire[Message]) -> Received[Message]:
    async with asyncio.timeout(LIMIT_S):
        return await wire.receive()


def envelope(sequence: int, message: Any, *, boot: int = 77, version: int = PROTOCOL_VERSION):
    body = msgspec.Raw(msgspec.msgpack.encode(message))
    return msgspec.msgpack.encode(Envelope(version, boot, sequence, body))


async def test_messages_arrive_in_order_with_the_name_of_their_sender(net: Net):
    alice, bob = await net.connected()
    for number in range(200):
        assert alice.send("bob", Ping(number, "x" * number))
    got = [await received(bob) for _ in range(200)]
    assert [one.message for one in got] == [Ping(n, "x" * n) for n in range(200)]
    assert {(one.peer, one.boot) for one in got} == {("alice", alice.boot)}
    assert [one.sequence for one in got] == sorted({one.sequence for one in got})
    assert bob.send("alice", Pong(5))
    assert (await received(alice)).message == Pong(5)
    assert alice.peers["bob"].counters.sent == 200
    assert bob.peers["alice"].counters.received == 200
    assert bob.peers["alice"].counters.missed == 0


async def test_the_longest_tag_report_and_the_shortest_pass_as_they_are(net: Net):
    alice, bob = await net.connected()
    for tags in (bytes(MOST_REPORT_BYTES), b""):
        report = TagReport("photonic", 1, 2, -(2**61), 0, 2**61, -1, tags, lost=True)
        assert alice.send("bob", report)
        assert (await received(bob)).message == report


async def test_heartbeats_alone_keep_a_peer_up(net: Net):
    await net.connected()
    told = len(net.told["alice"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * 0.4):
            await net.until(lambda: len(net.told["alice"]) > told)


async def test_nobody_is_up_before_he_is_heard_and_sending_is_refused(net: Net):
    alice = await net.start("alice")
    assert alice.peers["bob"].state == "never"
    assert not alice.send("bob", Ping(1))
    assert alice.peers["bob"].counters.refused == 1
    await net.until(lambda: "no connection to tcp://" in alice.peers["bob"].reason)
    with pytest.raises(KeyError):
        alice.send("dave", Ping(1))


async def test_a_silent_peer_is_lost_and_found_again_as_a_new_boot(net: Net):
    alice = await net.start("alice")
    bob = await net.start("bob", heartbeat_s=60.0)
    first = bob.boot
    await net.until(lambda: bob.peers["alice"].state == "up")
    bob.send("alice", Ping(1))  # his last word; then he hangs
    await net.until(lambda: alice.peers["bob"].state == "lost")
    lost = next(status for status in net.told["alice"] if status.state == "lost")
    assert lost.reason.startswith("silent for 0.")
    await bob.close()
    assert not alice.send("bob", Ping(1))
    bob = await net.start("bob")
    await net.until(lambda: alice.peers["bob"].state == "up")
    assert alice.peers["bob"].boot == bob.boot != first
    assert alice.peers["bob"].reason == "restarted"


async def test_a_closed_connection_is_told_at_once_and_then_the_restart(net: Net):
    alice, bob = await net.connected(lost_after_s=60.0)
    await bob.close()
    await net.until(lambda: alice.peers["bob"].state == "lost")
    assert "its connection was closed" in {status.reason for status in net.told["alice"]}
    bob = await net.start("bob", lost_after_s=60.0)
    await net.until(lambda: alice.peers["bob"].state == "up")
    assert alice.peers["bob"].boot == bob.boot
    await net.until(lambda: bob.peers["alice"].state == "up")
    assert bob.send("alice", Ping(1))
    assert (await received(alice)).boot == bob.boot


async def test_a_strangers_key_is_not_admitted(net: Net):
    alice = await net.start("alice")
    new_keys("mallory", net.folder)
    dealer = net.outsider(load_key_pair(net.folder / "mallory.key_secret"), "alice")
    monitor = dealer.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
    monitor.rcvtimeo = int(LIMIT_S * 1000)
    dealer.connect(net.address("alice"))
    dealer.send(envelope(1, Ping(666)))
    event = await asyncio.to_thread(recv_monitor_message, monitor)
    dealer.disable_monitor()
    monitor.close()
    assert event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH
    assert alice.strangers >= 1
    assert all(status.state == "never" for status in alice.peers.values())
    # alice still works: bob comes, and his is the first message.
    bob = await net.start("bob")
    await net.until(lambda: bob.peers["alice"].state == "up")
    bob.send("alice", Ping(1))
    assert (await received(alice)).message == Ping(1)


async def test_a_connection_without_encryption_gets_nothing_in(net: Net):
    alice, bob = await net.connected()
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    monitor = plain.get_monitor_socket(
        zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | zmq.EVENT_DISCONNECTED
    )
    monitor.rcvtimeo = int(LIMIT_S * 1000)
    plain.connect(net.address("alice"))
    plain.send(envelope(1, Ping(666)))
    await asyncio.to_thread(recv_monitor_message, monitor)
    plain.disable_monitor()
    monitor.close()
    plain.close()
    context.term()
    bob.send("alice", Ping(1))
    assert (await received(alice)).message == Ping(1)


async def test_a_peer_cannot_speak_in_anothers_name(net: Net):
    alice, _bob = await net.connected()
    carol = net.outsider(load_key_pair(net.folder / "carol.key_secret"), "alice")
    carol.routing_id = b"bob"
    carol.connect(net.address("alice"))
    carol.send(envelope(1, Ping(1, "I am bob")))
    got = await received(alice)
    assert got.peer == "carol"
    assert alice.peers["carol"].boot == 77


async def test_one_who_is_refused_learns_why_and_is_let_in_once_known(net: Net):
    alice_without_bob = net.table("alice")
    del alice_without_bob.peers["bob"]
    alice = await net.start("alice", table=alice_without_bob)
    bob = await net.start("bob")
    await net.until(lambda: "refuses our key" in bob.peers["alice"].reason)
    assert bob.peers["alice"].state == "never"
    await alice.close()
    await net.start("alice")
    await net.until(lambda: bob.peers["alice"].state == "up")


async def test_a_wrong_public_key_of_the_far_end_gives_no_connection(net: Net):
    table = net.table("bob")
    wrong = table.peers["alice"].model_copy(update={"public_key": net.folder / "carol.key"})
    del table.peers["carol"]
    table.peers["alice"] = wrong
    alice, bob = await net.start("alice"), await net.start("bob", table=table)
    await net.until(lambda: "public_key" in bob.peers["alice"].reason)
    assert alice.peers["bob"].state == bob.peers["alice"].state == "never"


async def test_duplicates_and_replays_are_dropped_and_counted(net: Net):
    alice = await net.start("alice")
    bob = net.outsider(load_key_pair(net.folder / "bob.key_secret"), "alice")
    bob.connect(net.address("alice"))
    for sequence in (1, 2, 2, 1, 3, 7):
        bob.send(envelope(sequence, Ping(sequence)))
    bob.send(envelope(1, Ping(10), boot=78))
    bob.send(envelope(9, Ping(9), boot=77))  # of a boot that is over
    bob.send(envelope(2, Ping(20), boot=78))
    assert [(await received(alice)).message.number for _ in range(6)] == [1, 2, 3, 7, 10, 20]
    counters = alice.peers["bob"].counters
    assert (counters.received, counters.repeated, counters.missed) == (6, 3, 3)


async def test_what_cannot_be_understood_is_counted_and_told_once(net: Net):
    alice = await net.start("alice")
    bob = net.outsider(load_key_pair(net.folder / "bob.key_secret"), "alice")
    bob.connect(net.address("alice"))
    for data in (b"", b"\xc1", b"\xff" * 100, msgspec.msgpack.encode({"type": "Ping"})):
        bob.send(data)
    for _ in range(20):
        bob.send(envelope(1, {"type": "Nonsense", "number": 1}))
    bob.send(envelope(1, {"type": "Ping", "number": "one"}))
    bob.send_multipart([envelope(1, Ping(1)), b"more"])
    bob.send(envelope(1, Ping(1)))
    assert (await received(alice)).message == Ping(1)
    assert alice.peers["bob"].counters.malformed == 26
    told = [status for status in net.told["alice"] if status.name == "bob"]
    assert sum(bool(status.trouble) for status in told) == 1
    assert (told[-1].state, told[-1].trouble) == ("up", "")


async def test_another_version_is_a_reason_not_a_crash(net: Net):
    alice = await net.start("alice")
    bob = net.outsider(load_key_pair(net.folder / "bob.key_secret"), "alice")
    bob.connect(net.address("alice"))
    bob.send(envelope(1, Ping(1), version=PROTOCOL_VERSION + 1))
    await net.until(lambda: "version" in alice.peers["bob"].reason)
    status = alice.peers["bob"]
    assert status.state == "never"
    assert f"version {PROTOCOL_VERSION + 1}" in status.reason
    carol = net.outsider(load_key_pair(net.folder / "carol.key_secret"), "alice")
    carol.connect(net.address("alice"))
    carol.send(msgspec.msgpack.encode([99, "other", "fields", 1, 2, 3]))
    await net.until(lambda: "version 99" in alice.peers["carol"].trouble)
    assert "install" in alice.peers["carol"].trouble


@pytest.mark.parametrize(("alice", "bob", "chosen"), [((4, 6), (5, 9), 6), ((4, 4), (3, 4), 4)])
async def test_two_ends_speak_the_newest_version_that_both_know(
    net: Net, alice: tuple[int, int], bob: tuple[int, int], chosen: int
):
    ends = await net.start("alice", spoken=alice), await net.start("bob", spoken=bob)
    names = ("bob", "alice")
    await net.until(lambda: all(e.peers[n].state == "up" for e, n in zip(ends, names, strict=True)))
    for end, name in zip(ends, names, strict=True):
        assert end.send(name, Ping(chosen))
    for end, name in zip(ends, names, strict=True):
        assert (await received(end)).message == Ping(chosen)
        assert end._peers[name].version == chosen


async def test_ends_without_a_common_version_are_told_so_and_speak_once_they_have_one(net: Net):
    alice = await net.start("alice", spoken=(5, 6))
    bob = await net.start("bob", spoken=(4, 4))
    text = "it speaks version 4 of the wire protocol, this node speaks 5 to 6; install"
    await net.until(lambda: text in alice.peers["bob"].trouble)
    await net.until(lambda: "speaks version 5 to 6" in bob.peers["alice"].trouble)
    for end, name in ((alice, "bob"), (bob, "alice")):
        assert end.peers[name].state == "never"
        assert not end.send(name, Ping(1))
        assert end.peers[name].counters.sent == 0
    await bob.close()
    bob = await net.start("bob", spoken=(4, 5))
    await net.until(lambda: bob.peers["alice"].state == alice.peers["bob"].state == "up")
    assert alice.peers["bob"].trouble == ""
    assert bob.send("alice", Ping(2))
    assert (await received(alice)).message == Ping(2)


async def test_a_full_queue_drops_and_counts(net: Net):
    alice, bob = await net.connected(waiting=10)
    for number in range(50):
        assert alice.send("bob", Ping(number))
    while bob.peers["alice"].counters.received < 50:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    kept = [await received(bob) for _ in range(10)]
    assert [one.message.number for one in kept] == list(range(10))
    alice.send("bob", Ping(99))
    while (await received(bob)).message.number != 99:
        pass
    counters = bob.peers["alice"].counters
    assert counters.received == 51
    assert counters.dropped > 0
    assert counters.missed == 0


async def test_a_message_above_the_limit_is_the_senders_mistake(net: Net):
    alice, bob = await net.connected()
    with pytest.raises(ValueError, match="at most 1048576"):
        alice.send("bob", Ping(1, "x" * (1 << 20)))
    assert alice.send("bob", Ping(2))
    assert (await received(bob)).message == Ping(2)


async def test_a_port_in_use_is_named_and_nothing_is_left_behind(net: Net):
    taken = socket.create_server(("127.0.0.1", net.ports["alice"]))
    wire = net.wire("alice")
    with pytest.raises(UserError, match="port is in use") as caught:
        await wire.start()
    assert net.address("alice") in caught.value.found
    assert "wire.listen" in caught.value.where
    taken.close()
    await wire.close()
    await net.start("alice")


async def test_an_address_of_another_machine_is_told(net: Net):
    table = net.table("alice").model_copy(update={"listen": "tcp://192.0.2.1:7101"})
    with pytest.raises(UserError, match="cannot listen there"):
        await net.wire("alice", table).start()


async def test_keys_are_checked_before_anything_opens(net: Net):
    (net.folder / "alice.key_secret").chmod(0o644)
    with pytest.raises(UserError, match="others may read"):
        await net.wire("alice").start()
    (net.folder / "bob.key").write_bytes((net.folder / "carol.key").read_bytes())
    (net.folder / "alice.key_secret").chmod(0o600)
    with pytest.raises(UserError, match="two nodes have the same key"):
        await net.wire("alice").start()


async def test_a_failing_listener_does_not_deafen_the_wire(net: Net):
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    alice = await net.start("alice")
    tell = alice._on_peer  # the caller's own callback is what fails here

    def fail_once(status: PeerStatus) -> None:
        alice._on_peer = tell
        raise RuntimeError("a fault of the caller")

    alice._on_peer = fail_once
    bob = await net.start("bob")
    await net.until(lambda: bob.peers["alice"].state == "up" and alice.peers["bob"].state == "up")
    bob.send("alice", Ping(1))
    assert (await received(alice)).message == Ping(1)
    assert [str(one["exception"]) for one in failures] == ["a fault of the caller"]
