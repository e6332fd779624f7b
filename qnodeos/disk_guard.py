"""Keeps recorded tags within their share of the disk, and the disk free for everything else.

The oldest segments are removed, sealed ones before others of their age; never one that is being
written. Below the least free space recording pauses, and goes on once there is a tenth more.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timing.segments import is_being_written
from timing.segments.sealed import SEALED
from timing.segments.writer import RAW

LOOK_S = 5.0
HYSTERESIS = 1.1
BYTES_PER_GB = 1e9
S_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Share:
    """What recordings may take: for how long, how many bytes, and what they must leave free."""

    keep_s: float | None = None
    keep_bytes: float | None = None
    free_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A segment on the disk."""

    path: Path
    size: int
    written_s: float


def free_bytes(folder: Path) -> int:
    """Free space where a folder is or will be; raises OSError."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free


def surplus(files: list[KeptFile], share: Share, now_s: float) -> list[KeptFile]:
    """Those to remove, oldest first; of one age, sealed ones first."""
    ordered = sorted(files, key=lambda each: (each.written_s, each.path.suffix != SEALED))
    kept_bytes = sum(each.size for each in ordered)
    gone: list[KeptFile] = []
    for each in ordered:
        old = share.keep_s is not None and now_s - each.written_s > share.keep_s
        many = share.keep_bytes is not None and kept_bytes > share.keep_bytes
        if not old and not many:
            break
        gone.append(each)
        kept_bytes -= each.size
    return gone


class DiskGuard:
    """Looks after the folder of the recordings.

    `pause` and `resume` act on the recorder; `note` is told of what was removed, for the journal.
    `wall` gives seconds since 1970, `free` the free space.
    """

    def __init__(
        self,
        folder: Path,
        share: Share,
        *,
        pause: Callable[[str], None],
        resume: Callable[[], None],
        note: Callable[[dict[str, Any]], None],
        wall: Callable[[], float],
        free: Callable[[Path], int] = free_bytes,
    ):
        self._folder, self._share = folder, share
        self._pause, self._resume, self._note = pause, resume, note
        self._wall, self._free = wall, free
        self._kept_bytes = self._free_bytes = 0
        self._removed_files = self._removed_bytes = 0
        self._problem = ""
        self._paused = False

    def status(self) -> dict[str, float | int | str | bool]:
        """For bus, metrics and journal."""
        return {
            "kept_bytes": self._kept_bytes,
            "free_bytes": self._free_bytes,
            "removed_files": self._removed_files,
            "removed_bytes": self._removed_bytes,
            "problem": self._problem,
        }

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Remove what is too much, then see whether there is room to record."""
        try:
            gone = await asyncio.to_thread(self._tidy)
            self._free_bytes = await asyncio.to_thread(self._free, self._folder)
        except OSError as error:
            self._problem = f"the recordings cannot be looked after: {error}"
            return
        self._problem = ""
        if gone:
            self._removed_files += len(gone)
            self._removed_bytes += sum(each.size for each in gone)
            size = sum(each.size for each in gone)
            self._note({"removed": [each.path.name for each in gone], "bytes": size})
        least = self._share.free_bytes
        if self._free_bytes < least:
            self._paused = True
            self._pause(
                f"no tags are recorded: the disk of {self._folder} has less than "
                f"{least / BYTES_PER_GB:g} GB free (record.min_free_gb); make room"
            )
        elif self._paused and self._free_bytes >= least * HYSTERESIS:
            self._paused = False
            self._resume()

    def _tidy(self) -> list[KeptFile]:
        """In a thread: remove the surplus; what is left is counted."""
        files = []
        for path in self._folder.glob("*/*") if self._folder.is_dir() else ():
            if path.suffix in (RAW, SEALED):
                stat = path.stat()
                files.append(KeptFile(path, stat.st_size, stat.st_mtime))
        self._kept_bytes = sum(each.size for each in files)
        gone = []
        for each in surplus(files, self._share, self._wall()):
            if not is_being_written(each.path):
                each.path.unlink()
                gone.append(each)
                self._kept_bytes -= each.size
        return gone
