"""A process beside the node for work that takes seconds, and that ends whenever the node does."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def worker_process(niceness: int = 0) -> ProcessPoolExecutor:
    """One process, started with the first work that it is given; `niceness` as of os.nice.

    A process of a pool that waits for work never hears of the end of one that was killed, since it
    holds both ends of the pipe that work comes through. This one watches its parent.
    """
    return ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(niceness,),
    )


def kill_worker(pool: ProcessPoolExecutor) -> None:
    """End the process of a pool in the middle of its work, and no other; its work is broken off."""
    # Python 3.14 has `kill_workers` for this; before, a pool tells its processes to nobody.
    for process in tuple((pool._processes or {}).values()):
        process.kill()


def _begin(niceness: int) -> None:
    if hasattr(os, "sched_setscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        # A node that runs in real time gives this to its processes; but heralds wait for no work.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    if niceness:
        os.nice(niceness)
    # A thread, as the work may take long; this process has no event loop that it could disturb.
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
