"""Programs that use a node: `async with qnodeos.connect("node.toml") as node: ...`.

Everything awaited here raises NodeError with the node's reason, or NodeGone when it has ended.
docs/native-api.md has examples that run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from qnodeos.errors import QnodeosError, UserError
from qnodeos.frames import (
    PROTOCOL_VERSION,
    BadFrame,
    Call,
    Cancel,
    Frame,
    Line,
    Progress,
    Reply,
)
from timing.timeouts import mend

mend()

Basis = Literal["X", "Y", "Z"]
Kind = Literal["K", "M", "R"]

CONNECT_LIMIT_S = 5.0


class NodeError(QnodeosError):
    """The node refuses or could not do it. `kind` is the name of the error there."""

    def __init__(self, kind: str, text: str):
        self.kind, self.text = kind, text
        super().__init__(f"{kind}: {text}")


class NodeGone(NodeError):
    """The connection to the node has ended."""

    def __init__(self, text: str = "the node has ended the connection"):
        super().__init__("NodeGone", text)


def seconds(span: float | str) -> float:
    """A time in seconds: a number, or a text as "250 ms", "2 s", "1.5 min". Raises ValueError."""
    if isinstance(span, int | float):
        return float(span)
    from qnodeos.config.units import read

    return float(read(span, "s"))


class Pair:
    """This end's half of one pair. `measure` and `release` end it."""

    def __init__(self, node: Node, told: Mapping[str, Any]):
        self.link: str = told["link"]
        self.sequence: int = told["sequence"]
        """Identity within the link, the same at both ends."""
        self.slot: int = told["slot"]
        self.fidelity: float = told["fidelity"]
        """The link's estimate for the moment of the herald."""
        self.fidelity_interval: tuple[float, float] = tuple(told["fidelity_interval"])
        """95 % credible, when the pair was told; 0 to 1 before there were test rounds."""
        self.bell_state: str = told["bell_state"]
        self.left_s: float = told["left_s"]
        """How long it was of use when it was told."""
        self.prepared: tuple[str, int] | None = (
            tuple(told["prepared"]) if told["prepared"] else None
        )
        """Of type R: the basis in which the origin measured, and its outcome."""
        self._node, self._handle = node, told["pair"]

    async def measure(self, basis: Basis = "Z") -> int:
        """0 for the +1 eigenstate of the basis, 1 for the other."""
        return int(await self._node.call("pair.measure", pair=self._handle, basis=basis))

    async def gate(self, gate: str) -> None:
        """A one-qubit gate of the device on this half."""
        await self._node.call("pair.gate", pair=self._handle, gate=gate)

    async def cnot_from(self, qubit: Qubit) -> None:
        """CNOT with a local qubit as control and this half as target."""
        await self._node.call("pair.cnot", pair=self._handle, qubit=qubit.handle)

    async def cnot_onto(self, qubit: Qubit) -> None:
        """CNOT with this half as control and a local qubit as target."""
        await self._node.call("pair.cnot", pair=self._handle, qubit=qubit.handle, reverse=True)

    async def release(self) -> None:
        """Give the pair up at both ends; harmless if it is gone already."""
        await self._node.call("pair.release", pair=self._handle)


class Qubit:
    """A storage qubit of the node's device that is this program's."""

    def __init__(self, node: Node, handle: int):
        self.handle = handle
        self._node = node

    async def gate(self, gate: str) -> None:
        """A one-qubit gate of the device."""
        await self._node.call("qubit.gate", gate=gate, qubits=[self.handle])

    async def cnot(self, target: Qubit) -> None:
        """CNOT with this qubit as control."""
        await self._node.call("qubit.gate", gate="CNOT", qubits=[self.handle, target.handle])

    async def measure(self, basis: Basis = "Z") -> int:
        """Measure and give the qubit back."""
        return int(await self._node.call("qubit.measure", qubit=self.handle, basis=basis))

    async def release(self) -> None:
        """Give it back unmeasured."""
        await self._node.call("qubit.release", qubit=self.handle)


Outcomes = dict[str, Any]
"""Of pairs measured at once: link, basis, pairs, outcomes, fidelity, bell_state."""


