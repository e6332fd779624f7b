"""From the draft's CREATE to a request of ours and back, as far as the two say the same.

The draft has no type R, no packets, no Bell state and ids of 16 bits: a request that needs them
cannot be put into its bytes, which is said. Pairs asked for in its bytes are corrected to Phi+.
"""

from __future__ import annotations

import math

from link_layer.draft_messages import DraftBasis, DraftCreate, RandomBases, TimeUnit
from link_layer.messages import Create, MeasuredBasis, Measuring

BASES: dict[DraftBasis, MeasuredBasis] = {
    DraftBasis.Z: "Z",
    DraftBasis.X: "X",
    DraftBasis.Y: "Y",
    DraftBasis.Z_PLUS_45: "Z+45",
    DraftBasis.Z_MINUS_45: "Z-45",
}
_DRAWN: dict[RandomBases, tuple[MeasuredBasis, ...]] = {
    RandomBases.XZ: ("X", "Z"),
    RandomBases.XYZ: ("X", "Y", "Z"),
    RandomBases.CHSH: ("Z+45", "Z-45"),
}
_TURN_RAD = 2 * math.pi / 256
_MOST_TIME = 2**14 - 1


def request_of(draft: DraftCreate, *, link: str, request: int, purpose: str) -> Create:
    """The request that a CREATE asks for; names and identity are ours to give.

    Raises ValueError for probabilities of bases that exceed 1.
    """
    near = far = None
    if draft.measure:
        near = _measuring(
            draft.bases_local,
            (draft.probability_1_local, draft.probability_2_local),
            (draft.turn_x1_local, draft.turn_y_local, draft.turn_x2_local),
        )
        far = _measuring(
            draft.bases_remote,
            (draft.probability_1_remote, draft.probability_2_remote),
            (draft.turn_x1_remote, draft.turn_y_remote, draft.turn_x2_remote),
        )
    return Create(
        link,
        request,
        "M" if draft.measure else "K",
        draft.number,
        draft.fidelity,
        draft.max_time_s,
        purpose,
        draft.priority,
        atomic=bool(draft.atomic),
        consecutive=bool(draft.consecutive),
        near=near,
        far=far,
    )


def draft_of(create: Create, *, remote_node_id: int, purpose_id: int) -> DraftCreate:
    """The CREATE that asks for the same, its fidelity rounded up and its time down.

    Raises ValueError for what the draft cannot say.
    """
    for there, what in (
        (create.kind == "R", "type R"),
        (create.window_s is not None, "a packet"),
        (not create.corrected, "pairs told by their Bell state"),
    ):
        if there:
            raise ValueError(f"the draft has no {what}")
    unit, time = _time(create.max_time_s)
    near, far = _fields(create.near), _fields(create.far)
    return DraftCreate(
        remote_node_id,
        math.ceil(create.minimum_fidelity * (2**16 - 1) - 1e-9),
        unit,
        time,
        purpose_id,
        create.number,
        create.priority,
        int(create.kind == "M"),
        int(create.atomic),
        int(create.consecutive),
        near[0],
        far[0],
        *near[1],
        *far[1],
        *near[2],
        *far[2],
    )


def _measuring(drawn: int, given: tuple[int, int], turns: tuple[int, int, int]) -> Measuring:
    kind = RandomBases(drawn)
    if kind is RandomBases.NONE:
        x1, y, x2 = (turn * _TURN_RAD for turn in turns)
        return Measuring(turned_rad=(x1, y, x2))
    bases = _DRAWN[kind]
    shares = [value / 255 for value in given[: len(bases) - 1]]
    if sum(shares) > 1 + 1e-9:
        raise ValueError(f"probabilities {given} of {kind.name} exceed 255 together")
    return Measuring(bases, (*shares, max(0.0, 1 - sum(shares))))


def _fields(
    measuring: Measuring | None,
) -> tuple[int, tuple[int, int], tuple[int, int, int]]:
    if measuring is None or measuring.bases == ("Z",):
        turned = measuring.turned_rad if measuring is not None else (0.0, 0.0, 0.0)
        x1, y, x2 = (round(angle / _TURN_RAD) % 256 for angle in turned)
        return 0, (0, 0), (x1, y, x2)
    for kind, bases in _DRAWN.items():
        if set(measuring.bases) == set(bases):
            by_basis = dict(zip(measuring.bases, measuring.shares, strict=True))
            shares = [round(by_basis[basis] * 255) for basis in bases[:-1]]
            return int(kind), (shares[0], shares[1] if len(shares) > 1 else 0), (0, 0, 0)
    raise ValueError(f"the draft has no set of bases {measuring.bases}")


def _time(time_s: float) -> tuple[int, int]:
    for unit in TimeUnit:
        time = int(time_s / unit.seconds + 1e-9)
        if time <= _MOST_TIME:
            return int(unit), time
    raise ValueError(f"{time_s:g} s exceed the draft's {_MOST_TIME} s")
