"""An ideal network for programs: memories without a fault, every two joined by a midpoint.

All midpoints are instruments of one node, `station`. The files are those that a person would write,
so they are also an example; `qnodeos app run --ideal --output DIR` leaves them there.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from qnodeos.errors import UserError

ENDS = ("alice", "bob", "charlie", "david")
STATION = "station"
QUBITS = 9
FIRST_PORT = 7200

_HOST = "${LAB_HOST:-127.0.0.1}"


def write_ideal(folder: Path, ends: int) -> tuple[str, ...]:
    """Write lab.toml and a file for each node into a folder; the names of the ends. Raises
    UserError."""
    if not 1 <= ends <= len(ENDS):
        raise UserError(
            f"there is no ideal network of {ends} ends", expected=f"1 to {len(ENDS)} roles"
        )
    names = ENDS[: max(2, ends)]
    pairs = list(combinations(names, 2))
    folder.mkdir(parents=True)
    (folder / "lab.toml").write_text(_lab(names, pairs), encoding="utf-8")
    for name in (*names, STATION):
        (folder / f"{name}.toml").write_text(_node(name, names, pairs), encoding="utf-8")
    return names


def _link(pair: tuple[str, str]) -> str:
    return "-".join(pair)


def _port(name: str, names: tuple[str, ...], pairs: list[tuple[str, str]]) -> int:
    """TCP port of a node's wire, a memory's device, or a midpoint's."""
    places = [*names, STATION, *(f"{n}-memory" for n in names), *(_link(pair) for pair in pairs)]
    return FIRST_PORT + places.index(name)


def _lab(names: tuple[str, ...], pairs: list[tuple[str, str]]) -> str:
    parts = [
        "# Ideal memories, and a midpoint between every two: results are exact.\n\n"
        "[lab]\nseed = 8\n"
        f'host = "{_HOST}"\nrun_dir = "run"\ntruth = "data/truth.jsonl"\n'
    ]
    for name in names:
        parts.append(
            f"[memories.{name}]\nqubits = {QUBITS}                       "
            "# 0 communicates, the others store\n"
            "t1_s = 1e6\nt2_s = 1e6\ngate_time_us = 1.0\nreadout_time_us = 1.0\n"
        )
    for pair in pairs:
        parts.append(
            f'[midpoints.{_link(pair)}]\nends = ["{pair[0]}", "{pair[1]}"]\n'
            "attempt_period_us = 10.0\n"
            f"efficiency = {{ {pair[0]} = 1.0, {pair[1]} = 1.0 }}\nvisibility = 1.0\n"
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
