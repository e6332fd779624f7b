"""What can go wrong with what: one table, by the section of the thing and the fault's word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["KINDS", "PLACES", "FaultKind", "words_of"]

PlaceName = Literal["physics", "line", "network"]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way to go wrong. `size` is what it is at level 1 unless told else, from `least` to
    `most`, in `unit`. `graded`: a level between makes sense. `once`: it happens at the onset (and
    at each period's) and has no end."""

    place: PlaceName
    what: str
    unit: str = ""
    size: float = 1.0
    least: float = 0.0
    most: float = 1.0
    graded: bool = False
    once: bool = False


PLACES: Final[Mapping[str, PlaceName]] = {
    "channels": "physics",
    "detectors": "physics",
    "sources": "physics",
    "taggers": "physics",
    "memories": "physics",
    "midpoints": "physics",
    "instruments": "line",
    "network": "network",
}
"""Where each section of what a fault is of has its place."""


def _physics(what: str, unit: str, size: float, least: float, most: float) -> FaultKind:
    return FaultKind("physics", what, unit, size, least, most, graded=True)


def _network(what: str, unit: str, size: float, most: float) -> FaultKind:
    return FaultKind("network", what, unit, size, 0.0, most, graded=True)


KINDS: Final[Mapping[tuple[str, str], FaultKind]] = {
    ("channels", "cut"): _physics("the fibre is cut, or loses light", "dB more", 150.0, 0.0, 200.0),
    ("channels", "intruder"): _physics("bright light drives the detectors", "uW", 1.0, 0.0, 1e6),
    ("channels", "turned"): _physics("polarization is turned", "deg further", 60.0, -360.0, 360.0),
    ("detectors", "darks"): _physics("more dark counts", "times as many", 100.0, 1.0, 1e6),
    ("detectors", "blinded"): FaultKind("physics", "bright light: no clicks at all"),
    ("sources", "drift"): _physics("fewer pairs", "share of them", 0.5, 0.0, 1.0),
    ("sources", "depolarised"): _physics("pairs of less fidelity", "share white", 0.3, 0.0, 1.0),
    ("taggers", "clock-jump"): FaultKind(
        "physics", "its clock jumps ahead", "ns", 1000.0, -1e9, 1e12, once=True
    ),
    ("memories", "t2-collapse"): _physics("T2 falls", "times as short", 100.0, 1.0, 1e6),
    ("memories", "crosstalk"): _physics(
        "operations depolarise the other qubits", "probability", 0.2, 0.0, 1.0
    ),
    ("midpoints", "darks"): _physics("more dark counts", "times as many", 100.0, 1.0, 1e6),
    ("midpoints", "overlap"): _physics("the photons overlap less", "share lost", 0.5, 0.0, 1.0),
    ("midpoints", "phase"): _physics(
        "the single photons' phase turns", "deg further", 60.0, -360.0, 360.0
    ),
    ("midpoints", "late"): _physics("the photons come later", "ns", 20.0, -1e4, 1e4),
    ("instruments", "drop"): FaultKind("line", "it ends every connection", once=True),
    ("instruments", "half-open"): FaultKind(
        "line", "it forgets every connection and tells nobody", once=True
    ),
    ("instruments", "delay"): FaultKind(
        "line", "its answers are late", "s", 2.0, 0.0, 3600.0, graded=True
    ),
    ("instruments", "garbage"): FaultKind(
        "line", "noise among its answers", "bytes a second", 2000.0, 1.0, 1e7, graded=True
    ),
    ("instruments", "truncation"): FaultKind(
        "line", "its answers lose their ends", "share of them", 0.3, 0.0, 1.0, graded=True
    ),
    ("instruments", "stall"): FaultKind("line", "nothing gets through, as with the cable out"),
    ("instruments", "power-cycle"): FaultKind("line", "it is switched off, and on again"),
    ("network", "delay"): _network("messages are late", "s", 0.5, 3600.0),
    ("network", "loss"): _network("messages are lost", "probability", 0.3, 1.0),
    ("network", "duplication"): _network("messages come twice", "probability", 0.3, 1.0),
    ("network", "reordering"): _network("messages overtake each other", "probability", 0.3, 1.0),
    ("network", "partition"): FaultKind("network", "nothing gets through"),
    ("network", "replay"): _network("old messages come again", "probability", 0.1, 1.0),
    ("network", "forgery"): _network("changed copies are slipped in", "probability", 0.1, 1.0),
}
"""By section and word."""


def words_of(section: str) -> list[str]:
    """What can go wrong with the things of a section."""
    return [word for of, word in KINDS if of == section]
