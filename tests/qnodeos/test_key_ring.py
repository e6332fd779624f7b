"""Keys that change, overlap and are revoked, on real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qnodeos import UserError
from qnodeos.cli import app
from qnodeos.config import WireTable
from qnodeos.key_ring import (
    KeyRing,
    PeerKey,
    accept,
    fingerprint,
    old_file,
    peer_keys,
    prepare_next,
    revoke,
    use_next,
)
from qnodeos.keys import load_public_key, new_keys
from tests.qnodeos.test_wire import LIMIT_S, Net, Ping, _net, received


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    async with _net(tmp_path, "alice", "bob") as made:
        yield made


async def test_a_key_changes_without_losing_the_peer(net: Net) -> None:
    for name in ("alice", "bob"):  # in folders of their own, as on two computers
        folder = net.folder / f"of-{name}"
        folder.mkdir()
        for file in net.folder.glob("*.key*"):
            (folder / file.name).write_bytes(file.read_bytes())
            (folder / file.name).chmod(0o600)
    tables = {
        name: net.table(name).model_copy(
            update={
                "secret_key": net.folder / f"of-{name}" / f"{name}.key_secret",
                "peers": {
                    other: peer.model_copy(
                        update={"public_key": net.folder / f"of-{name}" / f"{other}.key"}
                    )
                    for other, peer in net.table(name).peers.items()
                },
            }
        )
        for name in ("alice", "bob")
    }
    alice = await net.start("alice", table=tables["alice"])
    bob = await net.start("bob", table=tables["bob"])
    await net.until(lambda: bob.peers["alice"].state == alice.peers["bob"].state == "up")
    following = prepare_next(tables["alice"])
    accept(tables["bob"], "alice", following, overlap_s=3600.0, now_s=4e9)
    bob.renew_keys()
    assert bob.peers["alice"].state == "up"
    alice.send("bob", Ping(1))  # with the key before
    assert (await received(bob)).message == Ping(1)
    await alice.close()
    await net.until(lambda: bob.peers["alice"].state == "lost")
    public = use_next(tables["alice"])
    assert load_public_key(net.folder / "of-alice" / "alice.key") == public
    again = await net.start("alice", table=tables["alice"])
    await net.until(lambda: bob.peers["alice"].state == again.peers["bob"].state == "up")
    again.send("bob", Ping(2))
    assert (await received(bob)).message == Ping(2)
    bob.send("alice", Ping(3))
    assert (await received(again)).message == Ping(3)


async def test_a_revoked_peer_is_gone_at_once_and_heard_no_more(net: Net) -> None:
    alice, bob = await net.connected()
    revoke(net.table("alice"), "bob")
    alice.renew_keys()
    assert alice.peers["bob"].state == "lost"
    assert "no key of bob holds" in alice.peers["bob"].reason
    before = alice.strangers
    bob.send("alice", Ping(666))
    await net.until(lambda: bob.peers["alice"].state == "lost")  # nobody answers him any more
    for _ in range(round(100 * LIMIT_S)):  # a busy machine may bring his word after his patience
        if alice.strangers > before:
            break
        await asyncio.sleep(0.01)
    assert alice.strangers > before
    assert alice.peers["bob"].counters.received == 0
    with pytest.raises(UserError, match="cannot be accepted"):
        accept(net.table("alice"), "bob", net.folder / "bob.key", overlap_s=1.0, now_s=0.0)


async def test_both_ends_name_the_key_that_does_not_fit(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    mark = fingerprint(load_public_key(net.folder / "bob.key"))
    (net.folder / "elsewhere").mkdir()
    wrong, _ = new_keys("bob", net.folder / "elsewhere")
    table = net.table("alice")
    table.peers["bob"] = table.peers["bob"].model_copy(update={"public_key": wrong})
    with caplog.at_level(logging.WARNING, "qnodeos.wire"):
        alice = await net.start("alice", table=table)
        bob = await net.start("bob")
        await net.until(lambda: f"refuses our key {mark}" in bob.peers["alice"].reason)
        expected = fingerprint(load_public_key(wrong))
        await net.until(lambda: expected in alice.peers["bob"].reason)
    assert any(mark in text and f"bob {expected}" in text for text in caplog.messages)


def test_the_key_before_holds_until_its_moment_and_no_longer() -> None:
    now_s = 0.0
    ring = KeyRing(
        [PeerKey("bob", b"new"), PeerKey("bob", b"old", until_s=5.0)], wall=lambda: now_s
    )
    assert ring.of("bob") == [b"new", b"old"]
    now_s = 5.0
    assert ring.of("bob") == [b"new"]
    assert ring.owner(b"old") is None


def test_an_old_key_without_a_moment_is_not_accepted(tmp_path: Path) -> None:
    for name in ("alice", "bob", "before"):
        new_keys(name, tmp_path)
    table = WireTable(
        listen="tcp://127.0.0.1:7101",
        secret_key=tmp_path / "alice.key_secret",
        peers={
            "bob": {"id": 2, "address": "tcp://127.0.0.1:7102", "public_key": tmp_path / "bob.key"}
        },
    )
    (tmp_path / "before.key").rename(old_file(tmp_path / "bob.key"))
    with pytest.raises(UserError, match="until when"):
        peer_keys(table)


def test_the_command_lists_changes_and_revokes(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "two_nodes" / "alice.toml"
    node = tmp_path / "alice.toml"
    node.write_text(example.read_text())
    for name in ("alice", "bob", "station"):
        new_keys(name, tmp_path / "keys")
    (tmp_path / "new").mkdir()
    following, _ = new_keys("bob", tmp_path / "new")
    before, after = (
        fingerprint(load_public_key(each)) for each in (tmp_path / "keys" / "bob.key", following)
    )

    def said(*words: object) -> str:
        result = CliRunner().invoke(app, ["keys", *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.output

    assert f"bob          {before}" in said("list", node)
    assert after in said("accept", node, "bob", following, "--hours", "2")
    both = said("list", node)
    assert f"{after}      0.0 days  accepted  " in both
    assert f"{before}      0.0 days  accepted for 2.0 h more" in both
    assert "was not told" in said("revoke", node, "bob")
    assert said("list", node).count("  revoked  ") == 2
    own = fingerprint(load_public_key(tmp_path / "keys" / "alice.key"))
    assert "copy it to every peer" in said("rotate", node)
    assert own in said("list", node)
    assert "from its next start" in said("rotate", node, "--finish")
    assert own not in said("list", node)
