"""CurveZMQ and ZMTP without sockets; that libzmq understands them is in test_wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_box_keypair

from qnodeos.curve import COMMAND, MORE, Broken, Client, Denied, Server, Session
from qnodeos.envelope import common, told, understood
from qnodeos.zmtp import (
    Frames,
    check_greeting,
    frame,
    greeting,
    properties,
    read_properties,
)

OURS, THEIRS, OTHER = (crypto_box_keypair() for _ in range(3))
METADATA = properties(Socket_Type="DEALER", Identity="")


def words(server_key: bytes = THEIRS[0]) -> tuple[Client, Server]:
    return Client(*OURS, server_key), Server(*THEIRS)


def sessions() -> tuple[Session, Session]:
    client, server = words()
    assert server.proved(client.initiate(server.welcome(client.hello()), METADATA)) == OURS[0]
    ready, far = server.ready(properties(Socket_Type="ROUTER"))
    return client.session(ready), far


def flipped(data: bytes, bit: int) -> bytes:
    found = bytearray(data)
    found[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(found)


def test_both_ends_say_and_hear_what_the_other_means() -> None:
    near, far = sessions()
    for flags, text in ((0, b"a word"), (MORE, b""), (COMMAND, b"\x04PING")):
        assert far.opened(near.sealed(flags, text)) == (flags, text)
        assert near.opened(far.sealed(flags, text)) == (flags, text)


def test_what_is_said_again_or_was_sealed_for_the_way_back_is_refused() -> None:
    near, far = sessions()
    first, second = near.sealed(0, b"1"), near.sealed(0, b"2")
    assert far.opened(second) == (0, b"2")
    for again in (first, second):
        with pytest.raises(Broken, match="again"):
            far.opened(again)
    with pytest.raises(Broken):
        near.opened(near.sealed(0, b"3"))


@given(bit=st.integers(0, 8 * 200 - 1), step=st.integers(0, 4))
def test_a_changed_bit_anywhere_lets_nobody_in_and_nothing_through(bit: int, step: int) -> None:
    client, server = words()
    spoilt = [flipped if step == n else lambda data, _: data for n in range(5)]

    def all_of_it() -> None:
        welcome = server.welcome(spoilt[0](client.hello(), bit))
        initiate = client.initiate(spoilt[1](welcome, bit), METADATA)
        server.proved(spoilt[2](initiate, bit))
        ready, far = server.ready(METADATA)
        near = client.session(spoilt[3](ready, bit))
        far.opened(spoilt[4](near.sealed(0, b"x"), bit))

    with pytest.raises(Broken):
        all_of_it()


@given(data=st.binary(max_size=300))
def test_nonsense_is_broken_at_every_step(data: bytes) -> None:
    client, server = words()
    with pytest.raises(Broken):
        server.welcome(data)
    welcome = server.welcome(client.hello())
    with pytest.raises(Broken):
        client.initiate(data, METADATA)
    with pytest.raises(Broken):
        server.proved(data)
    server.proved(client.initiate(welcome, METADATA))
    with pytest.raises(Broken):
        client.session(data)


def test_a_client_that_wants_another_server_gets_no_welcome() -> None:
    client, server = words(server_key=OTHER[0])
    with pytest.raises(Broken):
        server.welcome(client.hello())


def test_who_has_not_the_servers_secret_key_cannot_welcome() -> None:
    client, _ = words()
    impostor = Server(THEIRS[0], OTHER[1])
    with pytest.raises(Broken):
        impostor.welcome(client.hello())


def test_a_vouch_of_one_handshake_proves_nothing_in_another() -> None:
    client, server = words()
    initiate = client.initiate(server.welcome(client.hello()), METADATA)
    other = Server(*THEIRS)
    other.welcome(Client(*OURS, THEIRS[0]).hello())
    with pytest.raises(Broken, match="cookie"):
        other.proved(initiate)


@pytest.mark.parametrize("status", [b"400", b"500"])
def test_a_refusal_is_told_with_its_status(status: bytes) -> None:
    client, server = words()
    client.initiate(server.welcome(client.hello()), METADATA)
    with pytest.raises(Denied, match=status.decode()):
        client.session(server.error(status))


@given(
    bodies=st.lists(st.binary(max_size=600), max_size=12),
    cuts=st.lists(st.integers(1, 700), min_size=1, max_size=12),
)
def test_frames_are_found_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = greeting(server=True) + b"".join(frame(body) for body in bodies)
    frames, found, first, at, turn = Frames(600), [], None, 0, 0
    while at < len(stream):
        frames.feed(stream[at : at + cuts[turn % len(cuts)]])
        at += cuts[turn % len(cuts)]
        turn += 1
        first = first or frames.greeting()
        while first and (body := frames.body()) is not None:
            found.append(body)
    assert first == greeting(server=True)
    assert found == bodies
    assert frames.unread_bytes == 0


def test_a_frame_longer_than_allowed_is_refused_before_it_has_come() -> None:
    frames = Frames(255)
    frames.feed(frame(bytes(256))[:9])
    with pytest.raises(Broken, match="256 bytes, expected at most 255"):
        frames.body()


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n".ljust(64),
        greeting(server=False).replace(b"CURVE", b"NULL\0"),
        greeting(server=False).replace(b"\x03\x01", b"\x01\x00"),
    ],
)
def test_who_speaks_something_else_is_told_by_its_greeting(first: bytes) -> None:
    with pytest.raises(Broken, match="expected"):
        check_greeting(first)


@given(st.dictionaries(st.sampled_from(["Socket_Type", "X_Q", "Identity"]), st.text(max_size=30)))
def test_metadata_is_read_as_it_was_written(values: dict[str, str]) -> None:
    found = read_properties(properties(**values))
    assert found == {name.replace("_", "-"): text for name, text in values.items()}


@given(data=st.binary(max_size=60))
def test_metadata_of_anybody_is_read_or_broken(data: bytes) -> None:
    try:
        found = read_properties(data)
    except Broken:
        return
    assert sum(len(name) for name in found) <= len(data)


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [((4, 4), (4, 4), 4), ((3, 5), (4, 9), 5), ((1, 2), (3, 4), None), ((7, 9), (1, 6), None)],
)
def test_a_version_is_chosen(
    ours: tuple[int, int], theirs: tuple[int, int], chosen: int | None
) -> None:
    assert common(ours, theirs) == common(theirs, ours) == chosen
    assert understood(told(ours)) == ours


@pytest.mark.parametrize("text", ["", "to", "four", "-1", "4 to x", " to 4"])
def test_what_tells_no_version_is_none(text: str) -> None:
    assert understood(text) is None
