"""The monitoring line of a Toptica DLC pro, TCP port 1999: changes of parameters without asking.

After `(add 'name ms)` a line `(time 'name value)` comes at once and then with each change, at most
each so many milliseconds; what goes wrong comes as `(Error: code (time 'name) text)`. Forms from
the vendor's MIT client (toptica-lasersdk `decop.py`, `asyncio/client.py`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from drivers.errors import InstrumentError, ProtocolError
from drivers.framing import LINE_LF
from drivers.links.base import Link

MONITOR_PORT = 1999

_CHANGE = re.compile(r"\((?P<time>\S+) '(?P<name>\S+) (?P<value>.*)\)", re.DOTALL)
_ERROR = re.compile(r"\(Error: (?P<code>-?\d+) \((?P<time>\S+) '(?P<name>\S+)\) (?P<text>.*)\)")
_HOST = re.compile(r"tcp://(\[[^\]]+\]|[^:/]+):\d+/?|TCPIP\d*::([^:]+)::\d+::SOCKET", re.IGNORECASE)

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Change:
    """A parameter has a new value; `unix_s` is the controller's own clock."""

    name: str
    value: Value
    unix_s: float


def monitor_resource(resource: str) -> str:
    """Where the monitoring line of a controller is, from where its command line is."""
    found = _HOST.fullmatch(resource)
    host = (found[1] or found[2]) if found else ""
    return f"tcp://{host}:{MONITOR_PORT}" if host else f"{resource}-monitor"


async def changes(
    link: Link, names: Sequence[str], *, interval_ms: int
) -> AsyncGenerator[Change, None]:
    """The present value of every parameter, then its changes, on a link that is opened for this.

    Raises InstrumentError for a parameter that does not exist, and what a link raises; a line that
    cannot be read is a ProtocolError.
    """
    await link.open()
    try:
        for name in names:
            await link.send(f"(add '{name} {interval_ms})\n".encode())
        while True:
            raw = await link.receive(LINE_LF, timeout_s=None, command="(monitoring line)")
            if line := raw.decode("utf-8", "replace").strip():
                yield _change(line, link)
    finally:
        await link.close()


def _change(line: str, link: Link) -> Change:
    about = {"owner": link.owner, "resource": link.resource}
    if failed := _ERROR.fullmatch(line):
        raise InstrumentError(
            int(failed["code"]), failed["text"], **about, command=f"add '{failed['name']}"
        )
    found = _CHANGE.fullmatch(line)
    try:
        if found is None:
            raise ValueError
        when = datetime.fromisoformat(found["time"].replace("Z", "+00:00"))
        value = _value(found["value"].strip())
    except ValueError:
        raise ProtocolError(
            "expected (time 'name value)", line.encode(), **about, command="(monitoring line)"
        ) from None
    return Change(found["name"], value, when.replace(tzinfo=when.tzinfo or UTC).timestamp())


def _value(text: str) -> Value:
    """A value as Scheme writes it; a list stays the text that it is."""
    if text in ("#t", "#f"):
        return text == "#t"
    if len(text) >= 2 and text.startswith('"') and text.endswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if text.startswith("("):
        return text
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return float(text)
