"""A target of a sipyco RPC server as a sequencer, which is how ARTIQ parts meet on a network."""

from __future__ import annotations

import asyncio
from typing import Any

from qnodeos_artiq.sequencer import CALL_LIMIT_S, Fault, Sequencer, result_of


class SipycoSequencer(Sequencer):
    """Connects when first asked, and anew after a call that did not end well.

    sipyco's client takes the next line as the answer to the next call, so that the answer to a call
    that was given up would be taken for that of another: such a connection is closed.
    """

    def __init__(
        self, host: str, port: int, target: str = "", *, limit_s: float = CALL_LIMIT_S
    ) -> None:
        """`target` may be empty where the server has one. Raises ImportError without sipyco."""
        try:
            from sipyco import pc_rpc
        except ImportError as error:
            raise ImportError(
                f"sipyco cannot be imported ({error}). It is part of every ARTIQ installation "
                "(LGPL-3.0-or-later; pip install git+https://github.com/m-labs/sipyco)"
            ) from error
        self._rpc = pc_rpc
        self._where = f"{host} port {port}"
        self._address = (host, port, target or pc_rpc.AutoTarget)
        self._limit_s = limit_s
        self._client: Any = None

    async def call(self, method: str, *arguments: Any) -> Any:
        """See Sequencer."""
        client = await self._connected()
        try:
            function = getattr(client, method)
        except AttributeError:
            raise Fault(1, f"the target at {self._where} has no method {method!r}") from None
        asked = asyncio.ensure_future(function(*arguments))
        try:
            done, _ = await asyncio.wait({asked}, timeout=self._limit_s)
        finally:
            if not asked.done():
                asked.cancel()
                await self.close()
        if not done:
            raise Fault(4, f"{method} at {self._where} took longer than {self._limit_s:g} s")
        try:
            return result_of(method, asked.result)
        except Fault:
            # A remote error leaves the connection in order, a broken one does not: told apart
            # by nothing that sipyco raises.
            await self.close()
            raise

    async def close(self) -> None:
        """See Sequencer."""
        client, self._client = self._client, None
        if client is not None:
            client.close_rpc()

    async def _connected(self) -> Any:
        if self._client is None:
            client = self._rpc.AsyncioClient()
            try:
                async with asyncio.timeout(self._limit_s):
                    await client.connect_rpc(*self._address)
            except Exception as error:
                raise Fault(4, f"no sipyco target at {self._where}: {error!r}") from error
            self._client = client
        return self._client
