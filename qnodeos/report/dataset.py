"""The figures of a report as HDF5 in the form of netCDF-4, which xarray and others open.

A group a part, `/alice/link-photonic`: `time` is its coordinate, every figure a variable over it
with its unit. `/alice/changes` (of what is a word, as the state of a clock), `/alice/events`,
`/alice/troubles` and `/alice/verifications` are tables in the same form. Times are seconds since
1970, told as CF conventions want them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qnodeos.errors import UserError
from qnodeos.report.gather import Figures, NodeRecord
from qnodeos.report.page import written
from qnodeos.report.troubles import troubles

if TYPE_CHECKING:
    import h5py

TIME_UNITS = "seconds since 1970-01-01 00:00:00"

UNITS = {
    "cps": "s-1",
    "ps": "ps",
    "ns": "ns",
    "us": "us",
    "ms": "ms",
    "s": "s",
    "ppm": "1e-6",
    "bytes": "byte",
}
"""Units as UDUNITS writes them, by the end of a figure's name; others have the unit 1."""


def write_dataset(path: Path, records: Sequence[NodeRecord], *, version: str) -> None:
    """Write the figures of these nodes; raises UserError."""
    try:
        import h5py
    except ImportError:
        raise UserError(
            "--data needs h5py, which is not installed",
            do="install it with: pip install 'qnodeos[hdf5]'",
        ) from None
    try:
        with h5py.File(path, "w", track_order=True) as file:
            file.attrs["Conventions"] = "CF-1.11"
            file.attrs["title"] = f"Figures of {', '.join(each.name for each in records)}"
            file.attrs["source"] = f"qnodeos {version}, from the journals of the nodes"
            for record in records:
                _node(file.create_group(record.name, track_order=True), record)
    except OSError as error:
        raise UserError(
            "the data cannot be written",
            where=str(path),
            found=str(error),
            do="choose another file for --data",
        ) from None


def _node(group: h5py.Group, record: NodeRecord) -> None:
    group.attrs["time_coverage_start"] = written(record.from_s)
    group.attrs["time_coverage_end"] = written(record.until_s)
    group.attrs["configuration"] = json.dumps(record.described.get("config", {}))
    group.attrs["versions"] = json.dumps(record.described.get("versions", {}))
    for name, part in record.parts.items():
        _part(group.create_group(name, track_order=True), part)
    changes = sorted(
        (time_s, name, figure, word)
        for name, part in record.parts.items()
        for figure, those in part.words.items()
        for time_s, word in those
    )
    _table(
        group.create_group("changes", track_order=True),
        [each[0] for each in changes],
        {
            name: [each[k] for each in changes]
            for k, name in ((1, "part"), (2, "figure"), (3, "word"))
        },
    )
    events = record.events
    _table(
        group.create_group("events", track_order=True),
        [each.time_s for each in events],
        {
            "kind": [each.kind for each in events],
            "data": [json.dumps(each.data) for each in events],
        },
    )
    wrong = troubles(record)
    _table(
        group.create_group("troubles", track_order=True),
        [each.from_s for each in wrong],
        {
            "lasted_s": [each.lasted_s for each in wrong],
            "what": [each.what for each in wrong],
            "state": [each.state for each in wrong],
            "reason": [each.reason for each in wrong],
        },
    )
    results = record.results
    _table(
        group.create_group("verifications", track_order=True),
        [each.time_s for each in results],
        {
            "link": [each.app.removeprefix("verify:") for each in results],
            "pairs": [float(each.data["pairs"]) for each in results],
            "fidelity": [_figure(each.data, "fidelity", 0) for each in results],
            "fidelity_error": [_figure(each.data, "fidelity", 1) for each in results],
            "chsh": [_figure(each.data, "chsh", 0) for each in results],
            "chsh_error": [_figure(each.data, "chsh", 1) for each in results],
        },
    )


def _part(group: h5py.Group, part: Figures) -> None:
    _table(group, part.times(), {name: np.array(each) for name, each in part.numbers.items()})


def _table(group: h5py.Group, times: Any, columns: Mapping[str, Any]) -> None:
    """Columns over time, as netCDF-4 has a dimension with its coordinate."""
    time = group.create_dataset("time", data=np.asarray(times, np.float64))
    time.attrs["units"] = TIME_UNITS
    time.attrs["calendar"] = "standard"
    time.attrs["standard_name"] = "time"
    time.make_scale("time")
    for name, column in columns.items():
        words = len(column) > 0 and isinstance(column[0], str)
        if words:
            made = group.create_dataset(name, data=list(column))
        else:
            numbers = np.asarray(column, np.float64)
            many = {"chunks": True, "compression": "gzip", "shuffle": True}
            made = group.create_dataset(name, data=numbers, **(many if len(numbers) else {}))
            made.attrs["_FillValue"] = np.float64("nan")
            made.attrs["units"] = _unit(name)
        made.attrs["long_name"] = name.replace("_", " ")
        made.dims[0].attach_scale(time)


def _unit(name: str) -> str:
    words = name.split("_")
    end = words[-2] if words[-1] in ("error", "low", "high") and len(words) > 1 else words[-1]
    return UNITS.get(end, "1")


def _figure(data: Mapping[str, Any], name: str, place: int) -> float:
    told = data.get(name)
    return float(told[place]) if told else float("nan")
