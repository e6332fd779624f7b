"""The compiled paths of the kernels: which this processor runs, and which one is taken.

Every kernel that has several takes `path`: None for the widest, or a name of `available_paths()`.
The environment variable QNODEOS_KERNEL_PATH, read at import, names the one that None means.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cext._cpu import best_path

T = TypeVar("T")

NAMES = ("portable", "avx2", "avx512")
VARIABLE = "QNODEOS_KERNEL_PATH"
# Pieces of work a thread gets, one after the other.
PARTS_A_THREAD = 8
# Below this number of tags a thread costs more than it saves.
TAGS_A_THREAD = 50_000


def available_paths() -> tuple[str, ...]:
    """Names of the paths that this processor runs, the portable one first."""
    return NAMES[: best_path() + 1]


def path_level(name: str | None) -> int:
    """Number of a path, the default one for None; ValueError for one that cannot run here."""
    if name is None:
        return _default
    if name not in available_paths():
        raise ValueError(
            f"no kernel path {name!r} on this processor, expected one of {available_paths()}"
        )
    return NAMES.index(name)


def checked_threads(kernel: str, threads: int, tags: int) -> int:
    """Number of threads worth starting for that many tags; ValueError below 1."""
    if threads < 1:
        raise ValueError(f"{kernel}: found threads {threads}, expected at least 1")
    return max(1, min(threads, tags // TAGS_A_THREAD))


def in_threads(work: Callable[[int], T], parts: int, threads: int) -> list[T]:
    """`work(0) ... work(parts - 1)`, shared out to threads as they come free.

    The work releases the GIL. Several parts a thread keep one that loses its core for a while from
    holding up the others.
    """
    if threads == 1:
        return [work(part) for part in range(parts)]
    left = iter(range(parts))
    done: dict[int, T] = {}

    def drain() -> None:
        # A range iterator gives each part to one thread only: `next` holds the GIL.
        for part in left:
            done[part] = work(part)

    with ThreadPoolExecutor(threads - 1, thread_name_prefix="kernel") as pool:
        others = [pool.submit(drain) for _ in range(threads - 1)]
        drain()
        for other in others:
            other.result()
    return [done[part] for part in range(parts)]


_default = best_path()
_default = path_level(os.environ.get(VARIABLE) or None)
