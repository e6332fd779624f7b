"""A link: one byte pipe to one instrument, used by one caller at a time.

The rule that keeps answers and questions together: an exchange that did not run to its end poisons
the link. From then on every use raises NotConnected until the link has been opened again, which
the supervisor does and then asks the instrument who it is. Whoever still waited for the link as it
was before gets NotConnected too, and never a word of the new connection.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from drivers.errors import NotConnected, ProtocolError, Timeout
from drivers.framing import Framing


class Transport(ABC):
    """A byte pipe as the operating system gives it.

    Raises OSError; a transport that unwraps a protocol of its own (HTTP) also raises ProtocolError
    without an owner. One that carries messages takes and gives each as a `framing.Packet`.
    """

    resource: str

    @abstractmethod
    async def open(self) -> None:
        """Connect; raises OSError."""

    @abstractmethod
    async def read(self) -> bytes:
        """Wait for bytes; b"" when the far end has closed. Cancellation loses no bytes."""

    def read_nowait(self) -> bytes:
        """What has already arrived; b"" for nothing, or where the pipe cannot tell."""
        return b""

    def notify(self, news: Callable[[], None] | None) -> bool:
        """Call `news` whenever bytes have arrived or the end has come; None: no longer.

        False where the pipe cannot: then only `read` tells.
        """
        return False

    @property
    def ended(self) -> bool:
        """Whether a pipe that can `notify` will give no more than `read_nowait` does."""
        return False

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Send all of it, waiting for room; raises OSError."""

    def write_now(self, data: bytes) -> bool:
        """Send all of it if that needs no waiting; False when nothing was sent. Raises OSError."""
        return False

    @abstractmethod
    async def close(self) -> None:
        """Close; never raises and may be called twice."""


