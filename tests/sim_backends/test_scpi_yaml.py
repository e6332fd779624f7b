"""A plain box from a user's file in the format of pyvisa-sim."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim_backends.instruments.scpi_yaml import ScpiYaml
from sim_backends.lab import LabError, load_lab
from sim_backends.scpi_yaml import load_box
from sim_backends.serve import Bench
from sim_backends.truth import TruthLog
from tests.twins import Sink
from timing.loop import run_virtual

BOX = """
spec: "1.1"
devices:
  generator:
    eom:
      TCPIP SOCKET:
        q: "\\r\\n"
        r: "\\n"
    error: ERROR
    dialogues:
      - q: "*IDN?"
        r: "ACME,LSG,1234,1.0"
      - q: "*CLS"
    properties:
      frequency:
        default: 100.0
        getter: {q: "FREQ?", r: "{:.2f}"}
        setter: {q: "FREQ {:.2f}", r: OK, e: FREQ_ERROR}
        specs: {min: 1, max: 1000, type: float}
      waveform:
        default: 0
        getter: {q: "WAVE?", r: "{:d}"}
        setter: {q: "WAVE {:d}"}
        specs: {valid: [0, 1, 2], type: int}
resources:
  TCPIP0::localhost::2222::SOCKET: {device: generator}
"""


def box(folder: Path, text: str = BOX) -> Path:
    path = folder / "box.yaml"
    path.write_text(text)
    return path


def test_it_says_what_the_file_says(tmp_path: Path) -> None:
    sink = Sink()
    session = ScpiYaml(load_box(box(tmp_path))).connect(sink)

    def said(text: bytes) -> bytes:
        session.feed(text)
        return sink.take()

    assert said(b"*IDN?\r\n") == b"ACME,LSG,1234,1.0\n"
    assert said(b"*CLS\r\n") == b""
    assert said(b"FREQ?\r\n") == b"100.00\n"
    assert said(b"FREQ 2") + said(b"50.5\r\nFREQ?\r\n") == b"OK\n250.50\n"
    assert said(b"FREQ 0.5\r\nFREQ fast\r\nFREQ?\r\n") == b"FREQ_ERROR\nFREQ_ERROR\n250.50\n"
    assert said(b"WAVE 2\r\nWAVE?\r\n") == b"2\n"
    assert said(b"WAVE 3\r\nWAVE?\r\n") == b"ERROR\n2\n"
    assert said(b"MAKE TEA\r\n") == b"ERROR\n"
    assert said(b"x" * 10_000) == b""
    assert said(b"\r\n*IDN?\r\n") == b"ERROR\nACME,LSG,1234,1.0\n"


def test_a_lab_serves_it_and_a_power_cycle_resets_it(tmp_path: Path) -> None:
    box(tmp_path)
    lab = tmp_path / "lab.toml"
    lab.write_text(
        '[lab]\nseed = 1\n[instruments]\ngenerator = { type = "scpi-yaml", file = "box.yaml", '
        "port = 1 }\n"
    )

    async def scenario() -> None:
        bench = Bench(load_lab(lab), TruthLog(None))
        for frequency in (b"100.00\n", b"100.00\n"):
            port = bench.memory("generator")
            await port.write(b"FREQ?\r\n")
            assert await port.read() == frequency
            await port.write(b"FREQ 5\r\n")
            assert await port.read() == b"OK\n"
            bench.power_off("generator")
            bench.power_on("generator")

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("devices:", "devises:", ["devices", "expected a table"]),
        ("    error: ERROR", "    channels: {}", ["generator.channels", "not understood"]),
        ("{:.2f}", "{:.2f} {:d}", ["one"]),
        ("type: float", "type: complex", ["specs.type", "int, float or str"]),
        ("default: 100.0", "default: [1]", ["frequency.default", "a number"]),
        ("TCPIP SOCKET", "TELEPATHY", ["eom", "TCPIP SOCKET"]),
        ('q: "*CLS"', 'k: "*CLS"', ["dialogues.1", "not understood"]),
        ('spec: "1.1"', "spec: [", ["not valid YAML"]),
    ],
)
def test_what_is_wrong_is_named_in_one_message(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    assert old in BOX
    path = box(tmp_path, BOX.replace(old, new))
    with pytest.raises(LabError) as caught:
        load_box(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_device_that_is_not_there_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="'oscilloscope'"):
        load_box(box(tmp_path), "oscilloscope")
    with pytest.raises(LabError, match="cannot be read"):
        load_box(tmp_path / "none.yaml")
    lab = tmp_path / "lab.toml"
    lab.write_text('[lab]\nseed = 1\n[instruments]\na = { type = "scpi-yaml", port = 1 }\n')
    with pytest.raises(LabError, match="file is missing"):
        load_lab(lab)
