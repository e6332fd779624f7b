"""A simulated lab that takes changes: looked at while a page shows it, and changed by an operator.

What comes from it is the truth. It stays here: no view of a node has it, and no node hears of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from qnodeos.errors import UserError

LOOK_EVERY_S = 0.5
ANSWER_LIMIT_S = 2.0
UNWATCHED_S = 3.0
"""A page asks at each turn; after this long without one, the lab is left alone."""


@dataclass(frozen=True, slots=True)
class LabPlace:
    """Where a lab takes changes: at `url`, or as it says itself in a file while it runs."""

    file: Path | None = None
    url: str = ""
    token: str = ""

    def find(self) -> tuple[str, str]:
        """Address and token. Raises UserError where no lab tells them."""
        if self.file is None:
            return self.url, self.token
        try:
            told = json.loads(self.file.read_text(encoding="utf-8"))
            return str(told["url"]), str(told["token"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                "the simulated lab is not there",
                where=str(self.file),
                found="no such file" if isinstance(error, FileNotFoundError) else str(error),
                expected="the file that a lab writes while it takes changes",
                do=f"start it: qnodeos sim {self.file.with_suffix('.toml')} --control "
                "127.0.0.1:7190",
            ) from error


class Lab:
    """One lab; `world` and `breakable` are its last words, empty while it is away."""

    def __init__(self, place: LabPlace, clock: Callable[[], float]):
        self.world: dict[str, Any] = {}
        """By section, name and field the values that can be changed; `faults` that act; `t_s`."""
        self.breakable: dict[str, Any] = {}
        """By section the `names` of its things and the `kinds` of their faults."""
        self.problem = ""
        """Why there is no word."""
        self._place, self._clock = place, clock
        self._seen = not place.file
        self._wanted_s = 0.0
        self._task: asyncio.Task[None] | None = None
        # A proxy of the environment is for other places than this computer.
        self._http = httpx.AsyncClient(trust_env=False, timeout=ANSWER_LIMIT_S)

    @property
    def attached(self) -> bool:
        """There is one, or was: then its absence is told."""
        self._seen = self._seen or (self._place.file is not None and self._place.file.exists())
        return self._seen

    def look(self) -> None:
        """Keep the last words fresh for a while."""
        self._wanted_s = self._clock()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())

    async def set(self, path: str, value: object) -> str:
        """Change one value from now on; what came of it. Raises UserError with the lab's reason."""
        await self._ask("POST", "/set", {"path": path, "value": value})
        return f"{path} = {value}"

    async def fault(self, of: str, kind: str, size: float | None, for_s: float | None) -> str:
        """Bring a fault on; what came of it. None: as strong as usual, until it is taken back."""
        chosen = {"size": size, "for_s": for_s}
        wanted = {name: value for name, value in chosen.items() if value is not None}
        told = await self._ask("POST", "/fault", {"of": of, "kind": kind, **wanted})
        return f"fault {told['n']}: {kind} of {of}"

    async def end(self, number: int) -> str:
        """Take a fault back; what came of it."""
        await self._ask("POST", "/end", {"n": number})
        return f"fault {number} is taken back"

    async def _watch(self) -> None:
        while self._clock() < self._wanted_s + UNWATCHED_S:
            try:
                self.world = await self._ask("GET", "/world")
                if not self.breakable:
                    self.breakable = await self._ask("GET", "/faults")
                self.problem = ""
            except UserError as problem:
                self.world, self.breakable, self.problem = {}, {}, str(problem)
            await asyncio.sleep(LOOK_EVERY_S)
        self.world = {}

    async def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        url, token = self._place.find()
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                answer = await self._http.request(
                    method, url + path, json=body, headers={"Authorization": f"Bearer {token}"}
                )
            told = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            raise UserError(
                "the simulated lab does not answer",
                where=url,
                found=str(error) or "no answer in time",
                do="see whether it runs, and its log",
            ) from error
        if answer.status_code != httpx.codes.OK or not isinstance(told, dict):
            reason = told.get("error", "") if isinstance(told, dict) else ""
            raise UserError("the lab has not done it", where=url, found=reason or answer.text)
        return told
