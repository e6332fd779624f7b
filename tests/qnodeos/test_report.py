"""`qnodeos report`: the page and the data say what the journal holds, and need nothing else."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from qnodeos.cli import app
from qnodeos.errors import UserError
from qnodeos.report.gather import gather
from qnodeos.report.instants import instant
from qnodeos.report.svg import COLUMNS, Series, plot, thinned
from qnodeos.report.troubles import Trouble, troubles
from qnodeos.schema import open_journal

xarray = pytest.importorskip("xarray")

T0 = 1_767_225_600.0
VERIFIED = {
    "bell_state": "PHI_PLUS",
    "pairs": 900,
    "correlators": {},
    "qber": {"Z": [0.021, 0.004], "X": [0.025, 0.005]},
    "chsh": [2.71, 0.05],
    "significance": 14.2,
    "state_fidelity": None,
    "concurrence": None,
    "fidelity": [0.957, 0.006],
    "interval": [0.945, 0.968],
}


def status(k: int, delivered: int) -> dict[str, Any]:
    return {
        "of": "link-photonic",
        "ready": k % 10 != 9,
        "clock": "tracking" if k > 5 else "acquiring",
        "delivered": delivered,
        "fidelity": 0.96,
        "fidelity_low": 0.95,
        "fidelity_high": 0.97,
        "coincidences_cps": 2900.0 + k,
        "clock_residual_ps": 15.0,
    }


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A night in small: two minutes, a tagger that was lost, an alarm, a crash and a restart."""
    database = open_journal(tmp_path / "alice" / "journal.sqlite")

    rows: list[tuple[float, str, str]] = []

    def event(at_s: float, kind: str, **data: Any) -> None:
        rows.append((T0 + at_s, kind, json.dumps(data)))

    def told(at_s: float, name: str, state: str, reason: str = "") -> None:
        event(at_s, "instrument", name=name, driver="x", state=state, identity="", reason=reason)

    event(0, "start", node="alice", config="/etc/alice.toml", clock_s=0.0)
    event(
        0,
        "configuration",
        config={"node": {"name": "alice"}, "note": "<script>alert(1)</script>"},
        versions={"qnodeos": "0.1.0"},
    )
    for k in range(60):
        event(1 + k, "status", **status(k, 10 * k))
    told(20, "tagger", "absent", "no answer & <silence>")
    told(32, "tagger", "online")
    event(40, "alarm", key="guard", text="nothing is armed")
    event(45, "alarm", key="guard", text="")
    event(50, "peer", peer="bob", state="down", reason="silent")
    event(70, "start", node="alice", config="/etc/alice.toml", clock_s=0.0)
    for k in range(49):
        event(71 + k, "status", **status(k, 5 * k))
    rows.sort(key=lambda each: each[0])
    database.executemany("INSERT INTO events (time_s, kind, data) VALUES (?, ?, ?)", rows)
    database.execute(
        "INSERT INTO results (time_s, app, data) VALUES (?, ?, ?)",
        (T0 + 80, "verify:photonic", json.dumps(VERIFIED)),
    )
    for k, state in enumerate(("done", "failed", "active")):
        database.execute(
            "INSERT INTO requests VALUES (?, ?, 'M', 'alice', 'key', 100, 0.9, ?, ?, ?, ?, ?)",
            ("photonic", str(k), state, 100 - 50 * k, "too slow" * (k == 1), T0 + k, T0 + 9),
        )
    database.close()
    return tmp_path / "alice"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert result.exception is None, result.output
    return result.stdout


