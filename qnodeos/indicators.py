"""What /metrics has beside the figures of links and services: the indicators of the field, with
the targets of the configuration, instruments, memories, peers and uptime.

Made when Prometheus asks, and then only.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from qnodeos.config import MemoryLinkTable, PhotonicLinkTable
from qnodeos.memory_link import MemoryLink
from qnodeos.midpoint import Midpoint
from qnodeos.node_parts import Link, NodeParts
from qnodeos.shared_device import SharedDevice
from qnodeos.status import Status

Parts = Mapping[str, Callable[[], Status]]


def with_indicators(told: Parts, parts: NodeParts) -> Parts:
    """The parts of `told`, links with their indicators, and the node, its instruments, memories and
    peers. Uptime is from now on.
    """
    all_parts = dict(told)
    for name, link in parts.links.items():
        all_parts[f"link-{name}"] = partial(_link, told[f"link-{name}"], link, parts, name)
    for name in parts.rack.supervisors:
        all_parts[f"instrument-{name}"] = partial(_instrument, parts, name)
    for name, shared in parts.devices.items():
        all_parts[f"memory-{name}"] = partial(_memory, shared)
    for name in parts.config.wire.peers:
        all_parts[f"peer-{name}"] = partial(_peer, parts, name)
    all_parts["node"] = partial(_node, parts, parts.clock())
    return all_parts


def _node(parts: NodeParts, started_s: float) -> Status:
    return {
        "up_s": parts.clock() - started_s,
        "alarms": len(parts.bus.alarms),
        "draining": bool(parts.draining),
        "tasks": len(asyncio.all_tasks()),
        "strangers": parts.wire.strangers,
    }


def _memory(shared: SharedDevice) -> Status:
    memory = shared.memory
    if memory is None:
        return {}  # the device has not been seen yet
    return {
        "storage_qubits": memory.capacity,
        "storage_free": memory.free,
        "pairs_held": len(memory.pairs),
    }


def _peer(parts: NodeParts, name: str) -> Status:
    status = parts.wire.peers.get(name)
    if status is None:
        return {"up": False}  # the node is not yet started
    return {"up": status.state == "up", **asdict(status.counters)}


def _instrument(parts: NodeParts, name: str) -> Status:
    status = parts.rack.supervisors[name].status
    return {
        **status.readings,
        "online": status.state == "online",
        "connects": status.connects,
    }


def _link(told: Callable[[], Status], link: Link, parts: NodeParts, name: str) -> Status:
    said = dict(told())
    efficiency = heralding_efficiency(said)
    if efficiency is not None:
        said["heralding_efficiency"] = efficiency
    if not isinstance(link, Midpoint):
        said["requests"] = len(link.desk.queue)
    if isinstance(link, MemoryLink) and link.device.capabilities is not None:
        said["t1_s"] = link.device.capabilities.t1_s
        said["t2_s"] = link.device.capabilities.t2_s
    table = parts.config.links[name]
    if isinstance(table, MemoryLinkTable | PhotonicLinkTable) and table.targets is not None:
        for target, value in table.targets:
            if value is not None:
                said[f"target_{target}"] = value
    return said


def heralding_efficiency(said: Status) -> float | None:
    """Heralds per attempt, or, where light is counted, coincidences over the geometric mean of the
    singles (Klyshko, Sov. J. Quantum Electron. 10, 1112, 1980); None before there are any."""
    attempts = said.get("attempts")
    if attempts:
        return float(said.get("heralds", 0)) / float(attempts)
    singles = [float(said.get(f"singles_{end}_cps", 0.0)) for end in ("local", "remote")]
    if min(singles) <= 0:
        return None
    true_cps = float(said["coincidences_cps"]) - float(said["accidentals_cps"])
    return max(true_cps, 0.0) / math.sqrt(singles[0] * singles[1])
