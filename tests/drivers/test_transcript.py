"""What was recorded of a real instrument can be read, replayed and given away."""

import asyncio
import io
from pathlib import Path

import pytest

from drivers.detectors.pm100d import Pm100d
from drivers.lasers.dlcpro import DlcPro
from drivers.links.base import Link
from drivers.testing import ScriptedTransport, read_transcript, record, replayed
from drivers.testing.transcript import BadTranscript, Event, Header, Replayer, Transcript
from timing.loop import run_virtual

HEADER = Header(1, "thorlabs.pm100d", "tcp://192.0.2.7:5025")


def transcript(*events: tuple[str, bytes]) -> Transcript:
    told = [Event(0.0, what, data.decode("latin-1")) for what, data in events]  # type: ignore[arg-type]
    return Transcript(HEADER, tuple(told))


def test_every_byte_is_kept_and_passwords_are_not(tmp_path: Path) -> None:
    raw = bytes(range(256))
    script = [
        (b"", b"DeCoF Command Line\r\n> "),
        (b'(exec \'change-ul 2 "s3cret")\n', b"2\n> "),
        (b"(param-ref 'serial-number)\n", b'"X1"\n> '),
        (b"(param-ref 'fw-ver)\n", b'"1"\n> '),
        (b"(param-ref 'laser1:dl:cc:current-clip)\n", b"120.0\n> "),
        (raw, raw[::-1]),
    ]

    async def scenario() -> str:
        file = io.StringIO()
        options = {"user_password": "s3cret", "max_current_ma": 90.0}
        laser = DlcPro(Link(ScriptedTransport(script), owner="test"), options)
        record(laser, "tcp://192.0.2.9:1998", file, asyncio.get_running_loop().time)
        await laser.link.open()
        await laser.connect()
        await laser.link.send(raw)
        await laser.link.transport.read()
        await laser.link.close()
        return file.getvalue()

    text = run_virtual(scenario())
    assert "s3cret" not in text
    assert '******")' in text.replace('\\"', '"')
    (tmp_path / "laser.jsonl").write_text(text)
    read = read_transcript(tmp_path / "laser.jsonl")
    assert read.header.options == {"max_current_ma": 90.0}
    assert read.events[-2].raw == raw[::-1]
    assert read.events[0].what == "open"
    assert read.exchanges()[0] == (b"", b"DeCoF Command Line\r\n> ")
    assert read.exchanges()[-1] == (raw, raw[::-1])


def test_a_driver_that_asks_something_else_than_was_recorded_is_told(tmp_path: Path) -> None:
    file = tmp_path / "meter.jsonl"
    file.write_text(
        '{"transcript":1,"driver":"thorlabs.pm100d","resource":"tcp://192.0.2.7:5025"}\n'
        '{"t":0.0,"what":"open"}\n{"t":0.1,"what":"sent","data":"MEAS:POW?\\n"}\n'
        '{"t":0.2,"what":"received","data":"2.5E-3\\n"}\n'
    )

    async def scenario() -> None:
        async with replayed(file) as meter:
            assert isinstance(meter, Pm100d)
            assert await meter.power_w() == 2.5e-3
        with pytest.raises(AssertionError, match="MEAS:POW"):
            async with replayed(file) as meter:
                await meter.ping()

    run_virtual(scenario())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        '{"transcript":2,"driver":"x","resource":"y"}',
        '{"transcript":1,"driver":"x","resource":"y"}\n{"t":0,"what":"said"}',
        '{"transcript":1,"driver":"x","resource":"y"}\n{"t":0,"what":"sent","data":"\u20ac"}',
    ],
)
def test_what_is_no_transcript_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wrong.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadTranscript, match=r"wrong\.jsonl"):
        read_transcript(file)


def test_a_replayer_answers_in_any_order_and_counts_what_it_does_not_know() -> None:
    fake = Replayer(
        transcript(
            ("open", b""),
            ("received", b"hello\n"),
            ("sent", b"a?\n"),
            ("received", b"1\n"),
            ("sent", b"set\n"),
            ("sent", b"a?\n"),
            ("received", b"2\n"),
        )
    )
    assert fake.greeting() == b"hello\n"
    assert fake.feed(b"a") == b""
    assert fake.feed(b"?\n") == b"1\n"
    assert fake.feed(b"set\na?\n") == b"2\n"
    assert fake.feed(b"a?\n") == b"1\n", "it begins again at the end"
    assert fake.feed(b"b?\n") == b""
    assert fake.unknown == 3
    assert fake.feed(b"a?\n") == b"2\n"
