"""The node's log for a collector: one object a line, whatever is said."""

import json
import logging
from collections.abc import Iterator

import pytest

from qnodeos.config import LogTable
from qnodeos.logs import log_as


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_each_line_is_an_object_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    log_as(LogTable(format="json"), "alice")
    log = logging.getLogger("qnodeos.wire")
    log.info('peer %s is lost:\n\x1b[31m"red"', "bob")
    try:
        raise ValueError("ouch")
    except ValueError:
        log.exception("it failed")
    first, second = map(json.loads, said(capsys))
    assert first["node"] == "alice"
    assert first["logger"] == "qnodeos.wire"
    assert first["level"] == "info"
    assert first["message"] == 'peer bob is lost:\n\x1b[31m"red"'
    assert first["time"].endswith("+00:00")
    assert "ValueError: ouch" in second["error"]


def test_a_level_leaves_out_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    log_as(LogTable(level="warning"), "alice")
    log = logging.getLogger("qnodeos")
    log.info("nothing new")
    log.warning("the fibre is dark")
    (line,) = said(capsys)
    assert line.endswith("WARNING qnodeos: the fibre is dark")
