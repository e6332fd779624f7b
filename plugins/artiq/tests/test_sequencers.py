"""Targets that fail, hang or are not there; ARTIQ and sipyco by stand-ins with their names."""

import asyncio
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import msgspec
import pytest
from qnodeos_artiq.artiq_sequencer import ArtiqSequencer
from qnodeos_artiq.command import main
from qnodeos_artiq.device import Device
from qnodeos_artiq.frames import BadFrame, framed, next_request
from qnodeos_artiq.sequencer import Fault, LocalSequencer
from qnodeos_artiq.simulation import SimulatedTarget
from qnodeos_artiq.sipyco_sequencer import SipycoSequencer


class Slow:
    """A target whose kernel ends when the test says so."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def measure(self, qubit: int, basis: str) -> int:
        self.go.wait(10.0)
        return 1

    def release(self, qubit: int) -> int:
        return 7

    def gate(self, name: str, qubits: list[int]) -> None:
        raise ZeroDivisionError("RTIO underflow")


async def test_a_hanging_kernel_is_told_and_its_answer_answers_nothing() -> None:
    slow = Slow()
    sequencer = LocalSequencer(slow, limit_s=0.05)
    with pytest.raises(Fault, match="measure took longer"):
        await sequencer.call("measure", 0, "Z")
    with pytest.raises(Fault, match="busy with an earlier call"):
        await sequencer.call("release", 0)
    slow.go.set()
    assert await sequencer.call("release", 0) == 7
    await sequencer.close()


async def test_what_a_kernel_raises_and_what_is_missing_are_faults() -> None:
    sequencer = LocalSequencer(Slow())
    with pytest.raises(Fault, match="ZeroDivisionError: RTIO underflow") as caught:
        await sequencer.call("gate", "X", [0])
    assert caught.value.code == 4
    with pytest.raises(Fault, match="has no method 'keep'") as caught:
        await sequencer.call("keep", 1, 0)
    assert caught.value.code == 1
    await sequencer.close()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"do": "fly"}, 1),
        ({"do": 7}, 1),
        ({"do": "hello", "version": 2}, 1),
        ({"do": "start"}, 1),
        ({"do": "configure", "count": 0, "start_slot": 0, "bright_population": 2}, 1),
        ({"do": "measure", "qubit": "0", "basis": "Z"}, 1),
        ({"do": "gate", "gate": "X", "qubits": 0}, 1),
        ({"do": "initialise", "qubit": 9, "state": "0"}, 2),
        ({"do": "initialise", "qubit": 0, "state": "2"}, 2),
        ({"do": "gate", "gate": "T", "qubits": [0]}, 2),
        ({"do": "measure", "qubit": 0, "basis": "Z"}, 3),
        ({"do": "move", "source": 0, "target": 1}, 3),
        ({"do": "keep", "slot": 1}, 1),
        ({"do": "release_mode", "slot": None}, 1),
    ],
)
async def test_errors_have_the_codes_of_the_protocol(request_: dict[str, Any], code: int) -> None:
    sequencer = LocalSequencer(SimulatedTarget())
    device = await Device.of(sequencer)

    async def tell(event: dict[str, Any]) -> None:
        raise AssertionError(event)

    with pytest.raises(Fault) as caught:
        await device.answer(request_, tell)
    assert caught.value.code == code
    await sequencer.close()


async def test_a_midpoint_tells_bell_states_and_knows_no_qubits() -> None:
    class Station(SimulatedTarget):
        def identity(self) -> dict[str, str]:
            return {**super().identity(), "role": "midpoint"}

        def attempt(self, first_slot: int, count: int) -> tuple[int, int, int]:
            return first_slot + 2, 5, 2

    sequencer = LocalSequencer(Station())
    device = await Device.of(sequencer)
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    first = (await device.answer({"do": "start", "count": 0}, events.put))["slot"]
    async with asyncio.timeout(5.0):
        assert await events.get() == {
            "event": "herald",
            "slot": first + 2,
            "time_ps": 5,
            "bell_state": "PSI_MINUS",
        }
    with pytest.raises(Fault) as caught:
        await device.answer({"do": "measure", "qubit": 0, "basis": "Z"}, events.put)
    assert caught.value.code == 5
    await sequencer.close()


async def test_attempts_that_fail_are_told_as_a_fault() -> None:
    class Broken(SimulatedTarget):
        def attempt(self, first_slot: int, count: int) -> tuple[int, int, int]:
            raise RuntimeError("no trigger")

    sequencer = LocalSequencer(Broken())
    device = await Device.of(sequencer)
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await device.answer({"do": "start", "count": 0}, events.put)
    async with asyncio.timeout(5.0):
        event = await events.get()
    assert event["event"] == "fault"
    assert "no trigger" in event["text"]
    assert (await device.answer({"do": "status"}, events.put))["attempting"] is False
    await sequencer.close()


@pytest.mark.parametrize(
    "data",
    [
        framed({"id": 1, "do": "status"})[:-1] + b"\0",
        b"\xff\xff\xff\xff",
        framed({"do": "status"}),
        framed({"id": True}),
        framed({"id": -1}),
        b"\x01\0\0\0\xc1\x8f\x3b\x8a\x2d",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_frame_ends_the_connection(data: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    with pytest.raises((BadFrame, asyncio.IncompleteReadError)):
        await next_request(reader)


async def test_the_vector_of_the_protocol_is_read() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(
        bytes.fromhex("1700000083a2696401a2646fa568656c6c6fa776657273696f6e01ff719184")
    )
    assert await next_request(reader) == {"id": 1, "do": "hello", "version": 1}
    assert msgspec.msgpack.decode(framed({"id": 1})[4:-4]) == {"id": 1}


def stand_in(monkeypatch: pytest.MonkeyPatch, **modules: dict[str, Any]) -> None:
    for name, contents in modules.items():
        path = name.replace("__", ".")
        module = ModuleType(path)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, path, module)
        parent, _, child = path.rpartition(".")
        if parent:
            monkeypatch.setattr(sys.modules[parent], child, module, raising=False)


class Client:
    """As much of sipyco's AsyncioClient as is used; in Y it never answers, in X it fails."""

    made: ClassVar[list["Client"]] = []

    def __init__(self) -> None:
        self.open = False
        self.made.append(self)

    async def connect_rpc(self, host: str, port: int, target: object) -> None:
        if port == 9:
            raise ConnectionRefusedError
        self.open = True

    def close_rpc(self) -> None:
        self.open = False

    async def measure(self, qubit: int, basis: str) -> int:
        if basis == "Y":
            await asyncio.Event().wait()
        if basis == "X":
            raise ValueError("remote trouble")
        return qubit


