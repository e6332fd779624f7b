"""`qnodeos tags` as an operator meets it."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qnodeos.cli.tags import app
from qnodeos.errors import UserError

DATA = Path(os.environ.get("QNODEOS_DATA", Path(__file__).parents[3] / "shared" / "data"))
HBT = "200204_HH400_T2_320MHz_HBT.timeres"
ROLL_OVER = "timestamp7_c14_rollover.Aa1fX.ts"
WIDE = {"COLUMNS": "160"}


def data(name):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no recording {path}; set QNODEOS_DATA to the folder that holds it")
    return str(path)


@pytest.fixture
def small(tmp_path):
    """Two channels, the second 40 ns after the first."""
    first = np.sort(np.random.default_rng(6).integers(0, 256 * 10**8, 500))
    ticks = np.concatenate((first, first + 256 * 40))
    order = np.argsort(ticks, kind="stable")
    pattern = np.repeat(np.array([1, 8], np.uint64), 500)[order]
    path = tmp_path / "small [lab].ts"
    path.write_bytes((ticks[order].astype(np.uint64) << np.uint64(10) | pattern).tobytes())
    return str(path)


def run(*arguments):
    result = CliRunner().invoke(app, arguments, env=WIDE)
    assert result.exception is None, result.output
    return result.stdout


def refusal(*arguments):
    result = CliRunner().invoke(app, arguments, env=WIDE)
    assert isinstance(result.exception, UserError), result.output
    assert result.stdout == ""
    return str(result.exception)


def test_info_shows_what_an_operator_asks_for(small):
    text = run("info", small)
    for words in ("small [lab].ts", "S-Fifteen TDC2 (low word first)", "span", "1,000"):
        assert words in text
    for words in ("channel", "rate / cps", "overflows", "gaps", "500"):
        assert words in text


def test_info_json_is_the_whole_and_nothing_else(small):
    facts = json.loads(run("info", small, "--json"))
    assert facts["tags"] == 1000
    assert facts["channels"]["4"]["counts"] == 500
    assert facts["channels"]["4"]["rate_cps"] == pytest.approx(500 / facts["span_s"])
    assert (facts["overflows"], facts["gaps"]) == (0, 0)


def test_analyze_finds_the_delay(small):
    text = run("analyze", small)
    assert "the one clear peak" in text
    assert "coincidences" in text
    assert "accidentals expected" in text
    assert "g2 at zero" in text


def test_analyze_json_holds_the_whole_histogram(small):
    facts = json.loads(run("analyze", small, "--json", "--range-ns", "100"))
    pair = facts["pair"]
    histogram = pair["histogram"]
    assert (pair["channel_a"], pair["channel_b"]) == (1, 4)
    assert abs(pair["delay_ps"] - 40_000) < 125
    assert pair["coincidences"] >= 500
    assert histogram["bin_ps"] == 125
    assert histogram["on_time_steps"]
    assert len(histogram["counts"]) == len(histogram["g2"]) == 2 * 800 + 1
    assert sum(histogram["counts"]) >= 500
    ratio = np.array(histogram["counts"]) / histogram["expected_per_bin"]
    assert np.allclose(histogram["g2"], ratio)


def test_swapped_channels_mirror_the_delay(small):
    forward = json.loads(run("analyze", small, "--json", "--channels", "1,4"))["pair"]
    backward = json.loads(run("analyze", small, "--json", "--channels", "4,1"))["pair"]
    assert abs(forward["delay_ps"] + backward["delay_ps"]) <= 2
    assert forward["coincidences"] == backward["coincidences"]


def test_a_bin_off_the_time_steps_is_told(small):
    assert "comb" in run("analyze", small, "--bin-ps", "100")
    assert "comb" not in run("analyze", small, "--bin-ps", "250")


def test_the_plot_is_drawn(small, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    out = tmp_path / "g2.png"
    assert str(out) in run("analyze", small, "--plot", str(out)).replace("\n", "")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_plot_into_a_missing_folder_or_of_an_unknown_kind(small, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    message = refusal("analyze", small, "--plot", str(tmp_path / "none" / "g2.png"))
    assert "folder for --plot does not exist" in message
    assert "mkdir" in message
    assert "'.doc'" in refusal("analyze", small, "--plot", str(tmp_path / "g2.doc"))


def test_a_plot_without_matplotlib(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    message = refusal("analyze", small, "--plot", str(tmp_path / "g2.png"))
    assert "qnodeos[plot]" in message
    assert not (tmp_path / "g2.png").exists()


@pytest.mark.parametrize("command", ["info", "analyze"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "a PNG image"),
        (b"hello\n", "text"),
        (b"PQTTTR\0\x001.0.00\0\0", "inside the PTU header"),
        (bytes(999), "no TDC2 events"),
    ],
)
def test_a_file_that_is_no_recording(command, content, words, tmp_path):
    path = tmp_path / "file.ptu"
    if content is not None:
        path.write_bytes(content)
    message = refusal(command, str(path))
    assert words in message
    assert f"at {path}, byte " in message
    assert "expected" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--channels", "1"), "two numbers such as 1,2"),
        (("--channels", "a,b"), "'a,b'"),
        (("--channels", "1,2"), "channel 2 has no tags"),
        (("--window-ps", "0"), "--window-ps is out of range"),
        (("--bin-ps", "-5"), "--bin-ps is out of range"),
        (("--bin-ps", "1000000000000000"), "--bin-ps is out of range"),
        (("--range-ns", "0"), "--range-ns is out of range"),
        (("--range-ns", "nan"), "--range-ns is out of range"),
        (("--range-ns", "inf"), "--range-ns is out of range"),
        (("--range-ns", "1e30"), "--range-ns is out of range"),
        (("--range-ns", "50000000"), "at most 1000000 bins"),
        (("--delay-ps", "99999999999999999999999"), "--delay-ps is out of range"),
    ],
)
def test_a_wrong_option_is_named(small, options, words):
    assert words in refusal("analyze", small, *options)


def test_the_real_hanbury_brown_twiss_recording():
    facts = json.loads(run("analyze", data(HBT), "--json", "--bin-ps", "25", "--delay-ps", "24000"))
    assert facts["channels"]["1"]["counts"] == 159_298
    assert facts["channels"]["2"]["counts"] == 224_721
    histogram = facts["pair"]["histogram"]
    delay_ps = histogram["low_ps"] + 25 * np.arange(len(histogram["g2"]))
    g2 = np.array(histogram["g2"])

    def height(pulse):
        return g2[abs(delay_ps - 24_100 - pulse * 3125) < 500].sum()

    # A single-photon source pulsed at 320 MHz: no two photons in one pulse, cables 24 ns apart.
    others = [height(pulse) for pulse in range(-20, 21) if pulse]
    assert height(0) < 0.1 * np.median(others)
    assert min(others) > 0.5 * np.median(others)


def test_the_real_roll_over_recording():
    facts = json.loads(run("analyze", data(ROLL_OVER), "--json"))
    assert (facts["overflows"], facts["gaps"]) == (138, 4)
    assert facts["pair"]["delay_found"]
    assert 139_000 < facts["pair"]["delay_ps"] < 139_250
    assert facts["pair"]["coincidences"] == 431
    assert "4 tags lay before their predecessor" in run("info", data(ROLL_OVER))
