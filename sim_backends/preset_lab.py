"""A lab and the nodes for it from a preset: files that `qnodeos sim` and `qnodeos run` take."""

from __future__ import annotations

import math
from typing import Final

from sim_backends.preset_files import Parameters, Point, Preset
from sim_backends.preset_run import fast_link, midpoint_config
from sim_backends.toml_text import Value, toml_text

__all__ = ["CannotBuild", "preset_files"]

_NEVER_S: Final = 1e9
_PERIOD_US: Final = 100.0
_CURRENT_MA: Final = 90.0
_POWER_MW: Final = 100.0
_PORTS: Final = {"alice": (7101, 7131, 7112), "bob": (7102, 7132, 7122), "station": (7103, 7133, 0)}
_PEERS: Final = {"alice": 1, "bob": 2, "station": 3}


class CannotBuild(Exception):
    """The preset has too little for a lab; says what is missing."""


def preset_files(preset: Preset, point: Point) -> dict[str, str]:
    """Text by file name: lab.toml and the nodes. Raises CannotBuild.

    Node files are those of the two-node example, with the links that the preset has. A field the
    preset has no source for is as good as can be: a memory without T2 keeps its state.
    """
    if preset.kind == "data":
        raise CannotBuild(f"{preset.id} has no parameters to simulate from: {preset.notes.strip()}")
    parameters = preset.of(point)
    if preset.kind == "pairs":
        lab, nodes = _pair_lab(parameters), ["alice", "bob"]
    else:
        lab, nodes = _herald_lab(preset, point), ["alice", "bob", "station"]
    where = f", {point.name}" if point.name else ""
    head = (
        f"{preset.title}{where}\n{preset.source}\n"
        f"Made by `qnodeos sim preset {preset.id}`; marks and sources of the numbers are in it."
    )
    marks = "\n".join(
        f"{name} = {marked.value:g} [{marked.mark}] {marked.source}"
        for name, marked in parameters.given()
    )
    files = {"lab.toml": toml_text(lab, f"{head}\n\n{marks}")}
    for name in nodes:
        node = _node(name, nodes, preset, parameters)
        files[f"{name}.toml"] = toml_text(node, f"Node {name} of {preset.id}.")
    return files


def _herald_lab(preset: Preset, point: Point) -> dict[str, Value]:
    parameters = preset.of(point)
    ends = ("alice", "bob")
    midpoint: dict[str, Value]
    if preset.kind == "rate_input":
        if parameters.herald_rate_hz is None:
            raise CannotBuild(f"{preset.id} has no rate at its point {point.name!r}")
        # Two photons with the rate that was put in, and the fidelity as one depolarisation.
        link = fast_link(preset, point)
        rate_hz = link.odds.total / link.period_s
        efficiency = math.sqrt(2.0 * rate_hz * _PERIOD_US * 1e-6)
        midpoint = {
            "attempt_period_us": _PERIOD_US,
            "efficiency": dict.fromkeys(ends, efficiency),
            "visibility": 1.0,
            "residual_depolarising": 4.0 / 3.0 * (1.0 - link.odds.fidelity),
        }
    else:
        config = midpoint_config(preset.kind, parameters)
        held_s = parameters.number("hold_us", 0.0) * 1e-6
        # Both halves dephase while light and message are under way: that is a loss of visibility.
        kept = math.exp(-2.0 * held_s / parameters.number("t2_s", _NEVER_S))
        midpoint = {
            "scheme": config.scheme,
            "attempt_period_us": config.attempt_period_us,
            "efficiency": dict.fromkeys(ends, config.efficiency["a"]),
            "visibility": config.visibility * kept,
            "dark_probability": config.dark_probability,
            "phase_sigma_deg": config.phase_sigma_deg,
            "double_excitation": config.double_excitation,
            "duty": config.duty,
            "residual_depolarising": config.residual_depolarising,
        }
        if config.scheme == "single_click":
            midpoint["bright_population"] = dict.fromkeys(ends, config.bright_population["a"])
    t2_s = parameters.number("t2_s", _NEVER_S)
    memory: dict[str, Value] = {
        "qubits": 2,
        "t1_s": parameters.number("t1_s", max(_NEVER_S, t2_s)),
        "t2_s": t2_s,
    }
    return {
        "lab": _lab_section(),
        "memories": dict.fromkeys(ends, memory),
        "midpoints": {"station": {"ends": ends} | midpoint},
        "instruments": {
            "alice-memory": _device("memories.alice", 7131, "QM-A"),
            "bob-memory": _device("memories.bob", 7132, "QM-B"),
            "station-midpoint": _device("midpoints.station", 7133, "BSM-1"),
        },
    }


