"""`qnodeos instrument` on simulated instruments that stand on real ports of this machine."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

import qnodeos.cli
from drivers.claims import Claims
from drivers.testing import read_transcript, replayed
from tests.instruments.bench import Plugged, on_its_mount
from tests.instruments.case import collect
from timing.loop import run_virtual

CASES = collect()


class Answer:
    def __init__(self, status: int, output: str, error: str):
        self.status, self.output, self.error = status, output, error

    @property
    def json(self) -> object:
        return json.loads(self.output)


Command = Callable[..., Answer]


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))


def instrument(*arguments: object, timeout_s: float = 60.0) -> Answer:
    done = subprocess.run(
        [sys.executable, "-m", "qnodeos", "instrument", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def plugged(folder: Path, *names: str) -> Iterator[dict[str, Plugged]]:
    """Twins on their ports, alive in a thread of their own."""
    ready, end = threading.Event(), threading.Event()
    there: dict[str, Plugged] = {}

    async def live() -> None:
        async with AsyncExitStack() as stack:
            for name in names:
                case = CASES[name]
                there[name] = await stack.enter_async_context(on_its_mount(case, folder / name))
            ready.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        assert ready.wait(20)
        yield there
    finally:
        end.set()
        thread.join(20)


def where(twin: Plugged) -> tuple[str, str, str]:
    return (next(iter(twin.resources.values())), "--driver", twin.case.driver)


def test_a_meter_from_the_first_question_to_a_test_of_its_transcript(tmp_path: Path) -> None:
    with plugged(tmp_path, "pm100d") as there:
        meter = where(there["pm100d"])
        who = instrument("identify", meter[0], "--json")
        assert who.status == 0, who.error
        assert who.json == [
            {
                "driver": "thorlabs.pm100d",
                "asked": "*IDN?",
                "answer": "THORLABS,PM100D,P0031415,2.6.0",
                "serial": "",
            }
        ]
        found = instrument("scan", "--host", meter[0].removeprefix("tcp://"), "--json")
        assert {"resource": meter[0], "what": "listens (given)"} in found.json  # type: ignore[operator]

        assert instrument("call", *meter, "wavelength_nm", "--json").json == {
            "wavelength_nm": 635.0
        }
        refused = instrument("call", *meter, "set_wavelength_nm", "405")
        assert refused.status == 2
        assert "add --yes" in refused.error
        assert instrument("call", *meter, "set_wavelength_nm", "405", "--yes").status == 0
        assert instrument("call", *meter, "wavelength_nm").output.strip() == "405"
        beyond = instrument("call", *meter, "set_wavelength_nm", "2000", "--yes")
        assert beyond.status == 2
        assert "accepted are 400 to 1100" in beyond.error
        assert "Traceback" not in beyond.error

        assert instrument("query", *meter, "SENS:CORR:WAV?").status == 2
        raw = instrument("query", *meter, "SENS:CORR:WAV?", "--yes", "--json").json
        assert raw["sent"] == "SENS:CORR:WAV?\n"  # type: ignore[index,call-overload]
        assert float(raw["received"]) == 405.0  # type: ignore[index,call-overload]

        seen = instrument("watch", *meter, "--count", "3", "--interval", "0.1", "--json").output
        states = [json.loads(line) for line in seen.splitlines()]
        assert [state["state"] for state in states][-1] == "online"
        assert states[-1]["readings"]["wavelength_nm"] == 405.0

        examined = instrument("doctor", *meter, "--json")
        assert examined.status == 0, examined.output
        ping = [each for each in examined.json if each["what"] == "ping"]  # type: ignore[attr-defined,index]
        assert "median" in ping[0]["found"]

        file = tmp_path / "meter.jsonl"
        recorded = instrument("record", *meter, "-o", file, "--seconds", "0")
        assert recorded.status == 0, recorded.error

    async def again() -> None:
        async with replayed(file) as meter:
            assert (await meter.connect()).serial == "P0031415"
            await meter.ping()
            assert (await meter.readings())["wavelength_nm"] == 405.0

    run_virtual(again())
    assert read_transcript(file).header.driver == "thorlabs.pm100d"


def test_a_transcript_is_served_as_an_instrument(tmp_path: Path) -> None:
    file = tmp_path / "meter.jsonl"
    with plugged(tmp_path, "pm100d") as there:
        assert (
            instrument("record", *where(there["pm100d"]), "-o", file, "--seconds", "0").status == 0
        )
    with subprocess.Popen(
        [sys.executable, "-m", "qnodeos", "instrument", "replay", str(file)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as serving:
        assert serving.stdout is not None
        driver, resource = serving.stdout.readline().split()
        called = instrument("call", resource, "wavelength_nm", "--driver", driver)
        serving.terminate()
        assert serving.wait(20) == 0
    assert called.output.strip() == "635"


def test_serial_ports_and_their_questions(tmp_path: Path) -> None:
    with plugged(tmp_path, "tdc1", "ell14") as there:
        for name in ("tdc1", "ell14"):
            who = instrument("identify", where(there[name])[0], "--json")
            assert [each["driver"] for each in who.json] == [CASES[name].driver]  # type: ignore[attr-defined,index]
        examined = instrument("doctor", *where(there["tdc1"]))
        assert examined.status == 0, examined.output
        assert "may be read and written" in examined.output
    gone = instrument("doctor", *where(there["tdc1"]))
    assert gone.status == 1
    assert "is it plugged in" in gone.output


def test_light_needs_a_lease_and_ends_with_it(tmp_path: Path) -> None:
    with plugged(tmp_path, "dlcpro") as there:
        pump = where(there["dlcpro"])
        assert instrument("call", *pump, "set_current_ma", "80", "--yes").status == 0
        unarmed = instrument("call", *pump, "set_emission", "true", "--yes")
        assert unarmed.status == 2
        assert "--arm" in unarmed.error
        assert not there["dlcpro"].emits()
        lit: list[bool] = []
        looking = threading.Thread(target=lambda: _note(lit, there["dlcpro"].emits))
        looking.start()
        armed = instrument(
            "call", *pump, "set_emission", "true", "--yes", "--arm", "--seconds", "1"
        )
        looking.join(30)
        assert armed.status == 0, armed.error
        assert True in lit
        assert not there["dlcpro"].emits()


def _note(lit: list[bool], emits: Callable[[], bool]) -> None:
    wait = threading.Event()
    for _ in range(400):
        lit.append(emits())
        if lit[-1]:
            return
        wait.wait(0.05)


def test_who_has_it_is_told(tmp_path: Path) -> None:
    with plugged(tmp_path, "pm100d") as there:
        meter = where(there["pm100d"])
        claim = Claims().take(meter[0], "alice/meter")
        assert claim is not None
        for command in (("call", *meter, "ping"), ("query", *meter, "*IDN?", "--yes")):
            answer = instrument(*command)
            assert answer.status == 2
            assert "alice/meter" in answer.error
        assert instrument("doctor", *meter).status == 1
        claim.release()
        assert instrument("call", *meter, "ping").status == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("call", "tcp://127.0.0.1:9", "ping"), "--driver"),
        (("call", "tcp:/x", "ping", "--driver", "thorlabs.pm100d"), "not understood"),
        (("call", "tcp://127.0.0.1:1", "ping", "--driver", "thorlabs.pm100d"), "refused"),
        (("call", "tcp://127.0.0.1:1", "glow", "--driver", "thorlabs.pm100d"), "wavelength_nm"),
        (("call", "tcp://127.0.0.1:1", "ping", "7", "--driver", "thorlabs.pm100d"), "too many"),
        (("call", "serial:///dev/null", "ping", "--driver", "sfifteen.tdc1"), "not a serial port"),
        (("call", "tcp://127.0.0.1:1", "ping", "--driver", "sfifteen.tdc1"), "works on serial"),
        (("show", "acme.none"), "thorlabs.pm100d"),
        (("query", "tcp://127.0.0.1:1", "x", "--yes", "--driver", "qnodeos.device"), "by hand"),
        (("replay", "pyproject.toml"), "no transcript"),
        (("identify", "tcp://127.0.0.1:1"), "refused"),
        (("new", "Dimmer"), "VENDOR.MODEL"),
    ],
)
def test_mistakes_give_one_message_and_status_2(
    arguments: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["qnodeos", "instrument", *arguments])
    with pytest.raises(SystemExit) as ended:
        qnodeos.cli.main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("qnodeos: ")


def test_list_and_show_are_complete() -> None:
    listed = instrument("list", "--json").json
    names = [each["driver"] for each in listed]  # type: ignore[attr-defined,index]
    assert {case.driver for case in CASES.values()} <= set(names)
    shown = instrument("show", "toptica.dlcpro", "--json").json
    methods = {each["name"]: each["read_only"] for each in shown["methods"]}  # type: ignore[index,call-overload]
    assert methods["emission"]
    assert not methods["set_emission"]
    assert "udev" in instrument("show", "sfifteen.tdc1").output


def test_an_instrument_of_a_node_is_found_by_its_name(tmp_path: Path) -> None:
    shown = instrument("show", "pump", "--node", "examples/two_nodes/alice.toml", "--json").json
    assert shown["instrument"]["serial"] == "DLC PRO_024817"  # type: ignore[index,call-overload]
    wrong = instrument("call", "pomp", "ping", "--node", "examples/two_nodes/alice.toml")
    assert wrong.status == 2
    assert "pump" in wrong.error
