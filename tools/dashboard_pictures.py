"""Takes the pictures of docs/dashboard.md: every page, light and dark, and on a phone.

    python tools/dashboard_pictures.py      (Chromium, and the extras dashboard and test)

A network of its own runs for a minute before, so that there is something to see.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from shutil import which

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.dashboard_site import Site  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WARM_UP_S = 60.0
LOOKED_AT_MS = 6000
COLOURS = 160
FULL = ("dashboard-link", "dashboard-lab")
SIZES = {"": (1180, 820), "phone": (390, 780)}


def main() -> None:
    """Write docs/pictures/dashboard-PAGE-SCHEME.png."""
    with tempfile.TemporaryDirectory(prefix="qnodeos-") as folder:
        site = Site(Path(folder) / "net")
        calibrated(site.layout.node("alice"))
        with_tagger(site.layout.lab, site.layout.node("station"))
        try:
            site.up()
            time.sleep(WARM_UP_S)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=which("chromium"), args=["--no-sandbox"]
                )
                take(site, browser)
                browser.close()
        finally:
            site.down()


def calibrated(node: Path) -> None:
    """Let the node keep its photonic link in spec, which the example does not."""
    text = node.read_text(encoding="utf-8")
    before = "[links.memory]"
    assert before in text
    node.write_text(text.replace(before, f"[links.photonic.calibration]\n\n{before}", 1), "utf-8")


def with_tagger(lab: Path, station: Path) -> None:
    """Let the station see its photons, which the example does not."""
    photons = "photons = { lifetime_ns = 12.0 }\nclicks = { window_ns = 200.0, bin_ns = 400.0 }\n"
    text = lab.read_text(encoding="utf-8")
    for before, more in (
        ("visibility = 0.92", photons),
        (
            "[midpoints.station]",
            '[taggers.station]\ninputs = { 1 = "station.1", 2 = "station.2" }\n',
        ),
        (
            "station-midpoint =",
            'station-tagger = { type = "tdc1", of = "taggers.station", pty = "station-tagger" }\n',
        ),
    ):
        assert before in text
        text = text.replace(before, f"{more}{before}", 1)
    lab.write_text(text, encoding="utf-8")
    with station.open("a", encoding="utf-8") as file:
        file.write(
            '\n[links.memory.hom]\ntagger = "tagger"\nport_a = [1]\nport_b = [2]\n'
            'window_ps = "150 ns"\napart_ps = "400 ns"\n\n[instruments.tagger]\n'
            'driver = "sfifteen.tdc1"\nresource = "serial://run/station-tagger"\n'
            'settings = { level = "NIM" }\n'
        )


def take(site: Site, browser: Browser) -> None:
    """All pages; the last with something wrong."""
    links = {name: f"/link/{name}" for name in link_names(site, browser)}
    pages = {"overview": "/", **{f"link-{name}": path for name, path in links.items()}}
    pages |= {"node": "/node/alice", "history": "/history", "lab": "/lab"}
    site.fault("darks", "detectors.bob", size=3.0)  # for the lab's page to show; harmless
    for scheme in ("light", "dark"):
        for name, path in pages.items():
            picture(site, browser, path, f"dashboard-{name.split('@')[0]}-{scheme}", scheme)
    picture(site, browser, "/", "dashboard-phone-dark", "dark", size="phone")
    picture(site, browser, "/lab", "dashboard-phone-lab-light", "light", size="phone")
    site.fault("power-cycle", "instruments.alice-tagger", for_s=60.0)
    for scheme in ("light", "dark"):
        picture(site, browser, "/alarms", f"dashboard-alarms-{scheme}", scheme)


def link_names(site: Site, browser: Browser) -> list[str]:
    """As the overview has them."""
    page = browser.new_page()
    page.goto(site.url)
    page.wait_for_selector("a[href^='/link/']")
    found = {each.get_attribute("href") or "" for each in page.query_selector_all("a")}
    page.close()
    return sorted(each.removeprefix("/link/") for each in found if each.startswith("/link/"))


def picture(
    site: Site, browser: Browser, path: str, name: str, scheme: str, *, size: str = ""
) -> None:
    """One page, after some seconds of life, with few colours."""
    width, height = SIZES[size]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page.goto(site.url + path)
    page.wait_for_selector("nav")
    page.wait_for_timeout(LOOKED_AT_MS)
    file = PICTURES / f"{name}.png"
    page.screenshot(path=str(file), full_page=name.startswith(FULL))
    page.close()
    with Image.open(file) as taken:
        taken.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)} {file.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
