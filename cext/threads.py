"""Work of a kernel in several threads: how many, which part each takes, and the parts that share.

Three ways make parts whose results, put side by side, are those of one walk to the bit. Where the
work has no state, any cut will do (`spans`). Where the state is a sum, a first walk of each part
tells what it adds, and `running` what lies ahead of it. Where tags are used up, streams are cut at
quiet gaps, longer than anything reaches across (`cext/quiet.h`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from typing import TypeVar

T = TypeVar("T")

# Below this number of tags a thread costs more than it saves.
TAGS_A_THREAD = 50_000


def checked_threads(kernel: str, threads: int, tags: int) -> int:
    """Number of threads worth starting for that many tags; ValueError below 1."""
    if threads < 1:
        raise ValueError(f"{kernel}: found threads {threads}, expected at least 1")
    return max(1, min(threads, tags // TAGS_A_THREAD))


def spans(tags: int, threads: int) -> list[tuple[int, int]]:
    """First index and the one past the last of each part; at least one part.

    A part is a share of what is left, so they are few and the last ones are small: threads that
    take them as they come free end together, whatever each part costs.
    """
    if threads == 1 or tags == 0:
        return [(0, tags)]
    least = max(1, TAGS_A_THREAD // 2)
    edges = [0]
    while (left := tags - edges[-1]) > 0:
        edges.append(edges[-1] + min(left, max(least, left // (2 * threads))))
    return list(pairwise(edges))


def running(start: int, added: Iterable[int]) -> list[int]:
    """What lies ahead of each part, and of all at the end: the start and the sums from it."""
    return list(accumulate(added, initial=start))


def in_threads(work: Callable[[int], T], parts: int, threads: int) -> list[T]:
    """`work(0) ... work(parts - 1)`, shared out to threads as they come free.

    The work releases the GIL. What one of them raises is raised, the first part's if several do.
    """
    if threads == 1:
        return [work(part) for part in range(parts)]
    left = iter(range(parts))
    done: dict[int, T] = {}
    failed: dict[int, BaseException] = {}

    def drain() -> None:
        # A range iterator gives each part to one thread only: `next` holds the GIL.
        for part in left:
            try:
                done[part] = work(part)
            except BaseException as error:
                failed[part] = error

    with ThreadPoolExecutor(threads - 1, thread_name_prefix="kernel") as pool:
        others = [pool.submit(drain) for _ in range(threads - 1)]
        drain()
        for other in others:
            other.result()
    if failed:
        raise failed[min(failed)]
    return [done[part] for part in range(parts)]
