"""The dashboard in a real browser, on a network of real processes and a simulated lab."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.dashboard_site import Site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip(
        "there is no Chromium; on Debian: apt-get install chromium", allow_module_level=True
    )
sync_api = pytest.importorskip("playwright.sync_api")

SEEN_MS = 20_000
"""Long enough for a machine that does other things; how long it takes is a benchmark's matter."""

FRAMES = 6
"""The first three open the connection, each further one is a turn of the page."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("dashboard") / "net")
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(SEEN_MS)
    yield page
    page.close()


def open_live(page: Any, address: str, frames: int) -> None:
    """Open a page, and wait until the server has sent so many frames: some turns of its texts and
    plots have been drawn then."""
    with page.expect_websocket() as opened:
        page.goto(address)
    page.wait_for_selector("nav")
    for _ in range(frames):
        opened.value.wait_for_event("framereceived", timeout=SEEN_MS)


def links_of(site: Site, page: Any) -> list[str]:
    page.goto(site.url)
    page.wait_for_selector("a[href^='/link/']")
    return [each.get_attribute("href") for each in page.query_selector_all("a[href^='/link/']")]


def test_every_page_opens_without_an_error(site: Site, page: Any) -> None:
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda r: wrong.append(r.url) if not r.url.startswith((site.url, "data:", "ws:")) else None,
    )
    nodes = [f"/node/{name}" for name in ("alice", "bob", "station")]
    live = ["/", "/lab", *sorted(set(links_of(site, page))), *nodes]
    for path in [*live, "/alarms", "/history"]:
        open_live(page, site.url + path, FRAMES if path in live else 1)
        if path == "/history":
            page.wait_for_selector("canvas")
        wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        assert not wide, f"{path} is wider than the window"
    assert wrong == []


def test_a_page_is_live(site: Site, page: Any) -> None:
    photonic = next(each for each in links_of(site, page) if "photonic" in each)
    page.goto(site.url + photonic)
    page.wait_for_selector("canvas")
    before = page.inner_text("body")
    page.wait_for_function("before => document.body.innerText !== before", arg=before)
    drawn = "() => document.querySelector('canvas').toDataURL()"
    picture = page.evaluate(drawn)
    page.wait_for_function(f"before => ({drawn})() !== before", arg=picture)


def test_a_fault_in_the_lab_is_an_alarm_and_goes_with_it(site: Site, page: Any) -> None:
    page.goto(site.url)
    page.wait_for_selector("nav")
    site.fault("power-cycle", "instruments.alice-tagger", for_s=4.0)
    alarm = "[data-key='instrument/alice/tagger']"
    page.wait_for_selector(alarm)
    assert "alice / tagger" in page.inner_text(alarm)
    page.wait_for_selector(alarm, state="detached")


def test_it_survives_a_node_that_is_killed_and_comes_back(site: Site, page: Any) -> None:
    page.goto(site.url + "/node/bob")
    page.wait_for_selector("nav")
    site.stop("bob", signal.SIGKILL)
    try:
        page.goto(site.url)
        alarm = "[data-key='node/bob']"
        page.wait_for_selector(alarm)
        assert "bob" in page.inner_text(alarm)
    finally:
        site.start("bob")
    page.wait_for_selector(alarm, state="detached")


def test_a_page_survives_the_dashboard_itself(site: Site, page: Any) -> None:
    photonic = next(each for each in links_of(site, page) if "photonic" in each)
    page.goto(site.url + photonic)
    page.wait_for_selector("canvas")
    site.stop("dashboard")
    site.start("dashboard")
    site.reachable()
    # The page comes back by itself, live.
    page.wait_for_selector("canvas")
    before = page.inner_text("body")
    page.wait_for_function("before => document.body.innerText !== before", arg=before)


def test_nothing_is_done_without_the_token(site: Site, page: Any) -> None:
    page.goto(site.url)
    page.wait_for_selector("nav")
    site.fault("power-cycle", "instruments.bob-tagger", for_s=15.0)
    alarm = "[data-key='instrument/bob/tagger']"
    button = f"{alarm} button"
    page.wait_for_selector(button)
    for token, done in (("wrong", False), (site.token, True)):
        page.click(button)
        page.fill("input", token)
        page.click("text=Do it")
        if done:
            page.wait_for_selector(f"{alarm}:has-text('acknowledged')")
        else:
            page.wait_for_selector("text=token")
            assert "acknowledged" not in page.inner_text(alarm)


def test_it_is_read_on_a_phone(site: Site, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page.set_default_timeout(SEEN_MS)
    live = ["/", "/lab", *sorted(set(links_of(site, page)))]
    for path in [*live, "/alarms"]:
        open_live(page, site.url + path, FRAMES if path in live else 1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.close()


def test_what_is_not_there_says_so(site: Site, page: Any) -> None:
    page.goto(site.url + "/link/nothing")
    page.wait_for_selector("text=There is no link nothing here.")
    page.click("text=To the overview")
    page.wait_for_selector("nav")


def test_the_lab_is_broken_and_mended_from_its_page(site: Site, page: Any) -> None:
    open_live(page, site.url + "/lab", FRAMES)
    assert "This is the lab, not the nodes." in page.inner_text("main")
    page.click("[data-act='lab-fault'][data-of='instruments.alice-analyzer']")
    page.click("label:has-text('What')")
    page.click(".q-item:has-text('power-cycle')")
    for token in ("wrong", site.token):
        page.get_by_label("Token").fill(token)
        page.click("text=Do it")
        if token == "wrong":
            page.wait_for_selector("text=This is not the token.")
            assert "power-cycle" not in page.inner_text("[data-part='faults']")
            page.click("[data-act='lab-fault'][data-of='instruments.alice-analyzer']")
            page.click("label:has-text('What')")
            page.click(".q-item:has-text('power-cycle')")
    row = "[data-part='faults'] tr:has-text('alice-analyzer'):has-text('power-cycle')"
    back = f"{row} [data-act='lab-end']"
    page.wait_for_selector(back)
    page.click("nav a[href='/alarms']")
    alarm = "[data-key='instrument/alice/analyzer']"
    page.wait_for_selector(alarm)
    page.click("nav a[href='/lab']")
    page.click(back)
    page.get_by_label("Token").fill(site.token)
    page.click("text=Do it")
    page.wait_for_selector(back, state="detached")
    page.click("nav a[href='/alarms']")
    page.wait_for_selector(alarm, state="detached")


def test_a_value_of_the_lab_is_changed(site: Site, page: Any) -> None:
    page.goto(site.url + "/lab")
    value = "[data-act='lab-set'][data-of='channels.bob.loss_db']"
    for told, shown in (("lots", "6"), ("6.5", "6.5"), ("6", "6")):
        page.click(value)
        page.get_by_label("Value").fill(told)
        page.get_by_label("Token").fill(site.token)
        page.click("text=Do it")
        if told == "lots":
            page.wait_for_selector("text=channels.bob.loss_db: found 'lots'")
        page.wait_for_selector(f"{value}:text-is('{shown}')")


def test_a_lab_that_is_gone_is_said_to_be_and_comes_back(site: Site, page: Any) -> None:
    page.goto(site.url + "/lab")
    page.wait_for_selector("[data-part='title'] .chip:has-text('running')")
    site.stop("lab")
    page.wait_for_selector("[data-part='title'] .chip:has-text('gone')")
    assert page.query_selector("[data-act='lab-set']") is None
    site.start("lab")
    page.wait_for_selector("[data-part='title'] .chip:has-text('running')")
    page.wait_for_selector("[data-act='lab-set']")
