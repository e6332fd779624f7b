"""Watchers of a dashboard's page without a browser: they take what is sent, and draw nothing.

    python -m benchmarks.dashboard_watchers URL COUNT

Prints `ready` when all are connected, then once a second how many increments have come in all;
ends with its standard input. A process of its own, so that what watchers take is not the server's.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

READY_LIMIT_S = 30.0


@dataclass
class Watchers:
    """What they have said."""

    process: subprocess.Popen[str]
    ready: threading.Event = field(default_factory=threading.Event)
    received: int = 0
    """Increments so far, of all watchers together."""

    def listen(self) -> None:
        """Take what they print, until they end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                self.ready.set()
            else:
                self.received = int(line)


@contextmanager
def watchers(url: str, count: int) -> Iterator[Watchers]:
    """So many, connected. Raises RuntimeError if they cannot be."""
    with ExitStack() as stack:
        command = [sys.executable, "-m", "benchmarks.dashboard_watchers", url, str(count)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        found = Watchers(process)
        listening = threading.Thread(target=found.listen, daemon=True)
        listening.start()
        stack.callback(process.wait, 10)
        assert process.stdin is not None
        stack.callback(process.stdin.close)
        if not found.ready.wait(READY_LIMIT_S):
            process.kill()
            raise RuntimeError(f"{count} watchers of {url} are not connected")
        yield found


async def watch(url: str, count: int) -> None:
    """Connect, and count until the standard input ends."""
    import socketio

    received = 0

    def heard(event: str, *data: object) -> None:
        nonlocal received
        received += event == "run_javascript"  # NiceGUI calls the page so

    site = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    clients = []
    for _ in range(count):
        page = await asyncio.to_thread(_page, url)
        found = re.search(r"""['"]client_id['"]: ['"]([^'"]+)""", page)
        if found is None:
            raise RuntimeError(f"{url} is no page of NiceGUI")
        client = socketio.AsyncClient(reconnection=False)
        client.on("*", heard)
        query = {"client_id": found[1], "tab_id": str(uuid.uuid4()), "document_id": found[1]}
        query |= {"next_message_id": "0", "implicit_handshake": "true"}
        await client.connect(
            f"{site}?{urlencode(query)}",
            socketio_path="/_nicegui_ws/socket.io",
            transports=["websocket"],
        )
        clients.append(client)
    print("ready", flush=True)
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    while not ended.done():
        await asyncio.wait([ended], timeout=1.0)
        print(received, flush=True)
    for client in clients:
        await client.disconnect()


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


if __name__ == "__main__":
    os.nice(19)  # they stand for other computers
    asyncio.run(watch(sys.argv[1], int(sys.argv[2])))
