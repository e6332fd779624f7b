"""A network for programs, ideal or noisy: memories of which every two are joined by a midpoint.

All midpoints are instruments of one node, `station`. The files are those that a person would write,
so they are also an example; `qnodeos app run --ideal --output DIR` leaves them there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from qnodeos.errors import UserError

ENDS = ("alice", "bob", "charlie", "david")
STATION = "station"
QUBITS = 9
FIRST_PORT = 7200


@dataclass(frozen=True, slots=True)
class Devices:
    """Numbers of all memories and midpoints of a network. Errors are depolarising probabilities."""

    title: str
    t1_s: float = 1e6
    t2_s: float = 1e6
    gate_error: float = 0.0
    two_qubit_gate_error: float = 0.0
    readout_error: float = 0.0
    visibility: float = 1.0
    """Of the photons at the midpoint: what it lacks are phase errors of the pair."""
    efficiency: float = 1.0
    """From an emission to a click, of each end."""


IDEAL = Devices("Ideal memories, and a midpoint between every two: results are exact.")

NOISY = Devices(
    "No experiment's numbers: each error is so large that some hundred runs of a program show it.",
    t2_s=2.0,
    gate_error=0.01,
    two_qubit_gate_error=0.05,
    readout_error=0.03,
    visibility=0.8,
)

_HOST = "${LAB_HOST:-127.0.0.1}"


def write_ideal(folder: Path, ends: int, devices: Devices = IDEAL) -> tuple[str, ...]:
    """Write lab.toml and a file for each node into a folder; the names of the ends. Other devices
    make it less than ideal. Raises UserError."""
    if not 1 <= ends <= len(ENDS):
        raise UserError(
            f"there is no made network of {ends} ends", expected=f"1 to {len(ENDS)} roles"
        )
    names = ENDS[: max(2, ends)]
    pairs = list(combinations(names, 2))
    folder.mkdir(parents=True)
    (folder / "lab.toml").write_text(_lab(names, pairs, devices), encoding="utf-8")
    for name in (*names, STATION):
        (folder / f"{name}.toml").write_text(_node(name, names, pairs), encoding="utf-8")
    return names


def _link(pair: tuple[str, str]) -> str:
    return "-".join(pair)


def _port(name: str, names: tuple[str, ...], pairs: list[tuple[str, str]]) -> int:
    """TCP port of a node's wire, a memory's device, or a midpoint's."""
    places = [*names, STATION, *(f"{n}-memory" for n in names), *(_link(pair) for pair in pairs)]
    return FIRST_PORT + places.index(name)


def _lab(names: tuple[str, ...], pairs: list[tuple[str, str]], devices: Devices) -> str:
    parts = [
        f"# {devices.title}\n\n"
        "[lab]\nseed = 8\n"
        f'host = "{_HOST}"\nrun_dir = "run"\ntruth = "data/truth.jsonl"\n'
    ]
    for name in names:
        parts.append(
            f"[memories.{name}]\nqubits = {QUBITS}                       "
            "# 0 communicates, the others store\n"
            f"t1_s = {devices.t1_s:g}\nt2_s = {devices.t2_s:g}\n"
            "gate_time_us = 1.0\nreadout_time_us = 1.0\n"
            f"gate_error = {devices.gate_error:g}\n"
            f"two_qubit_gate_error = {devices.two_qubit_gate_error:g}\n"
            f"readout_error = {devices.readout_error:g}\n"
        )
    for pair in pairs:
        parts.append(
            f'[midpoints.{_link(pair)}]\nends = ["{pair[0]}", "{pair[1]}"]\n'
            "attempt_period_us = 10.0\n"
            f"efficiency = {{ {pair[0]} = {devices.efficiency:g}, "
            f"{pair[1]} = {devices.efficiency:g} }}\nvisibility = {devices.visibility:g}\n"
        )
    instruments = ["[instruments]"]
    for name in names:
        port = _port(f"{name}-memory", names, pairs)
        instruments.append(
            f'{name}-memory = {{ type = "quantum-device", of = "memories.{name}", port = {port}, '
            f'serial = "QM-{name}" }}'
        )
    for pair in pairs:
        port = _port(_link(pair), names, pairs)
        instruments.append(
            f'{_link(pair)} = {{ type = "quantum-device", of = "midpoints.{_link(pair)}", '
            f'port = {port}, serial = "BSM-{_link(pair)}" }}'
        )
    return "\n".join([*parts, "\n".join(instruments), ""])


def _node(name: str, names: tuple[str, ...], pairs: list[tuple[str, str]]) -> str:
    all_nodes = (*names, STATION)
    parts = [
        f'[node]\nname = "{name}"\nid = {all_nodes.index(name) + 1}\ndata_dir = "data/{name}"\n',
        f'[wire]\nlisten = "tcp://{_HOST}:{_port(name, names, pairs)}"\n'
        f'secret_key = "keys/{name}.key_secret"\n',
    ]
    for peer in all_nodes:
        if peer != name:
            parts.append(
                f"[wire.peers.{peer}]\nid = {all_nodes.index(peer) + 1}\n"
                f'address = "tcp://{_HOST}:{_port(peer, names, pairs)}"\n'
                f'public_key = "keys/{peer}.key"\n'
            )
    parts.append('[bus]\nurl = "${BROKER_URL:-mqtt://127.0.0.1:7183}"\n')
    if name == STATION:
        for pair in pairs:
            parts.append(_instrument(_link(pair), _port(_link(pair), names, pairs), "BSM"))
            parts.append(
                f'[links.{_link(pair)}]\nkind = "midpoint"\nends = ["{pair[0]}", "{pair[1]}"]\n'
                f'device = "{_link(pair)}"\n'
            )
        return "\n".join(parts)
    parts.append(_instrument(name, _port(f"{name}-memory", names, pairs), "QM"))
    own = [pair for pair in pairs if name in pair]
    for port, pair in enumerate(own):
        peer = pair[1] if pair[0] == name else pair[0]
        parts.append(
            f'[links.{_link(pair)}]\nkind = "memory"\npeer = "{peer}"\nstation = "{STATION}"\n'
            f'device = "{name}"\nport = {port}\nminimum_useful_fidelity = 0.6\n'
            "test_fraction = 0.0\n"
        )
    return "\n".join(parts)


def _instrument(name: str, port: int, kind: str) -> str:
    return (
        f'[instruments.{name}]\ndriver = "qnodeos.device"\nresource = "tcp://{_HOST}:{port}"\n'
        f'serial = "{kind}-{name}"\n'
    )