def _pair_lab(parameters: Parameters) -> dict[str, Value]:
    ends = ("alice", "bob")
    if parameters.pairs_per_s is not None:
        pairs_per_s, loss_db = parameters.pairs_per_s.value, parameters.number("loss_db") / 2.0
    else:
        pairs_per_s, loss_db = parameters.number("herald_rate_hz"), 0.0
    visibility = 1.0 - parameters.number("residual_depolarising", 0.0)
    widths = [
        parameters.number(name, 0.0) / 2.3548
        for name in ("jitter_fwhm_ps", "dispersion_fwhm_ps", "clock_fwhm_ps")
    ]
    detector: dict[str, Value] = {
        "channels": 2,
        "efficiency": 1.0,
        "full_bias_ua": 20.0,
        "dark_cps": parameters.number("dark_cps", 0.0),
        "jitter_ps": 0.0,
        "dead_time_ns": 0.0,
    }
    tagger = {
        end: {"clock": {"clock_class": "rubidium"}, "inputs": {"1": f"{end}.1", "2": f"{end}.2"}}
        for end in ends
    }
    instruments: dict[str, Value] = {
        "alice-pump": {"type": "dlcpro", "of": "lasers.pump", "port": 7198, "serial": "DLC PRO_1"}
    }
    for end in ends:
        port = _PORTS[end][2]
        instruments |= {
            f"{end}-tagger": {
                "type": "tdc1",
                "of": f"taggers.{end}",
                "pty": f"{end}-tagger",
                "serial": f"TDC1-{end}",
            },
            f"{end}-detectors": {
                "type": "websq",
                "of": f"detectors.{end}",
                "port": port,
                "counts_port": port + 1,
            },
            f"{end}-analyzer": {
                "type": "ell14",
                "of": f"analyzers.{end}",
                "pty": f"{end}-analyzer",
                "serial": f"1140010{_PEERS[end]}",
            },
        }
    return {
        "lab": _lab_section(),
        "lasers": {
            "pump": {
                "threshold_ma": 40.0,
                "slope_mw_per_ma": _POWER_MW / (_CURRENT_MA - 40.0),
                "max_current_ma": 120.0,
                "wavelength_nm": 405.0,
            }
        },
        "sources": {
            "crystal": {
                "pump": "pump",
                "pairs_per_s_per_mw": pairs_per_s / _POWER_MW,
                "bell_state": "PHI_PLUS",
                "fidelity": (1.0 + 3.0 * visibility) / 4.0,
                "ends": ends,
                "correlation_ps": math.hypot(*widths),
            }
        },
        "channels": {
            "alice": {"loss_db": loss_db},
            "bob": {
                "length_km": parameters.number("length_km", 0.0),
                "loss_db_per_km": 0.0,
                "loss_db": loss_db,
            },
        },
        "analyzers": {end: {"qwp_offset_deg": 0.0} for end in ends},
        "detectors": dict.fromkeys(ends, detector),
        "taggers": tagger,
        "instruments": instruments,
    }


def _node(name: str, nodes: list[str], preset: Preset, parameters: Parameters) -> dict[str, Value]:
    wire, device, detectors = _PORTS[name]
    peer = "bob" if name == "alice" else "alice"
    links: dict[str, Value]
    instruments: dict[str, Value]
    if preset.kind == "pairs":
        instruments = _photonic_instruments(name, detectors)
        links = {
            "photonic": {
                "kind": "photonic",
                "peer": peer,
                "tagger": "tagger",
                "analyzer": "analyzer",
                "outcome_channels": [1, 2],
                "bell_state": "PHI_PLUS",
                "window_ps": round(parameters.number("coincidence_window_ps", 2000.0)),
                "clock_noise_1s": 2e-11,
                "basis_dwell_s": 60.0,
                "test_fraction": 0.5,
            }
        }
    elif name == "station":
        instruments = {"midpoint": _driver(device, "BSM-1")}
        links = {"memory": {"kind": "midpoint", "ends": ["alice", "bob"], "device": "midpoint"}}
    else:
        instruments = {"memory": _driver(device, "QM-A" if name == "alice" else "QM-B")}
        links = {
            "memory": {
                "kind": "memory",
                "peer": peer,
                "station": "station",
                "device": "memory",
                "minimum_useful_fidelity": 0.501,
                "test_fraction": 0.3,
            }
        }
    return {
        "node": {"name": name, "id": _PEERS[name], "data_dir": f"data/{name}"},
        "wire": {
            "listen": _address(wire),
            "secret_key": f"keys/{name}.key_secret",
            "peers": {
                other: {
                    "id": _PEERS[other],
                    "address": _address(_PORTS[other][0]),
                    "public_key": f"keys/{other}.key",
                }
                for other in nodes
                if other != name
            },
        },
        "bus": {"url": "${BROKER_URL:-mqtt://127.0.0.1:7183}"},
        "instruments": instruments,
        "links": links,
    }


def _photonic_instruments(name: str, port: int) -> dict[str, Value]:
    found: dict[str, Value] = {
        "tagger": {
            "driver": "sfifteen.tdc1",
            "resource": f"serial://run/{name}-tagger",
            "serial": f"TDC1-{name}",
            "settings": {"level": "NIM"},
        },
        "detectors": {
            "driver": "singlequantum.websq",
            "resource": _address(port),
            "options": {"counts_port": port + 1},
            "arm": True,
            "settings": {"bias_ua": [20.0, 20.0], "enabled": True},
        },
        "analyzer": {
            "driver": "thorlabs.ell14",
            "resource": f"serial://run/{name}-analyzer",
            "options": {"qwp_address": "0", "hwp_address": "1"},
        },
    }
    if name == "alice":
        found["pump"] = {
            "driver": "toptica.dlcpro",
            "resource": _address(7198),
            "serial": "DLC PRO_1",
            "arm": True,
            "settings": {"current_ma": _CURRENT_MA, "emission": True},
        }
    return found


def _lab_section() -> dict[str, Value]:
    return {
        "seed": 1935,
        "host": "${LAB_HOST:-127.0.0.1}",
        "run_dir": "run",
        "truth": "data/truth.jsonl",
    }


def _device(of: str, port: int, serial: str) -> dict[str, Value]:
    return {"type": "quantum-device", "of": of, "port": port, "serial": serial}


def _driver(port: int, serial: str) -> dict[str, Value]:
    return {"driver": "qnodeos.device", "resource": _address(port), "serial": serial}


def _address(port: int) -> str:
    return f"tcp://${{LAB_HOST:-127.0.0.1}}:{port}"
