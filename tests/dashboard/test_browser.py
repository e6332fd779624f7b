"""The dashboard as an operator has it: in a browser, over a network that runs and fails."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(110)]

LINK = "photonic@alice-bob"
UP = "() => document.querySelectorAll('.alarms li').length === 0 && !!document.querySelector('nav')"

# When something first stands on the page, by the page's own clock.
STANDS = """key => new Promise(found => {
  const look = () => document.querySelector(`[data-key="${key}"]`) && found(Date.now());
  new MutationObserver(look).observe(document.body,
    {subtree: true, childList: true, attributes: true});
  look();
})"""


def calm(page: Any) -> None:
    """Wait until nothing is wrong; say what is, where that does not come."""
    try:
        page.wait_for_function(
            UP, timeout=80_000
        )  # a first clock takes its time on a busy computer
    except Exception as error:
        raise AssertionError(page.inner_text("main")) from error


def change(page: Any, selector: str) -> None:
    """Wait until the words there are others than now."""
    was = page.inner_text(selector)
    page.wait_for_function(
        "([where, was]) => document.querySelector(where)?.innerText !== was", arg=[selector, was]
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "Link photonic"),
        (f"/link/{LINK}", "Fidelity"),
        ("/link/memory@alice-bob", "Fidelity"),
        ("/node/alice", "pump"),
        ("/alarms", "Alarms"),
        (f"/history?link={LINK}&over=hour", "hour"),
    ],
)
def test_each_page_opens_and_complains_of_nothing(page: Any, site: Any, path: str, words: str):
    page.goto(site.url + path)
    page.wait_for_selector("main nav")
    page.get_by_text(words).first.wait_for()
    assert page.said == []


def test_figures_and_plots_are_live(page: Any, site: Any):
    calm(page)
    page.goto(f"{site.url}/link/{LINK}")
    page.wait_for_selector("[data-plot] canvas")
    change(page, "main")
    change(page, "main")
    assert page.said == []


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        ({"kind": "power-cycle", "of": "instruments.alice-pump"}, "instrument/alice/pump"),
        ({"kind": "cut", "of": "channels.alice"}, f"clock/{LINK}"),
    ],
)
def test_a_fault_in_the_lab_shows_as_its_alarm_and_goes(
    page: Any, site: Any, fault: dict[str, Any], key: str
):
    calm(page)
    began_ms = page.evaluate("Date.now()")
    number = site.ask_lab("/fault", {**fault, "for_s": 6.0})["n"]
    shown_ms = page.evaluate(STANDS, key)
    print(f"{fault['kind']}: {key} after {(shown_ms - began_ms) / 1000:.2f} s (fault {number})")
    page.wait_for_selector(f'[data-key="{key}"]', state="detached")


def test_a_node_that_dies_is_told_and_missed_no_longer_when_it_is_back(page: Any, site: Any):
    calm(page)
    site.kill("alice")
    page.wait_for_selector('[data-key="node/alice"]')
    site.start("alice")
    page.wait_for_selector('[data-key="node/alice"]', state="detached")


def test_an_open_page_goes_on_after_the_dashboard_was_restarted(page: Any, site: Any):
    calm(page)
    site.kill("dashboard")
    site.start("dashboard")
    # The page that was open finds its way back without anybody reloading it.
    calm(page)
    change(page, "main")
    change(page, "main")
