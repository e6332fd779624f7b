from itertools import pairwise

import numpy as np

from benchmarks.sync_data import Day, Interval, TwoEnds, gaps_of_a_day
from cext.coincidence import count_pairs


def test_pairs_lie_where_the_truth_says_and_gaps_have_none() -> None:
    day = Day(
        pairs_cps=2000.0,
        gaps=(Interval(4.0, 6.0),),
        bursts=(Interval(8.5, 8.7),),
        swing_ps=1e9,
    )
    ends = TwoEnds(day, 3)
    for number in range(6):
        piece = ends.next()
        for tags, span in (
            (piece.local_ps, piece.local_span_ps),
            (piece.remote_ps, piece.remote_span_ps),
        ):
            assert np.all(np.diff(tags) >= 0)
            assert span[0] <= tags[0]
            assert tags[-1] < span[1]
        whole, rest = ends.offset_ps(piece.remote_ps)
        mapped = np.sort(piece.remote_ps + whole + np.rint(rest).astype(np.int64))
        pairs = count_pairs(mapped, piece.local_ps, -1500, 1499)
        accidentals = len(mapped) * len(piece.local_ps) * 3e-9 / 2
        if number == 2:
            assert pairs < 10
            assert len(piece.local_ps) < 0.05 * 2 * 20e3
        else:
            assert abs(pairs - 4000 - accidentals) < 5 * np.sqrt(4000)
        if number == 4:
            assert len(piece.remote_ps) > 40e3 + 0.8 * 0.2 * 200e3


def test_pieces_follow_each_other_and_a_seed_decides_all() -> None:
    first, again = TwoEnds(Day(), 1), TwoEnds(Day(), 1)
    before = None
    for _ in range(3):
        piece, same = first.next(), again.next()
        assert np.array_equal(piece.remote_ps, same.remote_ps)
        if before is not None:
            assert piece.local_span_ps[0] == before.local_span_ps[1]
            assert piece.remote_span_ps[0] == before.remote_span_ps[1]
        before = piece
    assert not np.array_equal(TwoEnds(Day(), 2).next().local_ps, TwoEnds(Day(), 1).next().local_ps)


def test_a_days_gaps_are_apart_and_of_all_lengths() -> None:
    gaps = gaps_of_a_day(np.random.default_rng(1), 24.0, 30)
    lengths = sorted(gap.stop_s - gap.start_s for gap in gaps)
    assert len(gaps) == 30
    assert abs(lengths[0] - 1) < 1e-6
    assert abs(lengths[-1] - 600) < 1e-6
    assert all(a.stop_s + 60 < b.start_s for a, b in pairwise(gaps))
