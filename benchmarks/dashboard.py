"""What the dashboard costs, and how soon it shows what is wrong; a network of real processes.

Needs Chromium. The browser itself is not counted: it runs where the person sits.
"""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.frame import CannotRunError, Row, benchmark

MEASURED_S = 15.0
SETTLE_S = 15.0
TURNS, TURN_S = 10, 2.5
"""The dashboard is stopped and let go on so often, for what it costs a node."""

FAULTS = (
    ("power-cycle", "instruments.alice-pump", "instrument/alice/pump"),
    ("cut", "channels.alice", "clock/photonic@alice-bob"),
)
FAULT_S = 6.0
SEEN_LIMIT_MS = 30_000
WATCHES = """key => { window.seenAt = 0; const look = () => {
  if (!window.seenAt && document.querySelector(`[data-key='${key}']`)) window.seenAt = Date.now();
}; new MutationObserver(look).observe(document.body, {subtree: true, childList: true}); look(); }"""


@benchmark("dashboard", "processor time of the dashboard and of the nodes it asks; fault to alarm")
def run() -> list[Row]:
    """Nobody looking, then one browser with its live plots; then faults in the lab.

    A photonic link's page has six plots, so 5 % for five of them is held by more than is asked.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise CannotRunError("pip install playwright nicegui") from error
    from benchmarks.dashboard_site import Site

    chromium = shutil.which("chromium")
    if chromium is None:
        raise CannotRunError("there is no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        site = Site(Path(folder) / "net")
        try:
            site.up()
            time.sleep(SETTLE_S)
            nobody = _shares(site, MEASURED_S)
            more, more_error = _more(site)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                page = browser.new_page()
                frames: list[float] = []
                page.on(
                    "websocket",
                    lambda ws: ws.on("framereceived", lambda _: frames.append(time.monotonic())),
                )
                page.goto(site.url + "/link/photonic@alice-bob")
                page.wait_for_selector("canvas")
                plots = page.locator("canvas").count()
                page.evaluate("1")  # what has come is taken in
                before = len(frames)
                began_s = time.monotonic()
                watched = _shares(site, MEASURED_S)
                page.evaluate("1")
                rate_hz = (len(frames) - before) / (time.monotonic() - began_s)
                delays = [_delay_s(site, page, *fault) for fault in FAULTS]
                browser.close()
        finally:
            site.down()
    rows = [
        Row(f"dashboard, a browser with {plots} live plots", watched["dashboard"], "%", at_most=5),
        Row("increments that the browser got", rate_hz, "1/s", at_least=9.0),
        Row("dashboard, nobody looking", nobody["dashboard"], "%", at_most=1),
        Row("node, more for a dashboard nobody looks at", more, "%", at_most=1),
        Row("its standard error", more_error, "%"),
        Row("node, nobody looking", nobody["alice"], "%"),
        Row("node, a browser with live plots", watched["alice"], "%"),
    ]
    rows += [
        Row(f"from {kind} of {of} to the alarm on the page", delay_s, "s", at_most=2.0)
        for (kind, of, _), delay_s in zip(FAULTS, delays, strict=True)
    ]
    return rows


def _more(site: Any) -> tuple[float, float]:
    """What a dashboard that nobody looks at costs a node, in percent of a core, and the standard
    error: it asks and does not ask in turns, because a node alone varies by more than that."""
    dashboard = psutil.Process(site.pids["dashboard"])
    differences = []
    for _ in range(TURNS):
        asked = _shares(site, TURN_S)["alice"]
        dashboard.suspend()
        try:
            differences.append(asked - _shares(site, TURN_S)["alice"])
        finally:
            dashboard.resume()
    return statistics.mean(differences), statistics.stdev(differences) / math.sqrt(TURNS)


def _shares(site: Any, seconds: float) -> dict[str, float]:
    """Percent of one core that each process takes for a while."""
    processes = {name: psutil.Process(pid) for name, pid in site.pids.items()}
    before = {name: _cpu_s(process) for name, process in processes.items()}
    began_s = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    return {
        name: 100 * (_cpu_s(process) - before[name]) / took_s for name, process in processes.items()
    }


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _delay_s(site: Any, page: Any, kind: str, of: str, key: str) -> float:
    """From a fault in the lab until the page shows its alarm, by the page's own clock."""
    page.goto(site.url + "/alarms")
    page.wait_for_selector("nav")
    page.wait_for_selector(f"[data-key='{key}']", state="detached", timeout=SEEN_LIMIT_MS)
    page.evaluate(WATCHES, key)
    began_ms = page.evaluate("Date.now()")
    site.fault(kind, of, for_s=FAULT_S)
    page.wait_for_function("window.seenAt > 0", timeout=SEEN_LIMIT_MS)
    seen_ms = page.evaluate("window.seenAt")
    page.wait_for_selector(f"[data-key='{key}']", state="detached", timeout=SEEN_LIMIT_MS)
    return float(seen_ms - began_ms) / 1e3