class Node:
    """A node that runs, as this program sees it."""

    def __init__(self) -> None:
        self.name = ""
        self.line = Line(self._take, self._over)
        self._last = 0
        self._waiting: dict[
            int, tuple[asyncio.Future[Any], Callable[[float, str], None] | None]
        ] = {}
        self._gone: NodeGone | None = None

    async def call(
        self, method: str, *, progress: Callable[[float, str], None] | None = None, **arguments: Any
    ) -> Any:
        """Any method of the node, as the command line uses them."""
        if self._gone is not None:
            raise self._gone
        self._last += 1
        number = self._last
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply, progress
        self.line.say(Call(number, method, arguments))
        try:
            return await reply
        except asyncio.CancelledError:
            if number in self._waiting:
                self.line.say(Cancel(number))
            elif reply.done() and not reply.cancelled() and reply.exception() is None:
                self._give_up(reply.result())
            raise

    async def status(self) -> dict[str, Any]:
        """Links, applications, instruments and peers."""
        found: dict[str, Any] = await self.call("status")
        return found

    async def entangle(
        self,
        peer: str = "",
        *,
        fidelity: float = 0.5,
        within: float | str = "10 s",
        purpose: str = "app",
        **more: Any,
    ) -> Pair:
        """One pair with a peer, of at least this fidelity, within a time; `more` as of `pairs`."""
        told = await self.call(
            "pair",
            peer=peer,
            fidelity=fidelity,
            within_s=seconds(within),
            purpose=purpose,
            **more,
        )
        return Pair(self, told)

    async def pairs(
        self,
        peer: str = "",
        *,
        number: int,
        kind: Kind = "K",
        fidelity: float = 0.5,
        within: float | str = "10 s",
        purpose: str = "app",
        **more: Any,
    ) -> AsyncIterator[Pair | Outcomes]:
        """Pairs with a peer as they come: K and the far end of R give `Pair`, the others outcomes.

        `more`: link, priority, corrected, atomic, consecutive, window_s, purify ("no", "auto",
        "dejmps", "epl"), and near and far as {"X": 0.5, "Z": 0.5}. Leaving
        the loop early cancels the request.
        """
        request = await self.call(
            "entangle",
            peer=peer,
            number=number,
            kind=kind,
            fidelity=fidelity,
            within_s=seconds(within),
            purpose=purpose,
            **more,
        )
        async for item in self._deliveries(request):
            yield item

    async def accept(
        self, purpose: str = "app", *, peer: str = "", link: str = ""
    ) -> AsyncIterator[Pair | Outcomes]:
        """Take part in a peer's requests of a purpose; their pairs as they come."""
        request = await self.call("accept", purpose=purpose, peer=peer, link=link)
        async for item in self._deliveries(request):
            yield item

    async def withdrawals(self, *, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Pairs that were delivered here and are not to be used after all, as they are withdrawn:
        link, request, purpose, origin, first and last identity, pairs, reason.

        `after`: from the one with the next `number` on; 0 for all that the node still has.
        """
        while True:
            for each in await self.call("withdrawn", after=after):
                after = each["number"]
                yield each

    async def qubit(self, state: str = "0", *, peer: str = "", link: str = "") -> Qubit:
        """A storage qubit of the device of a link, in "0" "1" "+" "-" "+i" or "-i"."""
        return Qubit(self, await self.call("qubit.new", state=state, peer=peer, link=link))

    async def channel(self, peer: str, name: str) -> None:
        """Hear the words of this name from now on; `say` and `hear` do it by themselves.

        What comes before that is lost, so who waits for words opens their channel first.
        """
        await self.call("channel", peer=peer, channel=name)

    async def say(self, peer: str, channel: str, **body: float | str) -> bool:
        """A word to this program's other half at a peer; False if the peer is away."""
        return bool(await self.call("say", peer=peer, channel=channel, body=body))

    async def hear(self, peer: str, channel: str) -> dict[str, Any]:
        """The next word of this program's other half."""
        found: dict[str, Any] = await self.call("hear", peer=peer, channel=channel)
        return found

    async def _deliveries(self, request: int) -> AsyncIterator[Pair | Outcomes]:
        over = False
        try:
            while (told := await self.call("next", request=request)) is not None:
                yield Pair(self, told) if "pair" in told else told
            over = True
        except NodeError:
            over = True
            raise
        finally:
            if not over and self._gone is None:
                await self.call("cancel", request=request)

    def _take(self, frame: Frame) -> None:
        match frame:
            case Progress(id=number, done=done, text=text):
                progress = self._waiting.get(number, (None, None))[1]
                if progress is not None:
                    progress(done, text)
            case Reply(id=number):
                reply = self._waiting.pop(number, (None, None))[0]
                if reply is None:
                    return
                if reply.cancelled():
                    self._give_up(frame.value)
                elif frame.error:
                    reply.set_exception(NodeError(frame.error, frame.text))
                else:
                    reply.set_result(frame.value)

    def _give_up(self, value: Any) -> None:
        """Nobody waits for this reply any more, which came all the same."""
        if isinstance(value, dict) and "pair" in value:
            self._last += 1
            self.line.say(Call(self._last, "pair.release", {"pair": value["pair"]}))

    def _over(self, bad: BadFrame | None) -> None:
        self._gone = NodeGone(f"the node speaks otherwise: {bad}") if bad else NodeGone()
        for reply, _ in self._waiting.values():
            if not reply.done():
                reply.set_exception(NodeGone(self._gone.text))
        self._waiting.clear()


@asynccontextmanager
async def connect(where: str | Path) -> AsyncIterator[Node]:
    """A running node: by its TOML file, its data directory, or its socket. Raises UserError."""
    socket, node = _socket(Path(where)), Node()
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: node.line, str(socket))
    except (OSError, TimeoutError) as error:
        raise UserError(
            "the node does not answer",
            where=str(socket),
            found=str(error) or "no connection in time",
            expected="a node that runs on this computer, of this user",
            do="start it: qnodeos run NODE.toml",
        ) from error
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            hello = await node.call("hello", version=PROTOCOL_VERSION)
        node.name = hello["node"]
        yield node
    finally:
        node.line.close()


def _socket(where: Path) -> Path:
    from qnodeos.config import load_node
    from qnodeos.local_api import socket_of

    if where.is_socket():
        return where
    folder = where if where.is_dir() else load_node(where).node.data_dir
    found = socket_of(folder)
    if found is None:
        raise UserError(
            "the node does not run",
            where=str(folder),
            found="no socket is told there",
            do="start it: qnodeos run NODE.toml",
        )
    return found
