"""Processors that do not sleep deeply while a node runs."""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path

import pytest

from qnodeos.awake import LATENCY_FILE, processors_awake
from qnodeos.checking import readiness
from qnodeos.checking.tables import meanings
from qnodeos.config import NodeConfig, load_node
from tests.qnodeos.test_hom import written

OPEN = os.access(LATENCY_FILE, os.R_OK | os.W_OK)


def wake_within_us() -> int:
    """What the kernel keeps to now."""
    with LATENCY_FILE.open("rb", buffering=0) as file:
        (found,) = struct.unpack("=i", file.read(4))
    return int(found)


@pytest.mark.skipif(not OPEN, reason=f"{LATENCY_FILE} cannot be opened here")
def test_the_kernel_keeps_to_it_until_the_end() -> None:
    before_us = wake_within_us()
    asked_us = min(before_us, 1000) - 1 if before_us else 0
    with processors_awake(asked_us):
        assert wake_within_us() == asked_us
    assert wake_within_us() == before_us


def test_without_the_entry_nothing_is_asked(tmp_path: Path) -> None:
    with processors_awake(None, tmp_path / "latency"):
        assert not (tmp_path / "latency").exists()


def test_a_system_that_does_not_take_it_is_told_of_and_no_file_is_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran = False
    with caplog.at_level(logging.INFO), processors_awake(0, tmp_path / "latency"):
        ran = True
    assert ran
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "processors may sleep" in record.getMessage()
    assert "No such file" in record.getMessage()
    assert "packaging/udev" in record.getMessage()
    assert not (tmp_path / "latency").exists()


def test_check_says_what_it_means_and_whether_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path) / "alice.toml"
    plain = load_node(file)
    assert "processor" not in says(plain)
    file.write_text(file.read_text().replace("[node]", "[node]\nwake_within_us = 0"))
    config = load_node(file)
    assert "it takes longer than 0 us to wake." in says(config)
    for device, state in ((tmp_path, "ok"), (tmp_path / "none", "note")):
        monkeypatch.setattr(readiness, "LATENCY_FILE", device)
        looked = readiness.of_this_machine(config, runs=False)
        (found,) = [each for each in looked if each.what == "node.wake_within_us"]
        assert found.state == state
        assert bool(found.do) is (state == "note")


def says(config: NodeConfig) -> str:
    (node,) = [each for each in meanings(config) if each.table == "node"]
    return node.says
