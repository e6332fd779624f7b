"""The frame of the benchmarks; no benchmark itself runs here."""

import json
import sys

import numpy as np
import pytest

from benchmarks import CannotRunError, Row, benchmark, best_of, frame, need
from benchmarks.__main__ import main


@pytest.fixture
def known(monkeypatch):
    """A registry of this test's own, whose benchmark `sums` can be given any rows."""
    rows = [Row("pairs", 12, "pairs"), Row("speed-up", 2.5, "x", at_least=1)]
    monkeypatch.setattr(frame, "_registry", {})
    benchmark("sums", "adds up")(lambda: rows)
    monkeypatch.setattr("benchmarks.__main__.all_benchmarks", lambda: frame._registry)
    return rows


def test_the_list_names_the_kernels_and_imports_no_peer(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"coincidences", "histogram", "decode"} <= {line.split()[0] for line in lines}
    assert all(len(line.split()) > 3 for line in lines)
    assert not {"pycorrelate", "tomtag"} & set(sys.modules)


def test_numbers_of_numpy_are_written_as_numbers(known, tmp_path):
    known[:] = [Row("count", np.int64(3), ""), Row("share", np.float32(0.5), "")]
    out = tmp_path / "rows.json"
    assert main(["sums", "--json", str(out)]) == 0
    assert [row["value"] for row in json.loads(out.read_text())["rows"]] == [3, 0.5]


def test_rows_are_printed_and_written(known, capsys, tmp_path):
    out = tmp_path / "rows.json"
    assert main(["sums", "--json", str(out)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["what", "value", "unit", "target", "holds"]
    assert first.split() == ["pairs", "12", "pairs"]
    assert second.split() == ["speed-up", "2.5", "x", ">=", "1", "yes"]
    report = json.loads(out.read_text())
    assert list(report) == ["benchmark", "machine", "versions", "rows"]
    assert report["benchmark"] == "sums"
    assert report["versions"]["numpy"]
    assert report["rows"] == [
        {"what": "pairs", "value": 12, "unit": "pairs", "target": None, "holds": None},
        {"what": "speed-up", "value": 2.5, "unit": "x", "target": ">= 1", "holds": True},
    ]


@pytest.mark.parametrize(
    ("row", "target", "holds"),
    [
        (Row("", 1, "", at_least=1), ">= 1", True),
        (Row("", 0.99, "", at_least=1), ">= 1", False),
        (Row("", 0, "", at_most=0), "<= 0", True),
        (Row("", 1, "", at_most=0), "<= 0", False),
        (Row("", 5, "", at_least=1, at_most=4), ">= 1 and <= 4", False),
        (Row("", float("nan"), "", at_least=1), ">= 1", False),
        (Row("", float("nan"), "", at_most=1), "<= 1", False),
        (Row("", 5, ""), None, None),
    ],
)
def test_targets(row, target, holds):
    assert (row.target, row.holds) == (target, holds)


def test_a_target_missed_is_status_1_and_still_written(known, capsys, tmp_path):
    known.append(Row("error", float("inf"), "", at_most=0))
    out = tmp_path / "rows.json"
    assert main(["sums", "--json", str(out)]) == 1
    assert "NO" in capsys.readouterr().out
    assert json.loads(out.read_text())["rows"][-1]["value"] is None


def test_an_unknown_name_is_status_2(known, capsys):
    assert main(["product"]) == 2
    assert "no benchmark 'product'; there are: sums" in capsys.readouterr().err


def test_a_missing_folder_is_told_before_the_run(known, capsys, tmp_path):
    assert main(["sums", "--json", str(tmp_path / "none" / "rows.json")]) == 2
    captured = capsys.readouterr()
    assert "there is no folder" in captured.err
    assert captured.out == ""


def test_missing_peers_are_status_2_with_the_command(known, capsys):
    benchmark("lonely", "has no peer")(lambda: need("no_such_peer"))
    assert main(["lonely"]) == 2
    assert "pip install .[peers]" in capsys.readouterr().err


def test_a_name_is_taken_once(known):
    with pytest.raises(ValueError, match="'sums'"):
        benchmark("sums", "again")(list)


def test_need_gives_the_module():
    assert need("json") is json
    with pytest.raises(CannotRunError, match="no_such_peer"):
        need("no_such_peer")


def test_best_of_runs_that_often():
    runs = []
    result, seconds = best_of(4, lambda: runs.append(1) or len(runs))
    assert (result, len(runs)) == (4, 4)
    assert seconds >= 0
