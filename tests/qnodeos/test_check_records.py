"""What `qnodeos check` says of [record] before anybody relies on it."""

from pathlib import Path
from typing import Any

import pytest

from qnodeos.checking.records import records_mean, records_ready
from qnodeos.config import NodeConfig, RecordTable, load_node

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_nodes" / "alice.toml"


def node(folder: Path, **record: Any) -> NodeConfig:
    table = RecordTable.model_validate({"directory": str(folder / "tags"), **record})
    return load_node(EXAMPLE).model_copy(update={"record": table})


def found(config: NodeConfig) -> list[tuple[str, str]]:
    return [(each.state, each.what) for each in records_ready(config)]


def test_what_is_kept_and_for_how_long_is_said_in_sentences(tmp_path: Path) -> None:
    config = node(tmp_path, keep_gb="0.2 TB", keep_days=30)
    said = dict(records_mean(config))
    text = " ".join(said["record"])
    for words in (str(tmp_path / "tags"), "30 days", "200 GB", "2 GB"):
        assert words in text
    assert "7 days" in said["journal"][0]
    assert "record" not in dict(records_mean(load_node(EXAMPLE)))


def test_a_recording_that_is_bounded_has_nothing_to_be_noted(tmp_path: Path) -> None:
    assert found(node(tmp_path, keep_gb=1, min_free_gb=0)) == []
    assert found(node(tmp_path, min_free_gb=0)) == [("note", "record")]
    assert found(load_node(EXAMPLE)) == []


@pytest.mark.parametrize(
    ("record", "where"),
    [({"min_free_gb": 1e6}, "record.min_free_gb"), ({"directory": "file"}, "record.directory")],
)
def test_what_would_not_be_recorded_is_wrong(
    tmp_path: Path, record: dict[str, Any], where: str
) -> None:
    (tmp_path / "file").touch()
    if "directory" in record:
        record = {"directory": str(tmp_path / "file" / "tags")}
    assert found(node(tmp_path, keep_gb=1, **record)) == [("wrong", where)]
