"""Clock synchronisation: the rows of `python -m benchmarks sync`, each part in a file of its own."""

from __future__ import annotations

from benchmarks.frame import Row, benchmark
from benchmarks.sync_acquisition import acquisition_rows, map_rows


@benchmark("sync", "clock synchronisation: acquisition over hundreds of trials; many minutes")
def sync() -> list[Row]:
    """Acquisition against its targets, and fpfind on the same files."""
    return acquisition_rows()


@benchmark("sync-map", "success of acquisition against pair rate and singles, with the rule's line")
def sync_map() -> list[Row]:
    """One row a cell of the map; `above` and `below` say on which side of the rule it lies."""
    return map_rows()
