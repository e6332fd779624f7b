"""What a node uses, as it tells Prometheus: qubits, connections, tasks, files, memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from qnodeos.launch.running import NodeAt

ANSWER_LIMIT_S = 10.0
FIRST_METRICS_PORT = 7300


@dataclass(frozen=True, slots=True)
class Usage:
    """At one instant. `qubits_in_use` of storage qubits; `connections` of hosts."""

    qubits_in_use: int
    connections: int
    requests: int
    tasks: int
    files: int
    resident_bytes: int

    def more_than(self, other: Usage) -> dict[str, int]:
        """What is more than there was, and by how much."""
        found = {
            each.name: getattr(self, each.name) - getattr(other, each.name) for each in fields(self)
        }
        return {name: more for name, more in found.items() if more > 0}


def tell_metrics(example: Path) -> None:
    """Have the nodes of an example, not started yet, tell their metrics."""
    for number, file in enumerate(sorted(example.glob("*.toml"))):
        if file.stem != "lab":
            listen = f"tcp://${{LAB_HOST:-127.0.0.1}}:{FIRST_METRICS_PORT + number}"
            with file.open("a", encoding="utf-8") as text:
                text.write(f'\n[metrics]\nlisten = "{listen}"\n')


async def usage(node: NodeAt) -> Usage:
    """Of a node now."""
    told = await _told(node)
    return Usage(
        qubits_in_use=int(told["qnodeos_storage_qubits"] - told["qnodeos_storage_free"]),
        connections=int(told["qnodeos_connections"]),
        requests=int(told["qnodeos_requests"]),
        tasks=int(told["qnodeos_tasks"]),
        files=int(told["process_open_fds"]),
        resident_bytes=int(told["process_resident_memory_bytes"]),
    )


async def _told(node: NodeAt) -> dict[str, float]:
    """Figures by name, summed over the node's parts."""
    from prometheus_client.parser import text_string_to_metric_families

    place = urlsplit(node.metrics)
    async with asyncio.timeout(ANSWER_LIMIT_S):
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        writer.close()
    _, _, body = answer.partition(b"\r\n\r\n")
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
