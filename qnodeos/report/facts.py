"""The report in short, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qnodeos.report.gather import Figures, NodeRecord
from qnodeos.report.troubles import troubles

COUNTERS = ("delivered", "heralds", "test_rounds", "clock_losses", "tag_losses", "tag_overflows")
LAST = ("fidelity", "fidelity_low", "fidelity_high", "coincidences_cps", "ok_p99_ms")


def facts(record: NodeRecord) -> dict[str, Any]:
    """One node as JSON values: what was wrong, and each link's counts and last figures."""
    return {
        "node": record.name,
        "from_s": record.from_s,
        "until_s": record.until_s,
        "troubles": [asdict(each) for each in troubles(record)],
        "links": {name: _link(record.parts[f"link-{name}"]) for name in record.links()},
        "verifications": [
            {"time_s": each.time_s, "link": each.app.removeprefix("verify:"), **each.data}
            for each in record.results
        ],
    }


def _link(part: Figures) -> dict[str, float]:
    told = {name: part.gained(name) for name in COUNTERS if name in part.numbers}
    last = {name: part.last(name) for name in LAST}
    return told | {name: value for name, value in last.items() if value is not None}
