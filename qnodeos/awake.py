"""Keeps the computer's processors from sleeping deeply while a node runs.

A word that comes to a processor which sleeps waits until it is awake, and a pair passes a dozen
processes. Linux keeps to the shortest such time that somebody asks for, for as long as the file in
which it was asked stays open (kernel documentation, power/pm_qos_interface).
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

LATENCY_FILE = Path("/dev/cpu_dma_latency")

HELP = "packaging/udev opens it to the group qnodeos; else run as root, or leave wake_within_us out"

log = logging.getLogger("qnodeos.awake")


@contextmanager
def processors_awake(wake_within_us: int | None, file: Path = LATENCY_FILE) -> Iterator[None]:
    """No processor may sleep so that it takes longer to wake, microseconds; None: as it is.

    Where the system does not take it, that is logged and nothing else changes.
    """
    if wake_within_us is None:
        yield
        return
    with ExitStack() as held:
        try:
            # Not "wb", which would make a file where there is no such device.
            asked = held.enter_context(file.open("r+b", buffering=0))
            asked.write(struct.pack("=i", wake_within_us))
        except OSError as error:
            log.warning("processors may sleep: %s: %s; %s", file, error.strerror, HELP)
        else:
            log.info("processors wake within %d us", wake_within_us)
        yield
