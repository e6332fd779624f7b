"""Prometheus' own tool reads the shipped alerts, and fires each of them when it should."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ALERTS = Path(__file__).parents[2] / "packaging" / "prometheus" / "qnodeos-alerts.yml"
PROMTOOL = shutil.which("promtool")
LINK = '{node="alice", part="link-memory", job="qnodeos", instance="rack"}'
NODE = '{node="alice", part="node", job="qnodeos", instance="rack"}'
UP = 'up{job="qnodeos", instance="rack"}'
CLOCK = LINK.replace("}", ', figure="clock", word="lost"}')

# By alert: series that wake somebody within 20 minutes, and series of a network that is well
# enough. `a+bxn` is Prometheus' notation for n more samples, one a minute, each b higher.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "FidelityBelowTarget": (
        {f"qnodeos_fidelity_high{LINK}": "0.85x20", f"qnodeos_target_fidelity{LINK}": "0.9x20"},
        {f"qnodeos_fidelity_high{LINK}": "0.91x20", f"qnodeos_target_fidelity{LINK}": "0.9x20"},
    ),
    "RateBelowTarget": (
        {
            f"qnodeos_delivered{LINK}": "0+60x20",
            f"qnodeos_requests{LINK}": "1x20",
            f"qnodeos_target_pairs_per_s{LINK}": "2x20",
        },
        {
            f"qnodeos_delivered{LINK}": "0x20",
            f"qnodeos_requests{LINK}": "0x20",
            f"qnodeos_target_pairs_per_s{LINK}": "2x20",
        },
    ),
    "HeraldingBelowTarget": (
        {
            f"qnodeos_heralding_efficiency{LINK}": "0.001x20",
            f"qnodeos_target_heralding_efficiency{LINK}": "0.002x20",
        },
        {f"qnodeos_heralding_efficiency{LINK}": "0.001x20"},
    ),
    "MemoryLifetimeBelowTarget": (
        {f"qnodeos_lifetime_s{LINK}": "0.1x20", f"qnodeos_target_lifetime_s{LINK}": "0.5x20"},
        {f"qnodeos_lifetime_s{LINK}": "0.6x20", f"qnodeos_target_lifetime_s{LINK}": "0.5x20"},
    ),
    "FeedForwardSlow": (
        {
            f"qnodeos_correction_p99_ms{LINK}": "3x20",
            f"qnodeos_target_correction_p99_ms{LINK}": "2x20",
        },
        {
            f"qnodeos_correction_p99_ms{LINK}": "3x3 1x17",
            f"qnodeos_target_correction_p99_ms{LINK}": "2x20",
        },
    ),
    "UptimeBelowTarget": ({UP: "0x1 1x19"}, {UP: "1x20"}),
    "NodeDown": ({UP: "1x10 0x10"}, {UP: "1x20"}),
    "NodeAlarm": ({f"qnodeos_alarms{NODE}": "2x20"}, {f"qnodeos_alarms{NODE}": "0x20"}),
    "LinkNotReady": ({f"qnodeos_ready{LINK}": "0x20"}, {f"qnodeos_ready{LINK}": "0x2 1x18"}),
    "ClockLost": ({f"qnodeos_info{CLOCK}": "1x20"}, {f"qnodeos_info{CLOCK}": "0x20"}),
    "InstrumentOffline": ({f"qnodeos_online{LINK}": "0x20"}, {f"qnodeos_online{LINK}": "1x20"}),
    "PeerLost": ({f"qnodeos_up{LINK}": "0x20"}, {f"qnodeos_up{LINK}": "1x20"}),
    "EventLoopStalls": (
        {f"qnodeos_stalls{NODE}": "0x15 1x5"},
        {f"qnodeos_stalls{NODE}": "7x20"},
    ),
    "DataDropped": (
        {f"qnodeos_tag_losses{LINK}": "0x15 900x5"},
        {f"qnodeos_deliveries_dropped{LINK}": "4x20", f"qnodeos_tag_losses{LINK}": "0x20"},
    ),
}

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: apt-get install prometheus"
)


def rules() -> dict[str, str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["annotations"] for group in groups for rule in group["rules"]}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def case(alert: str, series: dict[str, str], *, fires: bool) -> dict[str, object]:
    """One unit test of `promtool test rules`: after 20 minutes, is the alert firing?"""
    firing = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": told} for name, told in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": "20m", "exp_samples": samples}],
    }


@needs_promtool
def test_prometheus_reads_the_rules() -> None:
    done = promtool("check", "rules", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_every_alert_has_its_cases() -> None:
    assert set(CASES) == set(rules())


@needs_promtool
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    judged = [
        case(alert, series, fires=fires)
        for alert, cases in CASES.items()
        for series, fires in zip(cases, (True, False), strict=True)
    ]
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": judged}))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
