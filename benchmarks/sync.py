"""Clock synchronisation: the rows of `python -m benchmarks sync`, each part in its own file."""

from __future__ import annotations

from benchmarks.frame import Row, benchmark
from benchmarks.sync_acquisition import acquisition_rows, map_rows
from benchmarks.sync_exchange import exchange_rows
from benchmarks.sync_tracking import tracking_rows


@benchmark("sync", "clock synchronisation: hundreds of acquisitions, a tracked day; half an hour")
def sync() -> list[Row]:
    """Acquisition with fpfind on the same files, tracking and what spoils it, tag exchange."""
    return [*acquisition_rows(), *tracking_rows(), *exchange_rows()]


@benchmark("sync-map", "success of acquisition against pair rate and singles, with the rule's line")
def sync_map() -> list[Row]:
    """One row a cell of the map; `above` and `below` say on which side of the rule it lies."""
    return map_rows()
