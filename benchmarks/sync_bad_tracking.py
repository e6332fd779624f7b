"""Bad input while a clock is tracked: each has to be recognised, and to cost no false pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.frame import Row
from benchmarks.sync_data import Day, Piece, TwoEnds
from timing.acquire import Search
from timing.changes import Change
from timing.clock import ClockState
from timing.clock_class import declared_noise
from timing.spans import Overlap
from timing.sync import PairSynchronizer, run_acquisition
from timing.sync_status import SyncStatus
from timing.tags import TagBatch

WINDOW_PS = 6000
PRIOR = Search(max_offset_ps=10**14, max_skew=2e-6, most_s=0.5)
_PIECE_S = 0.2
_AT_S = 40.0
_JUDGED_S = 110.0
_SOON_S = 50.0

Spoil = Callable[[Piece, float], tuple[Piece, bool]]
"""What happens to a piece that begins at a time: the piece that arrives, and whether the local end
tells of a loss."""


@dataclass(slots=True)
class BadRun:
    """What came of a spoilt stream."""

    status: SyncStatus
    changes: list[Change] = field(default_factory=list)
    states: list[tuple[float, ClockState]] = field(default_factory=list)
    spans: list[Overlap] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def back_after_s(self) -> float:
        """Time from the spoiling to the last moment without tracking."""
        away = [t for t, state in self.states if t > _AT_S and state is not ClockState.TRACKING]
        return max(away, default=_AT_S) - _AT_S

    def spans_off_ps(self, truth: Callable[[int], float], least_s: float) -> int:
        """Spans given out later than `least_s` whose map is off by more than half a window."""
        off = 0
        for span in self.spans:
            middle_ps = (span.start_ps + span.stop_ps) // 2
            if middle_ps * 1e-12 > least_s:
                remote_ps = span.model.instant_to_remote(middle_ps)
                off += abs(middle_ps - remote_ps - truth(remote_ps)) > WINDOW_PS / 2
        return off


def spoilt(spoil: Spoil, seed: int, until_s: float = _JUDGED_S) -> BadRun:
    """Track two quiet ends with something done to their streams."""
    day = Day(swing_ps=0.0, pairs_cps=1000.0)
    ends = TwoEnds(day, seed, piece_s=_PIECE_S)
    sync = PairSynchronizer(window_ps=WINDOW_PS, noise=declared_noise("ocxo", "ocxo"), search=PRIOR)
    run = BadRun(sync.status())
    number = 0
    while ends.at_s < until_s:
        at_s = ends.at_s
        piece, lost = spoil(ends.next(), at_s)
        number += 1
        channels = np.ones(len(piece.local_ps), dtype=np.uint8)
        sync.add_local(TagBatch(piece.local_ps, channels, *piece.local_span_ps, lost=lost))
        sync.add_remote(piece.remote_ps, *piece.remote_span_ps, number)
        request = sync.acquisition_input()
        if request is not None:
            sync.accept(request, run_acquisition(request))
        run.spans += sync.advance()
        run.states.append((at_s, sync.state))
        status = sync.status()
        if status.change is not None and status.change not in run.changes:
            run.changes.append(status.change)
        if status.last_failure and status.last_failure not in run.reasons:
            run.reasons.append(status.last_failure)
    run.status = sync.status()
    return run


def _moved(piece: Piece, shift_ps: int) -> Piece:
    start_ps, stop_ps = piece.remote_span_ps
    return replace(
        piece,
        remote_ps=piece.remote_ps + shift_ps,
        remote_span_ps=(start_ps + shift_ps, stop_ps + shift_ps),
    )


def frequency_step(piece: Piece, at_s: float) -> tuple[Piece, bool]:
    """The remote clock's frequency changes by 1e-9."""
    if at_s < _AT_S:
        return piece, False
    zero_ps = Day().remote_zero_ps + round(_AT_S * 1e12)
    tags = piece.remote_ps + np.rint((piece.remote_ps - zero_ps) * 1e-9).astype(np.int64)
    start_ps, stop_ps = (e + round((e - zero_ps) * 1e-9) for e in piece.remote_span_ps)
    return replace(piece, remote_ps=tags, remote_span_ps=(start_ps, stop_ps)), False


