"""`qnodeos tags sync` as an operator meets it."""

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from qnodeos.cli.tags import app
from qnodeos.errors import UserError
from qnodeos.tags import open_recording, pack_tags

WIDE = {"COLUMNS": "160"}
OFFSET_PS, SKEW, SPAN_S = -320_000_000_456, 6e-6, 3.0
QUICK = ("--max-offset", "1", "--max-skew", "15", "--clock-noise", "1e-11", "--search-time", "0.3")


def streams(seed=1, pairs_cps=3000, step_ps=0):
    """Times at A and at B of two detectors that see pairs and light of their own."""
    random = np.random.default_rng(seed)
    span_ps = SPAN_S * 1e12
    pairs = random.uniform(0, span_ps, round(pairs_cps * SPAN_S))
    a, b = (
        np.concatenate(
            (pairs + random.normal(0, 100, len(pairs)), random.uniform(0, span_ps, alone))
        )
        for alone in (60_000, 40_000)
    )
    b = (b - OFFSET_PS) / (1 + SKEW)
    b = b + step_ps * (b > np.median(b))
    return (np.sort(times).astype(np.int64) for times in (a, b))


def write(path, times, channels=2):
    channel = np.random.default_rng(len(times)).integers(1, channels + 1, len(times))
    path.write_bytes(pack_tags(times, channel.astype(np.uint8)))
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labs")
    a, b = streams()
    return write(folder / "a.qtp", a), write(folder / "b.qtp", b)


def run(*arguments, status=0):
    result = CliRunner().invoke(app, ["sync", *arguments], env=WIDE)
    assert result.exit_code == status, (result.output, result.exception)
    return result


def facts(*arguments, status=0):
    return json.loads(run(*arguments, "--json", status=status).stdout)


def refusal(*arguments):
    result = CliRunner().invoke(app, ["sync", *arguments], env=WIDE)
    assert isinstance(result.exception, UserError), result.output
    assert result.exception.exit_status == 2
    assert result.stdout == ""
    return str(result.exception)


def test_the_table_says_what_an_operator_asks_for(files):
    text = run(*files, *QUICK, "--stability").stdout
    for words in (
        "B onto A: b.qtp onto a.qtp",
        "offset A - B",
        "ppm",
        "false alarm",
        "jitter",
        "accidentals",
        "tracker's residual",
        "bound",
        "3.000 s in common",
        "clock lost",
        "TDEV / ps",
    ):
        assert words in text
    assert "step:" not in text


def test_json_is_the_whole_and_right(files):
    found = facts(*files, *QUICK, "--stability")
    assert found["found"] is True
    at_epoch = OFFSET_PS + SKEW * found["epoch_b_ps"]
    measured = found["offset_whole_ps"] + found["offset_rest_ps"]
    assert abs(measured - at_epoch) < 5 * found["offset_uncertainty_ps"] < 20
    assert abs(found["skew_ppm"] - 6) < 5 * found["skew_uncertainty_ppm"] < 1e-4
    assert found["jitter_ps"] == pytest.approx(100 * 2**0.5, rel=0.05)
    assert found["pair_rate_cps"] == pytest.approx(3000, rel=0.04)
    assert found["tracked_s"] > 2.8
    assert found["steps"] == found["findings"] == []
    assert found["false_alarm_probability"] < 1e-6
    assert len(found["offsets"]) == found["spans"] >= 29
    assert found["stability"][0]["tau_s"] == 0.1
    assert "stability" not in facts(*files, *QUICK)


def test_swapped_files_give_the_negative_and_are_named_if_a_sign_is_expected(files):
    a, b = files
    found = facts(b, a, *QUICK, "--expect-offset", "-0.32")
    assert found["offset_s"] == pytest.approx(0.32, abs=1e-4)
    assert found["skew_ppm"] == pytest.approx(-6, abs=1e-3)
    assert [finding["kind"] for finding in found["findings"]] == ["swapped"]
    assert facts(a, b, *QUICK, "--expect-offset", "-0.32")["findings"] == []


def test_channels_can_be_chosen(files):
    found = facts(*files, *QUICK, "--channels-a", "1", "--channels-b", "1,2")
    assert found["pair_rate_cps"] == pytest.approx(1500, rel=0.06)
    assert "channel 7 has no tags" in refusal(*files, "--channels-b", "7")
    assert "numbers such as 1,2" in refusal(*files, "--channels-a", "one")


