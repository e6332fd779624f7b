"""Finding drivers, building them, and telling boxes apart."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.devices import Identity, Instrument
from drivers.links import Link, SerialSettings
from drivers.links.serial import SerialTransport
from drivers.plugin import (
    Manifest,
    UnknownDriver,
    driver_names,
    load_driver,
    make_instrument,
    wrong_box,
)


class Lamp(Instrument):
    manifest = Manifest(
        driver="test.lamp",
        kind="Laser",
        identity=r"^ACME Lamp",
        links=("tcp", "serial"),
        safe_state="off",
        serial=SerialSettings(baud=9600),
    )

    def __init__(self, link: Link, options: Mapping[str, Any] | None = None):
        super().__init__(link, options)
        if set(self.options) - {"port"}:
            raise ValueError(f"unknown options {sorted(self.options)}; a lamp has only 'port'")

    async def connect(self) -> Identity:
        return Identity("ACME Lamp")

    async def enter_safe_state(self) -> None:
        await self.link.send(b"off\n")

    async def ping(self) -> None:
        await self.link.send(b"?\n")


def test_the_installed_drivers_are_listed_by_name() -> None:
    assert {"qnodeos.device", "sfifteen.tdc1", "toptica.dlcpro"} <= set(driver_names())
    assert driver_names() == sorted(set(driver_names()))


def test_an_unknown_driver_is_told_with_those_there_are() -> None:
    with pytest.raises(UnknownDriver, match=r"unknown driver 'toptica\.dlc'.*toptica\.dlcpro"):
        load_driver("toptica.dlc")
    with pytest.raises(UnknownDriver, match="'no_such_module:Driver'"):
        load_driver("no_such_module:Driver")


@pytest.fixture
def lab_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "labs_own_driver.py").write_text("class Box:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "labs_own_driver"
    sys.modules.pop("labs_own_driver", None)


def test_a_driver_that_is_not_installed_is_named_by_its_module(lab_module: str) -> None:
    assert load_driver(f"{lab_module}:Box").__name__ == "Box"
    with pytest.raises(UnknownDriver):
        load_driver(f"{lab_module}:Bax")


def test_an_instrument_gets_its_drivers_line_settings() -> None:
    lamp = make_instrument(Lamp, "serial:///dev/ttyS9?parity=E", owner="lab/lamp")
    transport = lamp.link.transport
    assert isinstance(transport, SerialTransport)
    assert transport.settings == SerialSettings(baud=9600, parity="E")
    assert lamp.link.owner == "lab/lamp"
    assert not lamp.armed()


def test_what_cannot_be_built_is_said_in_one_sentence() -> None:
    class OnlyTcp(Lamp):
        manifest = Manifest("test.tcp", "Laser", "x", ("tcp",), "off")

    with pytest.raises(ValueError, match=r"'test\.tcp' works on tcp, and 'serial:///dev/x' is ser"):
        make_instrument(OnlyTcp, "serial:///dev/x", owner="x")
    with pytest.raises(ValueError, match="'lpt1' is not understood"):
        make_instrument(OnlyTcp, "lpt1", owner="x")
    with pytest.raises(ValueError, match="only 'port'"):
        make_instrument(Lamp, "tcp://h:1", owner="x", options={"prot": 1})


@pytest.mark.parametrize(
    ("text", "serial", "expected", "says"),
    [
        ("ACME Lamp 3", "17", None, ""),
        ("ACME Lamp 3", "17", "17", ""),
        ("ACME Lamp 3", "", None, ""),
        ("Other Lamp", "17", "17", "it says 'Other Lamp'"),
        ("ACME Lamp 3", "18", "17", "serial number '18' of 'ACME Lamp 3', expected is '17'"),
        ("ACME Lamp 3", "", "17", "tells none"),
    ],
)
def test_wrong_box(text: str, serial: str, expected: str | None, says: str) -> None:
    found = wrong_box(Lamp.manifest, Identity(text, serial), expected)
    assert (says in found) if says else found == ""
