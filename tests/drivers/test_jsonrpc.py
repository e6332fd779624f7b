"""JSON-RPC 2.0 on a link: what an answer has to be."""

import asyncio
import json

import pytest

from drivers.errors import InstrumentError, NotConnected, ProtocolError
from drivers.framing import PACKET
from drivers.jsonrpc import JsonRpc
from drivers.testing import memory_link
from timing.loop import run_virtual


def answered(reply: bytes) -> object:
    async def scenario() -> object:
        async with memory_link() as (link, far):
            rpc = JsonRpc(link)
            asking = asyncio.create_task(rpc.call("getSerial", [1]))
            await far.expect(
                PACKET.wrap(b'{"jsonrpc":"2.0","id":1,"method":"getSerial","params":[1]}')
            )
            await far.write(PACKET.wrap(reply))
            try:
                return await asking
            finally:
                assert link.usable == (b"result" in reply or b'"error"' in reply)

    return run_virtual(scenario())


def test_a_result() -> None:
    assert answered(b'{"jsonrpc":"2.0","id":1,"result":{"a":[1]}}') == {"a": [1]}
    assert answered(b'{"jsonrpc":"2.0","id":1,"result":null}') is None


def test_an_error_has_its_code_text_and_data() -> None:
    reply = {"id": 1, "error": {"code": -32602, "message": "Invalid params", "data": "n_runs"}}
    with pytest.raises(InstrumentError, match=r"-32602: Invalid params \(n_runs\)") as caught:
        answered(json.dumps(reply).encode())
    assert caught.value.code == -32602


@pytest.mark.parametrize(
    "reply", [b"", b"<html>busy</html>", b"[]", b'{"id":2,"resul":1}', b'{"id":1}']
)
def test_what_is_no_answer_shows_its_bytes_and_poisons(reply: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        answered(reply)
    assert caught.value.raw == reply


def test_an_answer_to_another_question_is_none() -> None:
    async def scenario() -> None:
        async with memory_link() as (link, far):
            rpc = JsonRpc(link)
            asking = asyncio.create_task(rpc.number("getTemperature"))
            await far.read()
            await far.write(PACKET.wrap(b'{"id":1,"result":"warm"}'))
            with pytest.raises(ProtocolError, match="expected a number"):
                await asking
            with pytest.raises(NotConnected):
                await rpc.flag("isStreaming")
            await link.close()

    run_virtual(scenario())