def test_the_corrected_tags_need_no_correction(files, tmp_path):
    out = tmp_path / "b_on_a.qtp"
    assert str(out) in run(*files, *QUICK, "--out", str(out)).stdout.replace("\n", "")
    before, after = open_recording(files[1]), open_recording(out)
    assert len(after) > 0.98 * len(before)
    assert after.counts().keys() == before.counts().keys()
    found = facts(files[0], str(out), *QUICK)
    assert abs(found["offset_s"]) < 20e-12
    assert abs(found["skew_ppm"]) < 1e-4
    assert list(tmp_path.iterdir()) == [out]


def test_no_correlation_is_status_1_with_what_is_needed(files, tmp_path):
    _, other = streams(seed=2)
    stranger = write(tmp_path / "c.qtp", other)
    out = tmp_path / "out.qtp"
    result = run(files[0], stranger, *QUICK, "--out", str(out), status=1)
    assert result.stdout == ""
    assert result.stderr.startswith("no correlation: ")
    assert "needed: about " in result.stderr
    found = facts(files[0], stranger, *QUICK, status=1)
    assert found["found"] is False
    assert found["detectable_pair_rate_cps"] > 100
    # Nothing half-written stays.
    assert list(tmp_path.iterdir()) == [tmp_path / "c.qtp"]


def test_a_clock_step_is_told(tmp_path):
    a, b = streams(seed=3, step_ps=4_000_000)
    paths = write(tmp_path / "a.qtp", a), write(tmp_path / "b.qtp", b)
    assert "step: a clock steps by -4,000.0" in run(*paths, *QUICK).stdout.replace("\n", " ")
    (step,) = facts(*paths, *QUICK)["steps"]
    assert step["step_ps"] == pytest.approx(-4_000_000, abs=100)
    assert step["a_s"] == pytest.approx(1.5, abs=0.2)


def test_what_makes_a_search_pointless_is_refused(files, tmp_path):
    _, b = streams()
    nothing = write(tmp_path / "none.qtp", b[:0])
    assert "holds no tags" in refusal(files[0], nothing)
    assert "the very same" in refusal(files[0], files[0])
    late = write(tmp_path / "late.qtp", b + 10**14)
    message = refusal(files[0], late)
    assert "do not overlap in time" in message
    assert "allow offsets of 99 s or more" in message
    wrong = write(tmp_path / "ns.qtp", b // 1000)
    message = refusal(files[0], wrong, *QUICK)
    assert "B (ns.qtp)'s times are in units of 1 ns, not 1 ps" in message
    assert "so scaled, the two correlate" in message


def test_a_silence_is_told_beside_the_result(files, tmp_path):
    _, b = streams()
    b = b[(b < 1.2e12) | (b > 1.7e12)]
    found = facts(files[0], write(tmp_path / "gap.qtp", b), *QUICK)
    assert [finding["kind"] for finding in found["findings"]] == ["silence"]
    assert "0.5 s in all" in found["findings"][0]["text"]


def test_breaks_in_a_recording_are_told(files, tmp_path):
    _, b = streams()
    broken = b.copy()
    broken[[5000, 5001]] = broken[[5001, 5000]]
    found = facts(files[0], write(tmp_path / "back.qtp", broken), *QUICK)
    (finding,) = found["findings"]
    assert finding["kind"] == "gap"
    assert "breaks off or steps back 1 times" in finding["text"]


def test_the_plot_is_drawn(files, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    plot = tmp_path / "sync.png"
    run(*files, *QUICK, "--plot", str(plot))
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-offset", "0"), "--max-offset is out of range"),
        (("--max-offset", "nan"), "--max-offset is out of range"),
        (("--max-skew", "-1"), "--max-skew is out of range"),
        (("--max-skew", "1e9"), "--max-skew is out of range"),
        (("--window", "0"), "--window is out of range"),
        (("--clock-noise", "1"), "--clock-noise is out of range"),
        (("--search-time", "0"), "--search-time is out of range"),
        (("--out", "/nowhere/at/all.qtp"), "the folder for --out does not exist"),
    ],
)
def test_a_wrong_option_is_named(files, options, words):
    assert words in refusal(*files, *options)


def test_a_recording_is_never_overwritten(files):
    assert "would overwrite a recording" in refusal(*files, "--out", files[1])
    assert len(open_recording(files[1])) > 0


def test_a_file_that_is_no_recording_and_a_plot_without_matplotlib(files, tmp_path, monkeypatch):
    assert "no such file" in refusal(files[0], str(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert "qnodeos[plot]" in refusal(*files, "--plot", str(tmp_path / "x.png"))
