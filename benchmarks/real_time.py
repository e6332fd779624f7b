"""Has the processes of a benchmark run as docs/running.md has it for a node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.frame import CannotRunError, Row
from qnodeos.awake import LATENCY_FILE, processors_awake


@contextmanager
def in_real_time() -> Iterator[None]:
    """This process, and so those that it starts, by SCHED_RR, while processors stay awake. Raises
    CannotRunError."""
    if not os.access(LATENCY_FILE, os.R_OK | os.W_OK):
        raise CannotRunError(f"this user may not open {LATENCY_FILE}; try as root")
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except (AttributeError, PermissionError) as error:
        raise CannotRunError(
            "this user may not run in real time; try as root, or give it `rtprio 1` in "
            "/etc/security/limits.d"
        ) from error
    try:
        with processors_awake(0):
            yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def in_real_time_if_allowed() -> Iterator[Row]:
    """The same where this user may; the row says whether it was so."""
    with ExitStack() as stack:
        try:
            stack.enter_context(in_real_time())
            allowed = 1
        except CannotRunError:
            allowed = 0
        yield Row(
            "in real time, as docs/running.md has it: 1, if this user may not: 0", allowed, ""
        )
