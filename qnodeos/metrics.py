"""`/metrics` for Prometheus: every figure that the node's parts tell of themselves.

A figure `heralds` of link `memory` is `qnodeos_heralds{node="alice",part="link-memory"}`. Truth
values are 0 and 1; words become `qnodeos_info` with the word as a label. Memory, open files and
processor time of the process have the names that Prometheus gives them, `process_...`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qnodeos.errors import UserError
from qnodeos.status import Status

ASK_LIMIT_S = 5.0
MOST_HEADER_BYTES = 8192
MOST_AT_ONCE = 16
KEPT_S = 0.5
"""The text takes the event loop some milliseconds: whoever asks more often gets it again."""

Parts = Mapping[str, Callable[[], Status]]


def figures(node: str, parts: Parts) -> Collector:
    """What a registry asks for the figures of a node's parts."""
    return _Figures(node, parts)


class _Figures(Collector):
    def __init__(self, node: str, parts: Parts):
        self._node, self._parts = node, parts

    def collect(self) -> Iterable[Metric]:
        """One family a figure, one sample a part."""
        labels = ["node", "part"]
        families: dict[str, GaugeMetricFamily] = {}
        words = GaugeMetricFamily("qnodeos_info", "A word", labels=[*labels, "figure", "word"])
        for part, told in self._parts.items():
            for name, value in told().items():
                if isinstance(value, str):
                    words.add_metric([self._node, part, name, value], 1.0)
                    continue
                family = families.get(name)
                if family is None:
                    family = families[name] = GaugeMetricFamily(
                        f"qnodeos_{name}", name.replace("_", " "), labels=labels
                    )
                family.add_metric([self._node, part], float(value))
        return [*families.values(), words]


class MetricsServer:
    """Answers GET /metrics over HTTP. `listen`: tcp://HOST:PORT."""

    def __init__(self, listen: str, node: str, parts: Parts):
        place = urlsplit(listen)
        self._host, self._port = place.hostname, place.port
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(figures(node, parts))
        ProcessCollector(registry=self._registry)
        self._asking = 0
        self._text, self._kept_until_s = b"", 0.0

    async def run(self) -> None:
        """Serve until cancelled. Raises UserError if it cannot listen there."""
        try:
            server = await asyncio.start_server(
                self._answer, self._host, self._port, limit=MOST_HEADER_BYTES
            )
        except OSError as error:
            raise UserError(
                "nobody is told figures",
                where="metrics.listen",
                found=f"{error.strerror or error} at {self._host}:{self._port}",
                do="choose another port in [metrics], or stop what has it "
                f"(ss -ltnp 'sport = :{self._port}' names it)",
            ) from error
        async with server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._asking >= MOST_AT_ONCE:
            writer.close()
            return
        self._asking += 1
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            asked = head.split(b"\r\n", 1)[0].split(b" ")
            if asked[:1] != [b"GET"] or asked[1:2] not in ([b"/metrics"], [b"/metrics/"]):
                status, body = "404 Not Found", b"here is /metrics\n"
            else:
                status, body = "200 OK", self._now()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            async with asyncio.timeout(ASK_LIMIT_S):
                await writer.drain()
        except (
            TimeoutError,
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            pass  # whoever asks badly gets nothing
        finally:
            self._asking -= 1
            writer.close()

    def _now(self) -> bytes:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._kept_until_s:
            self._text = generate_latest(self._registry)
            self._kept_until_s = now_s + KEPT_S
        return self._text
