"""Heralds of a Bell-state station beside plain Python, in one piece and cut in any way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cext.pattern import AMBIGUOUS, PSI_MINUS, PSI_PLUS, classify_attempts
from link_layer.click_patterns import (
    HERALDED,
    HeraldStream,
    polarization,
    single_click,
    time_bins,
)
from link_layer.states import BellState

END = 2**62 - 1
PERIOD = 20
EARLY, LATE, WHOLE = (2, 6), (10, 14), (2, 14)
SINGLE, BINS, POLARIZED = "single", "bins", "polarized"
PATTERNS = {
    SINGLE: single_click(1, 2, WHOLE),
    BINS: time_bins(1, 2, EARLY, LATE),
    POLARIZED: polarization((1, 2), (3, 4), WHOLE),
}

tags = st.tuples(
    st.one_of(st.integers(-60, 200), st.sampled_from([-END, END, 10**17])), st.integers(0, 6)
)


def stream(pairs):
    return (
        np.array([t for t, _ in pairs], np.int64),
        np.array([c for _, c in pairs], np.uint8),
    )


sorted_stream = st.lists(tags, max_size=40).map(lambda v: stream(sorted(v, key=lambda t: t[0])))


def place(kind, channel, phase):
    """(mode, port) of a click, from the words of the protocol; None if it is outside."""
    if kind == BINS:
        for mode, (open_ps, close_ps) in enumerate((EARLY, LATE)):
            if open_ps <= phase < close_ps:
                return mode, channel - 1
        return None
    if not WHOLE[0] <= phase < WHOLE[1]:
        return None
    return (0, channel - 1) if kind == SINGLE else ((channel - 1) % 2, (channel - 1) // 2)


def classified(kind, places):
    if kind == SINGLE:
        return (PSI_PLUS, PSI_MINUS)[places[0][1]] if len(places) == 1 else AMBIGUOUS
    if len(places) == 1:
        return None
    if len(places) == 2 and places[0][0] != places[1][0]:
        return PSI_PLUS if places[0][1] == places[1][1] else PSI_MINUS
    return AMBIGUOUS


def reference(kind, pairs, start_ps, clock, per_clock):
    watched = (1, 2, 3, 4) if kind == POLARIZED else (1, 2)
    by_attempt, outside, origin, clocks = {}, 0, None, 0
    if clock is None:
        origin = start_ps
    for time_ps, channel in pairs:
        if channel == clock:
            origin, clocks = time_ps, clocks + 1
        elif channel in watched:
            where = None
            if origin is not None:
                offset, phase = divmod(time_ps - origin, PERIOD)
                if clock is None or offset < per_clock:
                    where = place(kind, channel, phase)
            if where is None:
                outside += 1
            else:
                number = offset + max(clocks - 1, 0) * per_clock
                by_attempt.setdefault(number, []).append((where, time_ps))
    heralds = []
    for number, clicks in by_attempt.items():
        outcome = classified(kind, [where for where, _ in clicks])
        if outcome is not None:
            heralds.append((number, outcome, clicks[-1][1]))
    return heralds, (sum(map(len, by_attempt.values())), outside, len(by_attempt))


@given(
    sorted_stream,
    st.sampled_from(list(PATTERNS)),
    st.integers(-30, 30),
    st.sampled_from([None, 5]),
    st.integers(1, 3),
    st.lists(st.integers(0, 40), max_size=5).map(sorted),
)
def test_heralds_are_the_reference_for_any_chunks(tags, kind, start, clock, per_clock, cuts):
    pairs = list(zip(tags[0].tolist(), tags[1].tolist(), strict=True))
    expected, counts = reference(kind, pairs, start, clock, per_clock)
    station = HeraldStream(
        PATTERNS[kind],
        PERIOD,
        start_ps=start,
        clock_channel=clock,
        attempts_per_clock=per_clock,
    )
    found, at = [], 0
    for time_ps, channel in zip(np.split(tags[0], cuts), np.split(tags[1], cuts), strict=True):
        at += len(time_ps)
        until = int(tags[0][at]) if at < len(tags[0]) else None
        found.append(station.feed(time_ps, channel, until))
    found.append(station.feed(*stream([]), END))
    heralds = [
        herald
        for part in found
        for herald in zip(
            part.attempt.tolist(), part.outcome.tolist(), part.herald_ps.tolist(), strict=True
        )
    ]
    open_at_the_edge = any(t > END - PERIOD for t, c in pairs)
    if open_at_the_edge:
        # The last attempt may end beyond the range and then stays open.
        assert heralds in (expected, expected[:-1])
        return
    assert heralds == expected
    assert (station.clicks, station.outside, station.attempts) == counts


def test_the_bell_states_of_each_protocol():
    cases = {
        SINGLE: [([(3, 1)], PSI_PLUS), ([(3, 2)], PSI_MINUS), ([(3, 1), (4, 2)], AMBIGUOUS)],
        BINS: [
            ([(3, 1), (11, 1)], PSI_PLUS),
            ([(3, 2), (11, 2)], PSI_PLUS),
            ([(3, 1), (11, 2)], PSI_MINUS),
            ([(3, 2), (11, 1)], PSI_MINUS),
            ([(3, 1), (3, 2)], AMBIGUOUS),
            ([(3, 1), (4, 1)], AMBIGUOUS),
            ([(3, 1), (11, 1), (12, 2)], AMBIGUOUS),
            ([(3, 1)], None),
        ],
        POLARIZED: [
            ([(3, 1), (3, 2)], PSI_PLUS),
            ([(3, 3), (3, 4)], PSI_PLUS),
            ([(3, 1), (3, 4)], PSI_MINUS),
            ([(3, 2), (3, 3)], PSI_MINUS),
            ([(3, 1), (3, 3)], AMBIGUOUS),
            ([(3, 2)], None),
        ],
    }
    for kind, examples in cases.items():
        for pairs, outcome in examples:
            heralds = HeraldStream(PATTERNS[kind], PERIOD).feed(*stream(pairs), PERIOD)
            assert heralds.outcome.tolist() == ([] if outcome is None else [outcome]), pairs
    assert HERALDED == {PSI_PLUS: BellState.PSI_PLUS, PSI_MINUS: BellState.PSI_MINUS}


def test_a_herald_is_told_as_soon_as_its_attempt_is_over_and_only_once():
    station = HeraldStream(PATTERNS[SINGLE], PERIOD, start_ps=100)
    assert len(station.feed(*stream([(143, 2)]), 159)) == 0
    heralds = station.feed(*stream([]), 160)
    assert (heralds.attempt.tolist(), heralds.herald_ps.tolist()) == ([2], [143])
    assert len(station.feed(*stream([]), 10**9)) == 0
    with pytest.raises(ValueError, match="goes on at 150 ps, which lies before the 1000000000 ps"):
        station.feed(*stream([(150, 1)]))


T, C = stream([(1, 1), (5, 2)])
P = PATTERNS[BINS]


def call(time_ps=T, channel=C, places=P.places, windows=P.windows_ps, outcomes=P.outcomes, **more):
    classify_attempts(time_ps, channel, places, windows, outcomes, **{"period_ps": 20, **more})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time_ps": T[::-1].copy()}, r"time_ps\[1\] = 1 ps lies before"),
        ({"channel": C[:1]}, "2 times and 1 channels"),
        ({"channel": C.astype(int)}, "channel has dtype int64, expected uint8"),
        ({"period_ps": 13}, "within the period of 13 ps"),
        ({"windows": P.windows_ps[::-1].copy()}, "ascending ones that do not overlap"),
        ({"windows": P.windows_ps[:1].copy()}, r"places of shape \(256, 2\)"),
        ({"windows": P.windows_ps.astype(float)}, "windows_ps must be an int64 array"),
        ({"places": P.places[:, ::-1]}, "places is not contiguous"),
        ({"places": P.places + 1}, "neither -1 nor 0 to 3"),
        ({"outcomes": P.outcomes + np.uint8(1)}, "16 values"),
        ({"clock_channel": 256}, "clock channel 256"),
        ({"attempts_per_clock": 0}, "0 attempts"),
        ({"start_ps": 2**62}, "start_ps is"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        call(**arguments)


def test_bad_channels_are_named():
    with pytest.raises(ValueError, match=r"channels \(1, 1\), expected different ones"):
        single_click(1, 1, WHOLE)
    with pytest.raises(ValueError, match="expected different ones"):
        polarization((1, 2), (1, 2), WHOLE)
    with pytest.raises(ValueError, match="channel 300"):
        time_bins(1, 300, EARLY, LATE)
