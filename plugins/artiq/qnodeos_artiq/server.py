"""Serves one node at a time on TCP."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from qnodeos_artiq.device import Device
from qnodeos_artiq.frames import BadFrame, framed, next_request
from qnodeos_artiq.sequencer import Fault

log = logging.getLogger(__name__)

SEND_LIMIT_S = 2.0


class Server:
    """A new connection replaces the old one, most often dead; each ends in the safe state."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._session: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def start(self, host: str, port: int) -> asyncio.Server:
        """Listen; `close` of what is returned ends it."""
        return await asyncio.start_server(self._connected, host, port)

    async def close(self) -> None:
        """End the connection there is, with the device in its safe state."""
        async with self._changing:
            await self._end()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._changing:
            await self._end()
            self._session = asyncio.create_task(self._serve(reader, writer), name="session")

    async def _end(self) -> None:
        if self._session is not None:
            self._session.cancel()
            await asyncio.wait({self._session})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(fields: dict[str, Any]) -> None:
            writer.write(framed(fields))
            async with asyncio.timeout(SEND_LIMIT_S):
                await writer.drain()

        async def tell(event: dict[str, Any]) -> None:
            try:
                await send(event)
            except (OSError, TimeoutError):
                writer.close()

        try:
            while True:
                request = await next_request(reader)
                reply: dict[str, Any] = {"id": request["id"]}
                try:
                    reply |= {"ok": True, **await self._device.answer(request, tell)}
                except Fault as fault:
                    reply |= {"error": fault.code, "text": fault.text}
                await send(reply)
        except (BadFrame, OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # no frame, or a node that is gone or does not read: the connection ends
        finally:
            writer.close()
            await self._make_safe()

    async def _make_safe(self) -> None:
        try:
            await self._device.enter_safe_state()
        except Fault as fault:
            log.error("the safe state was not reached: %s", fault)
