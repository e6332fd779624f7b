"""What the dashboard costs, and how soon it shows what is wrong; a network of real processes.

Needs Chromium. The browser itself is not counted: it runs where the person sits.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.frame import CannotRunError, Row, benchmark

MEASURED_S = 20.0
SETTLE_S = 20.0
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
    """Nobody looking, then one browser with its live plots; then faults in the lab."""
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
            nobody = _shares(site)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                page = browser.new_page()
                page.goto(site.url + "/link/photonic@alice-bob")
                page.wait_for_selector("canvas")
                plots = page.locator("canvas").count()
                watched = _shares(site)
                delays = [_delay_s(site, page, *fault) for fault in FAULTS]
                browser.close()
            site.stop("dashboard")
            alone = _shares(site)
        finally:
            site.down()
    rows = [
        Row(f"dashboard, a browser with {plots} live plots", watched["dashboard"], "%", at_most=5),
        Row("dashboard, nobody looking", nobody["dashboard"], "%"),
        Row("node, more for a dashboard nobody looks at", nobody["alice"] - alone["alice"], "%"),
        Row("node, more for a browser", watched["alice"] - alone["alice"], "%"),
        Row("node without a dashboard", alone["alice"], "%"),
    ]
    rows += [
        Row(f"from {kind} of {of} to the alarm on the page", delay_s, "s", at_most=2.0)
        for (kind, of, _), delay_s in zip(FAULTS, delays, strict=True)
    ]
    return rows


def _shares(site: Any) -> dict[str, float]:
    """Percent of one core that each process takes for a while."""
    processes = {name: psutil.Process(pid) for name, pid in site.pids.items()}
    before = {name: _cpu_s(process) for name, process in processes.items()}
    began_s = time.monotonic()
    time.sleep(MEASURED_S)
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
