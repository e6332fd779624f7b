"""What SeQUeNCe says of a two-photon link, to be kept as reference data of the tests.

Not a benchmark of ours: run it in an environment of its own with `sequence` (Python 3.12 or newer),
`python -P benchmarks/peer_sequence.py > tests/sim_backends/reference/sequence_double_click.json`.
Two routers with a memory each and a station half way, one second of light, several seeds and
efficiencies; single-heralded protocol, which is what SeQUeNCe calls two photons at a station.
`--once` prints one run alone, which the benchmark `sim` measures itself against.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import sys
import time
from typing import Any

LENGTH_M = 1000
ATTENUATION_DB_PER_M = 2e-4
DETECTOR_EFFICIENCY = 0.9
EFFICIENCIES = (0.5, 0.25)
SEEDS = (1, 2, 3, 4, 5)
SECONDS = 1.0
RAW_FIDELITY = 0.95
COHERENCE_S = 1.0


def main() -> int:
    """Print the runs as JSON."""
    try:
        version = importlib.metadata.version("sequence")
    except importlib.metadata.PackageNotFoundError:
        print("peer_sequence: install `sequence` in an environment of its own", file=sys.stderr)
        return 2
    if sys.argv[1:] == ["--once"]:
        print(json.dumps(one_run(EFFICIENCIES[0], SEEDS[0])))
        return 0
    runs = [one_run(efficiency, seed) for efficiency in EFFICIENCIES for seed in SEEDS]
    result = {
        "program": f"SeQUeNCe {version}",
        "python": platform.python_version(),
        "script": "benchmarks/peer_sequence.py",
        "length_m": LENGTH_M,
        "attenuation_db_per_m": ATTENUATION_DB_PER_M,
        "detector_efficiency": DETECTOR_EFFICIENCY,
        "raw_fidelity": RAW_FIDELITY,
        "coherence_s": COHERENCE_S,
        "simulated_s": SECONDS,
        "runs": runs,
        "decay": decay(),
    }
    print(json.dumps(result, indent=2))
    return 0


def one_run(efficiency: float, seed: int) -> dict[str, float]:
    """Attempts and heralds of one second with one memory a router."""
    topology, app, generation = (
        importlib.import_module(f"sequence.{name}")
        for name in (
            "topology.router_net_topo",
            "app.request_app",
            "entanglement_management.generation",
        )
    )
    generation.EntanglementGenerationA.set_global_type("single_heralded")
    generation.EntanglementGenerationB.set_global_type("single_heralded")
    network = topology.RouterNetTopo(_network(efficiency, seed))
    timeline = network.get_timeline()
    timeline.stop_time = round((SECONDS + 0.01) * 1e12)
    routers = {router.name: router for router in network.get_nodes_by_type("QuantumRouter")}
    apps = {name: app.RequestApp(router) for name, router in routers.items()}
    station = network.get_nodes_by_type("BSMNode")[0]
    (bsm,) = (item for item in station.components.values() if "BSM" in type(item).__name__)
    arrived = _counted(bsm)
    timeline.init()
    begin_ps = 10_000_000_000
    apps["alice"].start("bob", begin_ps, begin_ps + round(SECONDS * 1e12), 1, 0.5)
    started = time.perf_counter()
    timeline.run()
    return {
        "efficiency": efficiency,
        "seed": seed,
        "attempts": arrived["photons"] // 2,
        "heralds": apps["alice"].memory_counter,
        "wall_s": round(time.perf_counter() - started, 2),
    }


def decay() -> list[dict[str, Any]]:
    """Bell-diagonal states (I, Z, X, Y) of a stored pair, dephasing in both memories."""
    kernel = importlib.import_module("sequence.kernel.timeline")
    memory = importlib.import_module("sequence.components.memory")
    found = []
    for waited_s in (0.0, 0.1, 0.3, 1.0):
        timeline = kernel.Timeline(formalism="bell_diagonal")
        pair = [
            memory.Memory(
                name, timeline, RAW_FIDELITY, 0, 1, COHERENCE_S, 500, [0, 0, 1], cutoff_flag=False
            )
            for name in ("a", "b")
        ]
        rest = (1 - RAW_FIDELITY) / 3
        keys = [one.qstate_key for one in pair]
        timeline.quantum_manager.set(keys, [RAW_FIDELITY, rest, rest, rest])
        for one, other in zip(pair, reversed(pair), strict=True):
            # 0 would mean a memory without a state.
            one.generation_time = one.last_update_time = 1
            one.entangled_memory = {"node_id": other.name, "memo_id": other.name}
        timeline.time = 1 + round(waited_s * 1e12)
        for one in pair:
            one.bds_decohere()
        state = timeline.quantum_manager.get(keys[0]).state
        found.append({"waited_s": waited_s, "state_izxy": [float(x) for x in state]})
    return found


def _counted(bsm: Any) -> dict[str, int]:
    """Count the photons that reach the station, lost ones included: SeQUeNCe marks the loss."""
    seen = {"photons": 0}
    get = bsm.get

    def counting(photon: Any, **options: Any) -> Any:
        seen["photons"] += 1
        return get(photon, **options)

    bsm.get = counting
    return seen


def _network(efficiency: float, seed: int) -> dict[str, Any]:
    detector = {
        "efficiency": DETECTOR_EFFICIENCY,
        "count_rate": 1e12,
        "time_resolution": 150,
        "dark_count": 0,
    }
    memory = {
        "fidelity": RAW_FIDELITY,
        "frequency": 0,
        "efficiency": efficiency,
        "coherence_time": COHERENCE_S,
        "wavelength": 1550,
    }
    return {
        "stop_time": 2e12,
        "formalism": "bell_diagonal",
        "templates": {
            "router": {"MemoryArray": memory, "encoding_type": "single_heralded"},
            "station": {
                "encoding_type": "single_heralded",
                "SingleHeraldedBSM": {"detectors": [detector, detector]},
            },
        },
        "nodes": [
            {
                "name": name,
                "type": "QuantumRouter",
                "seed": 10 * seed + number,
                "memo_size": 1,
                "template": "router",
            }
            for number, name in enumerate(("alice", "bob"))
        ],
        "qconnections": [
            {
                "node1": "alice",
                "node2": "bob",
                "attenuation": ATTENUATION_DB_PER_M,
                "distance": LENGTH_M,
                "type": "meet_in_the_middle",
                "seed": 10 * seed + 5,
                "template": "station",
            }
        ],
        "cconnections": [{"node1": "alice", "node2": "bob", "delay": round(LENGTH_M / 2e8 * 1e12)}],
    }


if __name__ == "__main__":
    sys.exit(main())