def path_step(piece: Piece, at_s: float) -> tuple[Piece, bool]:
    """20 ns of fibre are patched in before the remote detector."""
    if at_s < _AT_S:
        return piece, False
    low, high = piece.remote_span_ps
    tags = piece.remote_ps + 20_000
    return replace(piece, remote_ps=tags[(tags >= low) & (tags < high)]), False


def overflow_jump(piece: Piece, at_s: float) -> tuple[Piece, bool]:
    """The local tagger overflows, says so, and its scale is 3 us behind from then on."""
    if at_s < _AT_S:
        return piece, False
    start_ps, stop_ps = piece.local_span_ps
    first = abs(at_s - _AT_S) < _PIECE_S / 2
    begin_ps = start_ps if first else start_ps - 3_000_000
    span = (begin_ps, stop_ps - 3_000_000)
    tags = piece.local_ps - 3_000_000
    return replace(piece, local_ps=tags[tags >= span[0]], local_span_ps=span), first


def restart(piece: Piece, at_s: float) -> tuple[Piece, bool]:
    """The far end restarts: its counter begins at zero."""
    if at_s < _AT_S:
        return piece, False
    return _moved(piece, -Day().remote_zero_ps - round(_AT_S * 1e12)), False


def background(piece: Piece, at_s: float) -> tuple[Piece, bool]:
    """From then on the remote end sees other light of the same rate."""
    if at_s < _AT_S:
        return piece, False
    rng = np.random.default_rng(round(at_s * 10))
    tags = np.sort(rng.integers(*piece.remote_span_ps, len(piece.remote_ps)))
    return replace(piece, remote_ps=tags), False


def bad_rows() -> list[Row]:
    """One row for each bad input: 1 where it was recognised as what it is."""
    rows = []

    def row(what: str, good: bool) -> None:
        rows.append(Row(f"bad input while tracking: {what}", float(good), "", at_least=1))

    found = spoilt(frequency_step, 21)
    kinds = {change.kind for change in found.changes}
    steps = sum(change.skew_step for change in found.changes)
    row(
        "frequency step of 1e-9 is a change of clock, of that size",
        kinds == {"clock"} and abs(abs(steps) - 1e-9) < 1e-10,
    )
    rows.append(Row("frequency step: tracking again after", found.back_after_s(), "s", at_most=2))
    found = spoilt(path_step, 22)
    row("20 ns of fibre are a change of path", [c.kind for c in found.changes] == ["path"])
    rows.append(Row("path step: tracking again after", found.back_after_s(), "s", at_most=4))
    found = spoilt(overflow_jump, 23)
    row("an overflow that moved the scale: cannot tell", "interrupted" in _reasons(found))
    rows.append(Row("overflow: tracking again after", found.back_after_s(), "s", at_most=4))
    zero_ps = Day().remote_zero_ps
    off = found.spans_off_ps(lambda r: -zero_ps - 3e6 + 5e-7 * (r - zero_ps), _AT_S + 0.3)
    rows.append(Row("overflow: spans matched on a wrong scale", off, "", at_most=0))
    found = spoilt(restart, 24, _SOON_S)
    states = [state for t, state in found.states if t >= _AT_S]
    row("a restarted far end is acquired anew", states[0] is ClockState.ACQUIRING)
    rows.append(Row("restart: tracking again after", found.back_after_s(), "s", at_most=4))
    found = spoilt(background, 25, _SOON_S)
    lost = [t for t, state in found.states if state is ClockState.LOST]
    row("light without pairs loses the clock, and none is made up", bool(lost) and not _late(found))
    return rows


def _reasons(run: BadRun) -> str:
    return "; ".join(change.reason for change in run.changes)


def _late(run: BadRun) -> list[Overlap]:
    """Spans given out long after the pairs ended."""
    return [span for span in run.spans if span.start_ps * 1e-12 > _AT_S + 3]