class Link:
    """One lock, time limits, and poisoning over a transport.

    `owner` names the instrument in every message, as "alice/pump (toptica.dlcpro)".
    `unasked_bytes` counts bytes that were there before a question and so cannot answer it; they
    are thrown away.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        owner: str,
        beside: Callable[[str], Link] | None = None,
    ):
        self.transport = transport
        self.owner = owner
        self.unasked_bytes = 0
        self._beside = beside
        self._connection = 0
        self._lock = asyncio.Lock()
        self._buffer = bytearray()
        self._usable = False
        self._user: asyncio.Task[Any] | None = None

    @property
    def resource(self) -> str:
        """Where the instrument is, as written in the configuration."""
        return self.transport.resource

    @property
    def usable(self) -> bool:
        """Open and not poisoned."""
        return self._usable

    @property
    def user(self) -> asyncio.Task[Any] | None:
        """The task whose question is on its way now; None when nobody asks."""
        return self._user

    def beside(self, resource: str) -> Link:
        """A second link, not yet open, of an instrument that has two (a port for its counts)."""
        if self._beside is None:
            raise self._not_connected(f"there is no second link {resource} beside this one")
        return self._beside(resource)

    async def open(self, *, timeout_s: float = 3.0) -> None:
        """Connect anew, forgetting whatever was in flight; raises NotConnected."""
        await self.close()
        try:
            async with asyncio.timeout(timeout_s):
                await self.transport.open()
        except TimeoutError:
            await self.transport.close()
            raise self._not_connected(f"no connection within {timeout_s:g} s") from None
        except OSError as error:
            await self.transport.close()
            raise self._not_connected(f"{error.strerror or error}") from error
        except asyncio.CancelledError:
            await self.transport.close()
            raise
        self._usable = True

    async def close(self) -> None:
        """Close the pipe and drop what was received but not read."""
        self._usable = False
        self._connection += 1
        self._buffer.clear()
        await self.transport.close()

    async def exchange(
        self, request: bytes, framing: Framing, *, timeout_s: float = 1.0, command: str = ""
    ) -> bytes:
        """Send a request and return the one message that answers it.

        Raises NotConnected, Timeout, ProtocolError; each of them, and cancellation, poisons.
        """
        connection = self._connection
        async with self._lock:
            self._user = asyncio.current_task()
            try:
                with self._poisoning(command or _shown(request), timeout_s, connection):
                    async with asyncio.timeout(timeout_s):
                        self._drop_unasked()
                        await self.transport.write(request)
                        return await self._take(framing, connection)
            finally:
                self._user = None

    def send_now(self, request: bytes) -> bool:
        """Send a command if that needs no waiting; False when nothing was sent.

        Raises NotConnected.
        """
        if not self._usable:
            raise self._not_connected(
                "the link is closed or out of step; it has to be opened again", _shown(request)
            )
        if self._lock.locked():
            return False
        try:
            return self.transport.write_now(request)
        except OSError as error:
            self._usable = False
            raise self._not_connected(f"{error.strerror or error}", _shown(request)) from error

    async def send(self, request: bytes, *, timeout_s: float = 1.0) -> None:
        """Send a command that has no answer."""
        connection = self._connection
        if self._usable and self.send_now(request):
            return
        async with self._lock:
            with self._poisoning(_shown(request), timeout_s, connection):
                async with asyncio.timeout(timeout_s):
                    await self.transport.write(request)

    async def receive(
        self, framing: Framing, *, timeout_s: float | None = 1.0, command: str = "(listening)"
    ) -> bytes:
        """The next message of a stream or of a multi-part answer.

        For the one reader of a link whose instrument speaks unasked. Cancellation between messages
        loses nothing and does not poison; a timeout does, unless `timeout_s` is None.
        """
        connection = self._connection
        with self._poisoning(command, timeout_s or 0.0, connection, cancellation_poisons=False):
            if timeout_s is None:
                return await self._take(framing, connection)
            async with asyncio.timeout(timeout_s):
                return await self._take(framing, connection)

    async def listen(
        self, framing: Framing, take: Callable[[bytes], None], *, command: str = "(listening)"
    ) -> NoReturn:
        """Give every message to `take` in the moment it arrives, until the link ends.

        For the one reader of a link whose instrument speaks unasked and whose words are urgent: no
        task stands between. What `take` raises ends it too.
        """
        connection = self._connection
        with self._poisoning(command, 0.0, connection, cancellation_poisons=False):
            over: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()

            def news() -> None:
                if over.done():
                    return
                try:
                    self._buffer += self.transport.read_nowait()
                    while self._buffer and (message := framing.take(self._buffer)) is not None:
                        take(message)
                    self._check_end(connection)
                except Exception as error:
                    over.set_exception(error)

            if not self.transport.notify(news):
                while True:
                    take(await self._take(framing, connection))
            try:
                news()
                await over
            finally:
                self.transport.notify(None)
        raise AssertionError("a link that ends raises")

    def _check_end(self, connection: int) -> None:
        if connection != self._connection:
            raise ConnectionAbortedError("the link was closed meanwhile")
        if self.transport.ended:
            raise ConnectionResetError("the far end closed the connection")

    def poison(self) -> None:
        """Declare the pipe out of step: nothing may be asked before it has been opened again."""
        self._usable = False

    def about(self, command: str = "") -> dict[str, str]:
        """Whose, where and what, for an exception of `drivers.errors`."""
        return {"owner": self.owner, "resource": self.resource, "command": command}

    def _drop_unasked(self) -> None:
        self.unasked_bytes += len(self._buffer) + len(self.transport.read_nowait())
        self._buffer.clear()

    async def _take(self, framing: Framing, connection: int) -> bytes:
        while True:
            if self._buffer:
                message = framing.take(self._buffer)
                if message is not None:
                    return message
            data = await self.transport.read()
            if connection != self._connection:
                raise ConnectionAbortedError("the link was closed meanwhile")
            if not data:
                raise ConnectionResetError("the far end closed the connection")
            self._buffer += data

    @contextmanager
    def _poisoning(
        self,
        command: str,
        timeout_s: float,
        connection: int,
        *,
        cancellation_poisons: bool = True,
    ) -> Iterator[None]:
        """Turn every way of not finishing into one of our exceptions, and poison."""
        if not self._usable or connection != self._connection:
            raise self._not_connected(
                "the link is closed or out of step; it has to be opened again", command
            )
        try:
            yield
        except TimeoutError as error:
            self._poison_if(connection)
            if error.errno is not None:
                # The operating system's own: the far end no longer acknowledges.
                raise self._not_connected("the far end has gone silent", command) from error
            raise Timeout(
                f"no complete answer within {timeout_s:g} s",
                owner=self.owner,
                resource=self.resource,
                command=command,
            ) from None
        except OSError as error:
            self._poison_if(connection)
            raise self._not_connected(f"{error.strerror or error}", command) from error
        except ProtocolError as error:
            self._poison_if(connection)
            raise ProtocolError(
                error.reason, error.raw, owner=self.owner, resource=self.resource, command=command
            ) from error
        except asyncio.CancelledError:
            if cancellation_poisons:
                self._poison_if(connection)
            raise
        except Exception:
            self._poison_if(connection)
            raise

    def _poison_if(self, connection: int) -> None:
        if connection == self._connection:
            self._usable = False

    def _not_connected(self, reason: str, command: str = "") -> NotConnected:
        return NotConnected(reason, owner=self.owner, resource=self.resource, command=command)


def _shown(request: bytes) -> str:
    return repr(request[:60].decode("latin-1"))