async def test_a_sipyco_connection_is_not_used_again_after_a_call_that_was_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rpc = {"AsyncioClient": Client, "AutoTarget": object()}
    stand_in(monkeypatch, sipyco={}, sipyco__pc_rpc=rpc)
    Client.made.clear()
    sequencer = SipycoSequencer("lab", 3280, limit_s=0.05)
    assert await sequencer.call("measure", 3, "Z") == 3
    assert await sequencer.call("measure", 4, "Z") == 4
    assert [client.open for client in Client.made] == [True]
    with pytest.raises(Fault, match="measure at lab port 3280 took longer"):
        await sequencer.call("measure", 0, "Y")
    assert await sequencer.call("measure", 5, "Z") == 5
    assert [client.open for client in Client.made] == [False, True]
    with pytest.raises(Fault, match="remote trouble"):
        await sequencer.call("measure", 0, "X")
    with pytest.raises(Fault, match="no method 'keep'") as caught:
        await sequencer.call("keep", 0, 0)
    assert caught.value.code == 1
    cut = asyncio.create_task(sequencer.call("measure", 0, "Y"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    await sequencer.close()
    assert not any(client.open for client in Client.made)
    with pytest.raises(Fault, match="no sipyco target at lab port 9"):
        await SipycoSequencer("lab", 9).call("now")


def test_without_artiq_or_sipyco_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("artiq", "artiq.language", "artiq.language.environment", "sipyco"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["--experiment", str(tmp_path / "device.py")]) == 1
    assert "ARTIQ cannot be imported" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
    assert main(["--sipyco", "127.0.0.1:3280"]) == 1
    assert "sipyco cannot be imported" in capsys.readouterr().err
    assert main(["--sipyco", "3280"]) == 1
    assert "sipyco" in capsys.readouterr().err


EXPERIMENT = """
from qnodeos_artiq.simulation import SimulatedTarget


class Device(SimulatedTarget):
    def __init__(self, managers):
        super().__init__(managers[0].found["core"])

    def prepare(self):
        self.prepared = True

    def identity(self):
        return {**super().identity(), "firmware": str(self.prepared)}


class Half:
    def now(self): ...
"""


async def test_an_experiment_is_built_prepared_and_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed: list[str] = []

    class DeviceManager:
        def __init__(self, found: dict[str, str]):
            self.found = found

        def close_devices(self) -> None:
            closed.append(self.found["core"])

    stand_in(
        monkeypatch,
        artiq={},
        artiq__language={},
        artiq__language__environment={"ProcessArgumentManager": lambda arguments: arguments},
        artiq__master={},
        artiq__master__databases={"DeviceDB": lambda path: {"core": Path(path).stem}},
        artiq__master__worker_db={"DeviceManager": DeviceManager},
    )
    file = tmp_path / "device.py"
    file.write_text(EXPERIMENT)
    sequencer = ArtiqSequencer(file, "Device", tmp_path / "kasli.py")
    who = await sequencer.call("identity")
    assert (who["serial"], who["firmware"]) == ("kasli", "True")
    await sequencer.close()
    assert closed == ["kasli"]
    with pytest.raises(ValueError, match="lacks identity, capabilities, attempt"):
        ArtiqSequencer(file, "Half", tmp_path / "kasli.py")
    with pytest.raises(ValueError, match="no class 'Other'"):
        ArtiqSequencer(file, "Other", tmp_path / "kasli.py")
