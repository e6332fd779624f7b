"""The draft's messages as bytes: the published vectors, every value there and back, bad bytes."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_layer.draft_bits import Layout, MalformedMessage
from link_layer.draft_messages import (
    DraftAck,
    DraftCreate,
    DraftError,
    DraftOkKeep,
    DraftOkMeasure,
    DraftReply,
    decode_reply,
    encode_reply,
)
from link_layer.draft_service import draft_of, request_of
from link_layer.messages import Create, ErrorCode, Measuring
from tools.link_vectors import PLACE, vectors

PUBLISHED = json.loads(Path(PLACE).read_text())
REPLIES = (DraftAck, DraftOkKeep, DraftOkMeasure, DraftError)


def filled(kind: Any) -> st.SearchStrategy[Any]:
    """Any message of a kind whose numbers have a meaning."""
    widths = dict(kind.LAYOUT.fields)
    most = {"time_unit": 2, "basis": 4}
    least = {"number": 1}
    values = {
        each.name: st.integers(
            least.get(each.name, 0), most.get(each.name, (1 << widths[each.name]) - 1)
        )
        for each in fields(kind)
    }
    if kind is DraftError:
        values["error"] = st.integers(1, 6)
    return st.builds(kind, **values)


def test_the_published_vectors_are_those_of_the_code() -> None:
    assert vectors() == PUBLISHED


@pytest.mark.parametrize("vector", PUBLISHED, ids=[each["what"] for each in PUBLISHED])
def test_a_vector_is_read_and_written(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if vector["message"] == "CREATE":
        create = DraftCreate.decode(data)
        assert asdict(create) == vector["fields"]
        assert create.encode() == data
    else:
        reply = decode_reply(data)
        assert reply.LAYOUT.name == vector["message"]
        assert asdict(reply) == vector["fields"]
        assert encode_reply(reply) == data


def test_bits_lie_where_the_figures_have_them() -> None:
    """By hand from the draft's figures, not by our own layout."""
    ok = encode_reply(DraftOkMeasure(0x1234, 1, 0, 0b100, 0xABCD, 0x50, 7, 0xE666))
    assert ok.hex() == "31234" + f"{0b1_0_100_0000000:03x}" + "abcd0050" + "00000007" + "e6660000"
    error = encode_reply(DraftError(0x1234, 5, 1, 3, 6, 7))
    assert error.hex() == "41234" + "580" + "00030006" + "00000007"
    create = DraftCreate(1, 0, 1, 0x0FFF, 2, 3, 5, 1, 0, 1, 2, 1).encode().hex()
    assert create[8:16] == "0000" + f"{1 << 14 | 0x0FFF:04x}"
    assert create[24:28] == f"{0b101_1_0_1_10_01_000000:04x}"


@given(filled(DraftCreate))
def test_every_create_survives_the_wire(create: DraftCreate) -> None:
    assert DraftCreate.decode(create.encode()) == create


@pytest.mark.parametrize("kind", REPLIES)
@given(data=st.data())
def test_every_reply_survives_the_wire(kind: Any, data: Any) -> None:
    reply: DraftReply = data.draw(filled(kind))
    assert decode_reply(encode_reply(reply)) == reply


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (DraftCreate.decode, decode_reply):
        try:
            message = read(data)
        except MalformedMessage:
            continue
        sent = message.encode() if isinstance(message, DraftCreate) else encode_reply(message)
        assert len(sent) == len(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "type None"),
        ("f0000000", "type 15; there are 1 ACK, 2 OK-K, 3 OK-M, 4 ERR"),
        ("1000", "ACK: found 2 bytes, expected 4"),
        ("30001" + "780" + "0" * 24, "basis 7, expected 0 to 4"),
        ("40001" + "000" + "0" * 16, "no number 0"),
    ],
)
def test_a_bad_reply_is_named(data: str, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode_reply(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("change", "says"),
    [({"time_unit": 3}, "time unit 3"), ({"number": 0}, "number 0")],
)
def test_a_bad_create_is_named(change: dict[str, int], says: str) -> None:
    data = DraftCreate(**{**PUBLISHED[0]["fields"], **change}).encode()
    with pytest.raises(MalformedMessage, match=says):
        DraftCreate.decode(data)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"create_id of ACK is 65536, expected 0 to 65535"):
        encode_reply(DraftAck(65536))
    with pytest.raises(ValueError, match="whole words of 32"):
        Layout("odd", [("a", 3)])


@given(filled(DraftCreate))
def test_a_create_becomes_a_request_and_the_same_create_again(draft: DraftCreate) -> None:
    try:
        create = request_of(draft, link="l", request=1, purpose="p")
    except ValueError:
        shares = (draft.probability_1_local, draft.probability_2_local)
        others = (draft.probability_1_remote, draft.probability_2_remote)
        assert draft.measure
        assert sum(shares) > 255 or sum(others) > 255
        return
    back = draft_of(create, remote_node_id=draft.remote_node_id, purpose_id=draft.purpose_id)
    again = request_of(back, link="l", request=1, purpose="p")
    assert again.max_time_s == pytest.approx(create.max_time_s, rel=1e-3)
    assert back.minimum_fidelity == draft.minimum_fidelity
    assert (again.kind, again.number, again.priority) == (
        create.kind,
        create.number,
        create.priority,
    )
    assert (again.atomic, again.consecutive) == (create.atomic, create.consecutive)
    if create.near is not None and again.near is not None:
        assert again.near.bases == create.near.bases
        assert again.near.shares == pytest.approx(create.near.shares, abs=3e-3)


@pytest.mark.parametrize(
    ("create", "what"),
    [
        (Create("l", 1, "R", 1, 0.5, 1.0, "p"), "type R"),
        (Create("l", 1, "K", 1, 0.5, 1.0, "p", window_s=0.1), "packet"),
        (Create("l", 1, "K", 1, 0.5, 1.0, "p", corrected=False), "Bell state"),
        (Create("l", 1, "K", 1, 0.5, 1e6, "p"), "1e\\+06 s exceed"),
        (
            Create("l", 1, "M", 1, 0.5, 1.0, "p", near=Measuring(("X", "Y"), (0.5, 0.5))),
            "no set of bases",
        ),
    ],
)
def test_what_the_draft_cannot_say_is_not_said(create: Create, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        draft_of(create, remote_node_id=1, purpose_id=2)


def test_an_error_of_the_draft_is_one_of_ours() -> None:
    assert DraftError(1, 5, 0, 0, 0, 1).code is ErrorCode.EXPIRED
