"""The Grafana dashboard and the alerts name figures that a real node exports, and only those."""

import json
import re
import runpy
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from qnodeos.cli.rehearse import load
from qnodeos.config import MemoryLinkTable, NodeConfig, PhotonicLinkTable, TargetsTable
from qnodeos.indicators import heralding_efficiency
from qnodeos.metrics import figures
from qnodeos.rehearsal import rehearsal
from timing.loop import run_virtual

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "packaging" / "grafana" / "qnodeos.json"
ALERTS = ROOT / "packaging" / "prometheus" / "qnodeos-alerts.yml"
TARGETS = TargetsTable(
    pairs_per_s=10.0,
    fidelity=0.9,
    heralding_efficiency=0.001,
    lifetime_s=0.1,
    correction_p99_ms=5.0,
)
SPAN_S = 12.0


def promised(config: NodeConfig) -> NodeConfig:
    links = {
        name: link.model_copy(update={"targets": TARGETS})
        if isinstance(link, MemoryLinkTable | PhotonicLinkTable)
        else link
        for name, link in config.links.items()
    }
    return config.model_copy(update={"links": links})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], float]:
    """What Prometheus reads of the two-node example after a while: by figure, node and part."""

    async def scenario() -> dict[tuple[str, str, str], float]:
        lab, nodes, _ = load(ROOT / "examples" / "two_nodes", tmp_path_factory.mktemp("net"))
        found = {}
        async with rehearsal(lab, list(map(promised, nodes))) as network:
            told = {name: node.exported() for name, node in network.nodes.items()}
            await network.lasts(SPAN_S)
            for name, parts in told.items():
                registry = CollectorRegistry(auto_describe=False)
                registry.register(figures(name, parts))
                assert generate_latest(registry)
                for family in registry.collect():
                    for sample in family.samples:
                        found[sample.name, name, sample.labels["part"]] = sample.value
        return found

    return run_virtual(scenario(), limit_s=120)


def named(text: str) -> set[str]:
    return set(re.findall(r"\bqnodeos_\w+", text))


@pytest.mark.parametrize("file", [DASHBOARD, ALERTS], ids=lambda path: path.name)
def test_every_figure_that_is_named_exists(
    file: Path, exported: dict[tuple[str, str, str], float]
) -> None:
    text = file.read_text()
    if file == DASHBOARD:
        expressions = [t["expr"] for p in json.loads(text)["panels"] for t in p.get("targets", ())]
        text = "\n".join(expressions)
    else:
        groups = yaml.safe_load(text)["groups"]
        text = "\n".join(rule["expr"] for group in groups for rule in group["rules"])
    assert len(named(text)) > 10
    assert named(text) - {figure for figure, _, _ in exported} == set()


def test_the_dashboard_is_the_one_that_its_tool_writes() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "grafana_dashboard.py"))["dashboard"]()
    assert json.loads(DASHBOARD.read_text()) == made
    places = [tuple(panel["gridPos"].values()) for panel in made["panels"]]
    assert len(set(places)) == len(places)


def test_every_alert_says_what_and_what_to_do() -> None:
    rules = [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(rule["annotations"]) == {"summary", "do"}


def test_the_indicators_are_true(exported: dict[tuple[str, str, str], float]) -> None:
    """The lab: two photons at 5 % each, of which half the Bell states are told apart."""
    memory = ("alice", "link-memory")
    attempts = exported["qnodeos_attempts", *memory]
    efficiency = exported["qnodeos_heralding_efficiency", *memory]
    truth = 0.5 * 0.05 * 0.05
    assert attempts > 100_000
    assert efficiency == pytest.approx(truth, abs=5 * (truth / attempts) ** 0.5)
    assert exported["qnodeos_t2_s", *memory] == 0.5
    assert exported["qnodeos_target_fidelity", *memory] == 0.9
    assert 0.05 < exported["qnodeos_heralding_efficiency", "alice", "link-photonic"] < 0.5
    assert exported["qnodeos_up_s", "alice", "node"] == pytest.approx(SPAN_S, abs=0.01)
    assert exported["qnodeos_online", "alice", "instrument-pump"] == 1.0
    assert exported["qnodeos_up", "alice", "peer-bob"] == 1.0
    assert exported["qnodeos_storage_qubits", "alice", "memory-memory"] == 4.0
    assert exported["qnodeos_tasks", "alice", "node"] > 10.0


def test_without_counts_there_is_no_efficiency() -> None:
    assert heralding_efficiency({"attempts": 0, "heralds": 0}) is None
    assert heralding_efficiency({"singles_local_cps": 0.0, "singles_remote_cps": 5.0}) is None
    assert heralding_efficiency({"attempts": 200, "heralds": 1}) == 0.005
    light = {"singles_local_cps": 400.0, "singles_remote_cps": 100.0}
    light |= {"coincidences_cps": 45.0, "accidentals_cps": 5.0}
    assert heralding_efficiency(light) == 0.2


def test_every_figure_is_explained(exported: dict[tuple[str, str, str], float]) -> None:
    """A new figure gets a line in docs/figures.md; readings are the drivers' own."""
    page = (ROOT / "docs" / "figures.md").read_text()
    told = {
        figure.removeprefix("qnodeos_")
        for figure, _, part in exported
        if not part.startswith("instrument-")
    }
    assert sorted(name for name in told - {"info"} if f"`{name}`" not in page) == []
