"""Seals segments that are closed, in a process of its own: packing HDF5 takes seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qnodeos.worker import worker_process
from timing.segments import SegmentError, is_being_written
from timing.segments.sealed import seal
from timing.segments.writer import RAW

log = logging.getLogger("qnodeos.sealing")

LOOK_S = 2.0
NICENESS = 10
LIMIT_S = 600.0


class Sealer:
    """Looks for closed segments in the folders below one, also those of an earlier run.

    A segment that cannot be sealed stays as it is, is told once, and not tried again. `executor`:
    where it is done, by default a process of low priority as long as there is something to do.
    """

    def __init__(
        self,
        folder: Path,
        *,
        note: Callable[[dict[str, Any]], None],
        executor: Executor | None = None,
    ):
        self._folder, self._note, self._executor = folder, note, executor
        self._refused: set[Path] = set()
        self._sealed = 0
        self._problem = "" if find_spec("h5py") else "h5py is not installed: qnodeos[hdf5]"

    def status(self) -> dict[str, float | int | str | bool]:
        """For bus, metrics and journal."""
        return {"sealed": self._sealed, "unsealable": len(self._refused), "problem": self._problem}

    async def run(self) -> None:
        """Until cancelled; at once over where h5py is missing."""
        if self._problem:
            log.warning("segments are not sealed: %s", self._problem)
            return
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Seal all that are closed now."""
        try:
            waiting = await asyncio.to_thread(self._closed)
        except OSError as error:
            self._problem = str(error)
            return
        if not waiting:
            return
        if self._executor is not None:
            await self._all(self._executor, waiting)
            return
        process = worker_process(NICENESS)
        try:
            await self._all(process, waiting)
        finally:
            # A node that stops does not wait: what is under way is finished, or found again.
            process.shutdown(wait=False, cancel_futures=True)

    async def _all(self, executor: Executor, waiting: list[Path]) -> None:
        loop = asyncio.get_running_loop()
        for path in waiting:
            try:
                async with asyncio.timeout(LIMIT_S):
                    await loop.run_in_executor(executor, partial(seal, path))
            except FileNotFoundError:
                continue  # it was removed meanwhile
            except (OSError, SegmentError, BrokenExecutor, TimeoutError) as error:
                self._refused.add(path)
                self._problem = f"{path.name} is not sealed: {error}"
                self._note({"file": str(path), "sealed": False, "reason": str(error)})
                if isinstance(error, BrokenExecutor):
                    return
            else:
                self._sealed += 1
                self._problem = ""

    def _closed(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        found = sorted(self._folder.glob(f"*/*{RAW}"))
        return [path for path in found if path not in self._refused and not is_being_written(path)]
