"""Writes packaging/grafana/qnodeos.json: `python tools/grafana_dashboard.py` after a change here.

A dashboard's JSON is long and repeats itself; here a panel is a line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "packaging" / "grafana" / "qnodeos.json"
LINKS = '{node=~"$node",part=~"link-.*"}'
NODES = '{node=~"$node"}'
SOURCE = {"type": "prometheus", "uid": "${source}"}

Query = tuple[str, str]
"""Expression and legend."""


def rate(figure: str, where: str = LINKS) -> str:
    """A counter's figure as a rate over the last five minutes."""
    return f"rate({figure}{where}[5m])"


# title, unit of Grafana, queries; an empty list of queries begins a row.
PANELS: list[tuple[str, str, list[Query]]] = [
    ("Indicators and their targets", "", []),
    ("Pairs delivered", "pairs/s", [
        (rate("qnodeos_delivered"), "{{node}} {{part}}"),
        (f"qnodeos_target_pairs_per_s{LINKS}", "target {{node}} {{part}}"),
    ]),
    ("Fidelity, 95 %", "none", [
        (f"qnodeos_fidelity{LINKS}", "{{node}} {{part}}"),
        (f"qnodeos_fidelity_low{LINKS}", "low {{node}} {{part}}"),
        (f"qnodeos_fidelity_high{LINKS}", "high {{node}} {{part}}"),
        (f"qnodeos_target_fidelity{LINKS}", "target {{node}} {{part}}"),
    ]),
    ("Heralding efficiency", "percentunit", [
        (f"qnodeos_heralding_efficiency{LINKS}", "{{node}} {{part}}"),
        (f"qnodeos_target_heralding_efficiency{LINKS}", "target {{node}} {{part}}"),
    ]),
    ("Memory: measured lifetime, stated T1 and T2", "s", [
        (f"qnodeos_lifetime_s{LINKS}", "lifetime {{node}} {{part}}"),
        (f"qnodeos_t1_s{LINKS}", "T1 {{node}} {{part}}"),
        (f"qnodeos_t2_s{LINKS}", "T2 {{node}} {{part}}"),
        (f"qnodeos_target_lifetime_s{LINKS}", "target {{node}} {{part}}"),
    ]),
    ("Feed-forward, herald to correction", "ms", [
        (f"qnodeos_correction_p99_ms{LINKS}", "p99 {{node}} {{part}}"),
        (f"qnodeos_correction_p50_ms{LINKS}", "p50 {{node}} {{part}}"),
        (f"qnodeos_target_correction_p99_ms{LINKS}", "target {{node}} {{part}}"),
    ]),
    ("Uptime", "s", [(f"qnodeos_up_s{NODES}", "{{node}}")]),
    ("Links", "", []),
    ("Ready", "bool_on_off", [(f"qnodeos_ready{LINKS}", "{{node}} {{part}}")]),
    ("Heralds and test rounds", "ops", [
        (rate("qnodeos_heralds"), "heralds {{node}} {{part}}"),
        (rate("qnodeos_test_rounds"), "tests {{node}} {{part}}"),
    ]),
    ("Counts", "cps", [
        (f"qnodeos_singles_local_cps{LINKS}", "singles {{node}}"),
        (f"qnodeos_singles_remote_cps{LINKS}", "singles of the far end {{node}}"),
        (f"qnodeos_coincidences_cps{LINKS}", "coincidences {{node}}"),
        (f"qnodeos_accidentals_cps{LINKS}", "accidentals {{node}}"),
    ]),
    ("Correlators", "none", [
        (f"qnodeos_correlator_{basis}{LINKS}", f"{basis.upper()} {{{{node}}}}")
        for basis in ("xx", "yy", "zz")
    ]),
    ("Clock: residual, bound, uncertainty", "ps", [
        (f"qnodeos_clock_residual_ps{LINKS}", "residual {{node}}"),
        (f"qnodeos_clock_bound_ps{LINKS}", "bound {{node}}"),
        (f"qnodeos_clock_uncertainty_ps{LINKS}", "uncertainty {{node}}"),
    ]),
    ("Skew", "ppm", [(f"qnodeos_skew_ppm{LINKS}", "{{node}} {{part}}")]),
    ("Node", "", []),
    ("Instruments online", "bool_on_off", [(f"qnodeos_online{NODES}", "{{node}} {{part}}")]),
    ("Peers up", "bool_on_off", [(f"qnodeos_up{NODES}", "{{node}} {{part}}")]),
    ("Alarms", "none", [(f"qnodeos_alarms{NODES}", "{{node}}")]),
    ("Event loop: lateness", "s", [(f"qnodeos_late_s{NODES}", "{{node}}")]),
    ("Lost or dropped", "ops", [
        (rate("qnodeos_deliveries_dropped"), "deliveries {{node}} {{part}}"),
        (rate("qnodeos_tag_losses"), "tags lost {{node}} {{part}}"),
        (rate("qnodeos_tag_overflows"), "overflows {{node}} {{part}}"),
        (rate("qnodeos_corrections_late"), "corrections late {{node}} {{part}}"),
    ]),
]  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The whole dashboard, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y, column = 0, 0
    for number, (title, unit, queries) in enumerate(PANELS, start=1):
        if not queries:
            y += 8 * (column > 0)
            place = {"h": 1, "w": 24, "x": 0, "y": y}
            panels.append({"id": number, "type": "row", "title": title, "gridPos": place})
            y, column = y + 1, 0
            continue
        if column == 3:
            y, column = y + 8, 0
        place = {"h": 8, "w": 8, "x": 8 * column, "y": y}
        panels.append(_panel(number, title, unit, queries, place))
        column += 1
    return {
        "__inputs": [],
        "title": "qnodeos",
        "uid": "qnodeos",
        "tags": ["quantum network"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "node",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": "label_values(qnodeos_up_s, node)",
                    "includeAll": True,
                    "multi": True,
                    "refresh": 2,
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": panels,
    }


def _panel(
    number: int, title: str, unit: str, queries: list[Query], place: dict[str, int]
) -> dict[str, Any]:
    dashed = {
        "matcher": {"id": "byRegexp", "options": "/^target/"},
        "properties": [
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}},
            {"id": "color", "value": {"mode": "fixed", "fixedColor": "orange"}},
        ],
    }
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": [dashed]},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend}
            for i, (expression, legend) in enumerate(queries)
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n")