class Outside(HTMLParser):
    """Whatever a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [each for each in attrs if each[0] in ("src", "href", "srcset", "onload")]
        if tag in ("script", "link", "iframe", "object"):
            self.found.append((tag, None))


def test_the_page_is_whole_in_itself_and_says_what_was_wrong(node: Path, tmp_path: Path) -> None:
    page = tmp_path / "night.html"
    assert "alice" in run(node, "-o", page)
    text = page.read_text(encoding="utf-8")
    outside = Outside()
    outside.feed(text)
    assert outside.found == []
    assert "url(" not in text
    assert "<script>" not in text
    assert "no answer &amp; &lt;silence&gt;" in text
    for words in ("instrument tagger", "alarm guard", "peer bob", "too slow", "0.9570 ± 0.0060"):
        assert words in text
    assert outside.tags.count("svg") >= 4
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)


def test_troubles_have_their_beginning_and_end_and_a_crash_ends_them(node: Path) -> None:
    found = troubles(gather(node / "journal.sqlite"))
    assert [
        (each.what, each.state, each.from_s - T0, each.until_s - T0, each.open) for each in found
    ] == [
        ("instrument tagger", "absent", 20, 32, False),
        ("alarm guard", "raised", 40, 45, False),
        ("peer bob", "down", 50, 60, False),
        ("node", "down", 60, 70, False),
    ]


def test_what_still_goes_on_is_told_as_such(node: Path) -> None:
    record = gather(node / "journal.sqlite", until_s=T0 + 30)
    (found,) = troubles(record)
    assert found == Trouble(
        "instrument tagger", "absent", "no answer & <silence>", T0 + 20, T0 + 30, True
    )


def test_counters_are_counted_over_restarts(node: Path) -> None:
    record = gather(node / "journal.sqlite")
    assert record.parts["link-photonic"].gained("delivered") == 10 * 59 + 5 * 48
    later = gather(node / "journal.sqlite", since_s=T0 + 30.5, until_s=T0 + 60)
    assert later.parts["link-photonic"].gained("delivered") == 10 * 29


def test_the_data_open_in_xarray_with_times_units_and_gaps(node: Path, tmp_path: Path) -> None:
    data = tmp_path / "night.h5"
    run(node, "-o", tmp_path / "night.html", "--data", data)
    with xarray.open_dataset(data, engine="h5netcdf", group="alice/link-photonic") as link:
        assert link.sizes == {"time": 109}
        assert link.time.values[0] == np.datetime64("2026-01-01T00:00:01")
        assert link.coincidences_cps.attrs["units"] == "s-1"
        assert link.clock_residual_ps.attrs["units"] == "ps"
        assert link.delivered.values[59] == 590
        slow = link.coincidences_cps.sel(time=slice("2026-01-01T00:01:00", None))
        assert len(slow) == 50
    with xarray.open_dataset(data, engine="h5netcdf", group="alice/troubles") as wrong:
        assert list(wrong.what.values) == ["instrument tagger", "alarm guard", "peer bob", "node"]
        assert list(wrong.lasted_s.values) == [12, 5, 10, 10]
    with xarray.open_dataset(data, engine="h5netcdf", group="alice/verifications") as verified:
        assert verified.fidelity.values == [0.957]
    with xarray.open_dataset(data, engine="h5netcdf", group="alice/changes") as changes:
        assert list(changes.word.values) == ["acquiring", "tracking"] * 2


def test_a_span_can_be_asked_for_and_one_without_anything_is_refused(
    node: Path, tmp_path: Path
) -> None:
    page = tmp_path / "night.html"
    run(node, "--since", "45s", "-o", page)
    assert "instrument tagger" not in page.read_text()
    result = CliRunner().invoke(app, ["report", str(node), "--since", "2030-01-01"])
    assert isinstance(result.exception, UserError)
    assert "nothing to report" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", T0 - 90),
        ("30min", T0 - 1800),
        ("8h", T0 - 28800),
        ("1.5d", T0 - 129600),
        ("2026-01-01T01:00", T0 + 3600),
        ("2026-01-01T01:00+01:00", T0),
    ],
)
def test_instants_are_taken_as_people_write_them(text: str, expected: float) -> None:
    assert instant(text, T0, "--since") == expected


def test_what_is_no_instant_is_refused() -> None:
    with pytest.raises(UserError, match="--since is no instant"):
        instant("yesterday", T0, "--since")


def test_a_long_night_is_thinned_to_its_lowest_and_highest() -> None:
    value = np.ones(100_000)
    value[12_345], value[77_777] = -5.0, 9.0
    times = np.arange(100_000.0)
    few = thinned(Series("x", times, value))
    assert len(few.time_s) <= 2 * COLUMNS
    assert (few.value.min(), few.value.max()) == (-5.0, 9.0)
    assert few.time_s[few.value.argmax()] == 77_777


def test_a_line_is_broken_where_nothing_was_told() -> None:
    times = np.concatenate((np.arange(100.0), np.arange(200.0, 300.0)))
    drawn = plot("x", "", [Series("x", times, times)], 0.0, 300.0)
    lines = re.findall(r'class="line s0"', drawn)
    assert len(lines) == 2


def test_nothing_is_drawn_of_what_was_never_told() -> None:
    nothing = np.array([np.nan, np.nan])
    assert plot("x", "", [Series("x", np.arange(2.0), nothing)], 0.0, 1.0) == ""


def test_a_running_node_notes_its_alarms_and_configuration_without_secrets(tmp_path: Path) -> None:
    from qnodeos.config import load_node
    from qnodeos.config.described import described

    text = (Path(__file__).parents[2] / "examples" / "two_nodes" / "alice.toml").read_text()
    text = text.replace("${BROKER_URL:-mqtt://127.0.0.1:7183}", "mqtt://user:hush@host:1883")
    text = text.replace("options = { counts_port = 7113 }", 'options = { password = "hush" }')
    for key in ("alice.key_secret", "bob.key", "station.key"):
        (tmp_path / "keys").mkdir(exist_ok=True)
        (tmp_path / "keys" / key).touch()
    (tmp_path / "alice.toml").write_text(text)
    told = described(load_node(tmp_path / "alice.toml"))
    assert "hush" not in json.dumps(told)
    assert told["config"]["node"]["name"] == "alice"
    assert told["config"]["wire"]["secret_key"].endswith("alice.key_secret")
    assert told["versions"]["numpy"] == np.__version__


def test_an_alarm_is_journaled_once_a_change(tmp_path: Path) -> None:
    from qnodeos.bus import Bus

    heard: list[tuple[str, str]] = []
    bus = Bus("mqtt://127.0.0.1:1", "alice", on_alarm=lambda *told: heard.append(told))
    for text in ("a", "a", "b"):
        bus.alarm("guard", text)
    bus.clear_alarm("guard")
    bus.clear_alarm("guard")
    assert heard == [("guard", "a"), ("guard", "b"), ("guard", "")]


def test_the_journal_is_only_read(node: Path, tmp_path: Path) -> None:
    before = (node / "journal.sqlite").read_bytes()
    run(node, "-o", tmp_path / "night.html")
    assert (node / "journal.sqlite").read_bytes() == before
    with pytest.raises(UserError, match="no such journal"):
        gather(tmp_path / "nobody" / "journal.sqlite")


def test_programs_are_told_in_json(node: Path, tmp_path: Path) -> None:
    told = json.loads(run(node, "-o", tmp_path / "night.html", "--json"))
    (alice,) = told["nodes"]
    assert alice["links"]["photonic"]["delivered"] == 830
    assert alice["troubles"][0]["what"] == "instrument tagger"
    assert alice["verifications"][0]["chsh"] == [2.71, 0.05]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_asking_anybody(node: Path, tmp_path: Path, width: int) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium here")
    page_file = tmp_path / "night.html"
    run(node, "-o", page_file)
    complaints: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda asked: complaints.append(asked.url))
        page.goto(page_file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.get_by_text("alarm guard").first.is_visible()
        page.get_by_text("requests refused or failed").click()
        assert page.get_by_text("too slow").is_visible()
        browser.close()
    assert complaints == [page_file.as_uri()]
