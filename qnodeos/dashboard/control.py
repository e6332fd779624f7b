"""What an operator may do from the dashboard: behind a token, and never without being asked."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qnodeos.acknowledging import Desk
from qnodeos.dashboard.alarms import Alarms
from qnodeos.dashboard.feed import ask_node
from qnodeos.dashboard.view import NetworkView
from qnodeos.errors import UserError

GUESS_PAUSE_S = 1.0
INTERLOCK_LIMIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Field:
    """Something to fill in before an act; with `choices`, one of these, each with its words."""

    name: str
    label: str
    value: str
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """What an operator is asked before something is done."""

    text: str
    of: str
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that may be done, to what it is told of; `do` gets the answers by field."""

    question: Callable[[str], Question]
    do: Callable[[str, Mapping[str, str]], Awaitable[str]]


class Control:
    """`token` "": nothing may be done. `more`: acts beside those on nodes and alarms."""

    def __init__(
        self,
        network: NetworkView,
        alarms: Alarms,
        token: str,
        more: Mapping[str, Act] | None = None,
    ):
        self._network, self._alarms, self._token = network, alarms, token
        self._guess = asyncio.Lock()
        self._acts: dict[str, Act] = {
            "acknowledge": _plain("Acknowledge this alarm", self._acknowledge),
            "interlock": _plain(
                "Acknowledge this interlock, so that emission may return", self._interlock
            ),
            "reload": _plain("Have this node read its configuration again", self._reload),
            "cancel": _plain("Cancel this request at both ends", self._cancel),
            **(more or {}),
        }

    @property
    def there(self) -> bool:
        """Anything may be done at all."""
        return bool(self._token)

    def asks(self, act: str, of: str) -> Question | None:
        """What the operator is asked before it is done; None for what is not known."""
        return self._acts[act].question(of) if self.there and act in self._acts else None

    async def allowed(self, token: str) -> bool:
        """The token is right; guesses are slowed down."""
        if not self._token:
            return False
        if hmac.compare_digest(token.encode(), self._token.encode()):
            return True
        async with self._guess:
            await asyncio.sleep(GUESS_PAUSE_S)
        return False

    async def do(self, act: str, of: str, answers: Mapping[str, str]) -> str:
        """Do it; what came of it. Whoever calls this has asked `allowed`. Raises QnodeosError."""
        try:
            return await self._acts[act].do(of, answers)
        except (KeyError, ValueError) as error:
            raise UserError(f"there is no '{of}' here", do="load the page again") from error

    async def _acknowledge(self, key: str) -> str:
        return "acknowledged" if self._alarms.acknowledge(key) else "it is over already"

    async def _interlock(self, of: str) -> str:
        node, _, name = of.partition("/")
        place = self._network.nodes[node].place
        if name not in place.config.interlocks and name not in place.config.guards:
            raise UserError(f"there is no interlock '{name}'", where=f"node {node}")
        desk = Desk(place.data_dir)
        try:
            problem = await asyncio.to_thread(desk.ask, name, timeout_s=INTERLOCK_LIMIT_S)
        except (OSError, TimeoutError) as error:
            raise UserError("the node does not answer", where=node, found=str(error)) from error
        return problem or f"interlock {name} is closed"

    async def _reload(self, node: str) -> str:
        changed = await ask_node(self._network.nodes[node], "reload")
        return "; ".join(changed) or "nothing has changed"

    async def _cancel(self, of: str) -> str:
        node, link, request = of.split("/")
        await ask_node(self._network.nodes[node], "request.cancel", link=link, request=request)
        return "cancelled"


def _plain(text: str, do: Callable[[str], Awaitable[str]]) -> Act:
    """An act with nothing to fill in."""
    return Act(lambda of: Question(text, of), lambda of, answers: do(of))


def read_token(file: Path) -> str:
    """The token in a file, which is made, for this user alone, where there is none."""
    try:
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24) + "\n", encoding="utf-8")
        token = file.read_text(encoding="utf-8").strip()
        open_to_others = file.stat().st_mode & 0o077
    except OSError as error:
        raise UserError(
            "the token cannot be read", where=str(file), found=error.strerror or str(error)
        ) from error
    if len(token) < 16 or open_to_others:
        raise UserError(
            "this file cannot hold the dashboard's token",
            where=str(file),
            found="fewer than 16 characters" if len(token) < 16 else "others may read it",
            expected="16 characters or more, in a file for this user alone",
            do=f"remove it, and one is made; or chmod 600 {file}",
        )
    return token
