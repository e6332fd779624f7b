"""Requests and results in the objects of `qlink-interface` 1.0, for programs written against it.

The package is an extra (`pip install qnodeos[qlink]`). Node and purpose ids are numbers there and
names here; who converts brings the names.
"""

from __future__ import annotations

from typing import Any, Protocol

from link_layer.draft_messages import DraftBasis, TimeUnit
from link_layer.draft_service import BASES
from link_layer.messages import ErrorCode, MeasuredBasis, Measuring, RequestKind
from link_layer.numberings import QLINK_BELL_STATES, QLINK_ERRORS
from link_layer.states import BellState
from qnodeos.errors import UserError

_DRAWN: dict[str, tuple[MeasuredBasis, ...]] = {
    "NONE": ("Z",),
    "XZ": ("X", "Z"),
    "XYZ": ("X", "Y", "Z"),
    "CHSH": ("Z+45", "Z-45"),
}


class Delivered(Protocol):
    """What is told of a pair."""

    @property
    def sequence(self) -> int: ...  # noqa: D102
    @property
    def fidelity(self) -> float: ...  # noqa: D102
    @property
    def bell_state(self) -> BellState: ...  # noqa: D102


def qlink() -> Any:
    """The package; raises UserError where it is not installed."""
    try:
        import qlink_interface
    except ImportError as error:
        raise UserError(
            "the package qlink-interface is not installed",
            where="qnodeos.qlink",
            do="pip install qnodeos[qlink]",
        ) from error
    return qlink_interface


def wishes_of(request: Any) -> dict[str, Any]:
    """A `ReqCreateAndKeep`, `ReqMeasureDirectly` or `ReqRemoteStatePrep` as the arguments of
    `Desk.ask`, without the purpose. Raises TypeError for another object, ValueError for bad values.
    """
    q = qlink()
    kinds: dict[type, RequestKind] = {
        q.ReqCreateAndKeep: "K",
        q.ReqMeasureDirectly: "M",
        q.ReqRemoteStatePrep: "R",
    }
    kind = kinds.get(type(request))
    if kind is None:
        raise TypeError(f"{type(request).__name__} is no request for pairs of qlink-interface")
    return {
        "kind": kind,
        "number": request.number,
        "minimum_fidelity": float(request.minimum_fidelity),
        "within_s": request.max_time * TimeUnit(request.time_unit).seconds,
        "priority": request.priority,
        "atomic": bool(request.atomic),
        "consecutive": bool(request.consecutive),
        "corrected": False,  # its results tell the Bell state
        "near": None if kind == "K" else _measuring(request, "local"),
        "far": _measuring(request, "remote") if kind == "M" else None,
    }


def result_of(
    pair: Delivered,
    *,
    kind: RequestKind,
    create_id: int,
    purpose_id: int,
    remote_node_id: int,
    theirs: bool,
    qubit: int = 0,
    time_of_goodness: int = 0,
    basis: MeasuredBasis = "Z",
    outcome: int = 0,
) -> Any:
    """A pair as `ResCreateAndKeep`, `ResMeasureDirectly` or `ResRemoteStatePrep`.

    Its Bell states are numbered in the package's way, which is not that of NetQASM.
    """
    q = qlink()
    common = {
        "create_id": create_id,
        "directionality_flag": theirs,
        "sequence_number": pair.sequence,
        "purpose_id": purpose_id,
        "remote_node_id": remote_node_id,
        "goodness": pair.fidelity,
        "bell_state": q.BellState(QLINK_BELL_STATES.number(pair.bell_state)),
    }
    if kind == "K":
        return q.ResCreateAndKeep(
            **common, logical_qubit_id=qubit, time_of_goodness=time_of_goodness
        )
    number = next(int(draft) for draft, name in BASES.items() if name == basis)
    made = q.ResMeasureDirectly if kind == "M" else q.ResRemoteStatePrep
    return made(
        **common,
        measurement_outcome=bool(outcome),
        measurement_basis=q.MeasurementBasis(number),
    )


def error_of(code: ErrorCode, *, create_id: int, origin_node_id: int) -> Any:
    """The end of a request as `ResError`."""
    q = qlink()
    return q.ResError(
        create_id=create_id,
        error_code=q.ErrorCode(QLINK_ERRORS.number(code)),
        use_sequence_number_range=False,
        sequence_number_low=0,
        sequence_number_high=0,
        origin_node_id=origin_node_id,
    )


def basis_of(measurement_basis: Any) -> MeasuredBasis:
    """What a `MeasurementBasis` of the package means."""
    return BASES[DraftBasis(measurement_basis.value)]


def _measuring(request: Any, side: str) -> Measuring:
    bases = _DRAWN[getattr(request, f"random_basis_{side}").name]
    if len(bases) == 1:
        x1, y, x2 = (
            float(getattr(request, f"{name}_rotation_angle_{side}{number}"))
            for name, number in (("x", "_1"), ("y", ""), ("x", "_2"))
        )
        return Measuring(turned_rad=(x1, y, x2))
    shares = [
        float(getattr(request, f"probability_distribution_parameter_{side}_{k}"))
        for k in range(1, len(bases))
    ]
    return Measuring(bases, (*shares, 1.0 - sum(shares)))
