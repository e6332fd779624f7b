"""JSON-RPC 2.0 on a link that carries messages, as instruments on HTTP speak it."""

from __future__ import annotations

import json
from typing import Any

from drivers.errors import InstrumentError, ProtocolError
from drivers.framing import PACKET
from drivers.links.base import Link


class JsonRpc:
    """Calls of named methods, one at a time. Raises the exceptions of `drivers.errors`."""

    def __init__(self, link: Link, *, timeout_s: float = 1.0):
        self.link = link
        self._timeout_s = timeout_s
        self._id = 0

    async def call(self, method: str, params: Any = (), *, timeout_s: float | None = None) -> Any:
        """The result of a method; InstrumentError when the instrument answers with an error."""
        self._id += 1
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": self._id, "method": method}
        if params:
            request["params"] = params
        raw = await self.link.exchange(
            PACKET.wrap(json.dumps(request, separators=(",", ":"), allow_nan=False).encode()),
            PACKET,
            timeout_s=timeout_s or self._timeout_s,
            command=method,
        )
        try:
            answer = json.loads(raw)
        except ValueError:
            raise self._garbled("expected JSON", raw, method) from None
        if not isinstance(answer, dict) or answer.get("id") != self._id:
            raise self._garbled(f"expected the answer to request {self._id}", raw, method)
        error = answer.get("error")
        if error is not None:
            known = error if isinstance(error, dict) else {"message": error}
            text = str(known.get("message", "no text"))
            data = known.get("data")
            if data is not None:
                text += f" ({data.get('message', data) if isinstance(data, dict) else data})"
            raise InstrumentError(known.get("code", "error"), text, **self.about(method))
        if "result" not in answer:
            raise self._garbled("expected a result or an error", raw, method)
        return answer["result"]

    async def number(self, method: str, params: Any = ()) -> float:
        """A result that is a number."""
        value = await self.call(method, params)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.garbled("expected a number", value, method)
        return float(value)

    async def flag(self, method: str, params: Any = ()) -> bool:
        """A result that is true or false, or 1 or 0."""
        value = await self.call(method, params)
        if value not in (0, 1):
            raise self.garbled("expected true or false", value, method)
        return bool(value)

    async def text(self, method: str, params: Any = ()) -> str:
        """A result that is a text."""
        value = await self.call(method, params)
        if not isinstance(value, str):
            raise self.garbled("expected a text", value, method)
        return value

    def garbled(self, reason: str, value: Any, method: str) -> ProtocolError:
        """The exception for a result that makes no sense."""
        return self._garbled(reason, json.dumps(value).encode(), method)

    def about(self, method: str = "") -> dict[str, str]:
        """Whose, where and what, for an exception of `drivers.errors`."""
        return {"owner": self.link.owner, "resource": self.link.resource, "command": method}

    def _garbled(self, reason: str, raw: bytes, method: str) -> ProtocolError:
        self.link.poison()
        return ProtocolError(reason, raw, **self.about(method))
