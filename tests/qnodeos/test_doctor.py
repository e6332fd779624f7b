"""`qnodeos doctor`: what a computer lacks, said with what helps."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qnodeos.checking import host, latency, usb
from qnodeos.checking.findings import Finding, any_wrong
from qnodeos.cli import app
from qnodeos.shipped import shipped
from timing.loop import run_virtual


def test_the_command_tells_of_everything_and_what_to_do():
    done = CliRunner().invoke(app, ["doctor", "--json", "--seconds", "0.05"])
    assert done.exit_code in (0, 1), done.output
    found = [Finding(**each) for each in json.loads(done.output)]
    told = {each.what for each in found}
    assert {
        "qnodeos",
        "kernels",
        "cryptography",
        "open files",
        "disk",
        "event loop",
        "port 7101",
    } <= told
    assert any(what.startswith("serial port") for what in told)
    assert done.exit_code == any_wrong(found)
    assert all(each.do for each in found if each.state == "wrong")


def test_the_kernels_in_use_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("QNODEOS_KERNEL_PATH", raising=False)
    assert host.kernels().state == "ok"
    monkeypatch.setenv("QNODEOS_KERNEL_PATH", "portable")
    assert host.kernels().state == "note"


def test_extras_are_told_one_by_one():
    found = list(
        host.extras(
            [
                "numpy>=2",
                'rich>=13; extra == "here"',
                "surely-not-there[x]>=1; extra == 'away' and python_version < '3.99'",
                'surely-not-there; extra == "test"',
            ]
        )
    )
    assert [(each.state, each.what) for each in found] == [
        ("ok", "extra here"),
        ("note", "extra away"),
    ]
    assert "pip install 'qnodeos[away]'" in found[1].do


def test_memory_is_read_from_the_kernels_table(tmp_path: Path):
    table = tmp_path / "meminfo"
    assert list(host.memory(table)) == []
    table.write_text("MemTotal: 9 kB\nMemAvailable: 100000 kB\n")
    (few,) = host.memory(table)
    assert (few.state, few.found) == ("note", "0.1 GB are free")
    table.write_text("MemAvailable: 8000000 kB\n")
    (enough,) = host.memory(table)
    assert (enough.state, enough.do) == ("ok", "")


def test_a_processor_that_saves_power_is_told(tmp_path: Path):
    file = tmp_path / "scaling_governor"
    assert list(host.governor(file)) == []
    file.write_text("powersave\n")
    assert [each.state for each in host.governor(file)] == ["note"]
    file.write_text("performance\n")
    assert [each.state for each in host.governor(file)] == ["ok"]


def test_a_clock_that_nobody_keeps_is_told():
    assert host.synchronised(True, 16.0).state == "note"
    assert "2.0 ms" in host.synchronised(False, 0.002).found


def test_serial_ports_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert [each.state for each in usb.serial_ports(tmp_path)] == ["ok"]
    (tmp_path / "ttyUSB0").touch()
    (tmp_path / "ttyACM1").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path.name == "ttyUSB0")
    found = {each.what: each for each in usb.serial_ports(tmp_path)}
    assert found["serial port ttyUSB0"].state == "ok"
    assert found["serial port ttyACM1"].state == "wrong"
    assert "usermod -aG" in found["serial port ttyACM1"].do


def test_rules_and_ftdi_timers_are_looked_at(tmp_path: Path):
    assert usb.udev_rules((tmp_path,)).state == "note"
    (tmp_path / usb.RULES).write_text("# of long ago\n")
    assert "not that of this version" in usb.udev_rules((tmp_path,)).found
    (tmp_path / usb.RULES).write_text(shipped(f"packaging/udev/{usb.RULES}").read_text())
    assert usb.udev_rules((tmp_path,)).state == "ok"
    timer = tmp_path / "ttyUSB3" / "latency_timer"
    timer.parent.mkdir()
    timer.write_text("16\n")
    (held,) = usb.ftdi_latency(tmp_path)
    assert (held.state, held.what) == ("note", "serial port ttyUSB3")
    timer.write_text("1\n")
    assert list(usb.ftdi_latency(tmp_path)) == []


def test_the_loop_is_timed_with_its_own_clock():
    told: list[float] = []

    async def timed() -> list[float]:
        return await latency.loop_lateness_ms(0.2, lambda done, _: told.append(done))

    late_ms = run_virtual(timed(), limit_s=10)
    assert len(late_ms) == pytest.approx(200, abs=2)
    assert max(late_ms) == pytest.approx(0.0, abs=1e-6)
    assert told == sorted(told)
    assert told


@pytest.mark.parametrize(("slow", "state"), [(0, "ok"), (5, "note")])
def test_a_loop_that_is_often_late_is_told(slow: int, state: str):
    late_ms = [0.1] * (100 - slow) + [8.0] * slow
    assert latency.lateness_finding(late_ms).state == state
