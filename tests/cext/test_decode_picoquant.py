"""PicoQuant T3 records, and T2 where its fast path has edges, beside plain Python."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext.decode import decode_picoquant_t2, decode_picoquant_t3
from cext.paths import available_paths

VARIANTS = ["picoharp", "hydraharp1", "generic"]
TURN = {"picoharp": 210698240, "hydraharp1": 33552000, "generic": 2**25}


def t2_reference(records, resolution_ps, variant):
    pico = variant == "picoharp"
    base, overflows, tags, marks = 0, 0, [], []
    for r in map(int, records):
        field = r & (2**28 - 1 if pico else 2**25 - 1)
        special = r >> 28 == 15 if pico else r >> 31
        source = ((r & 15) or 63) if pico else r >> 25 & 63
        time_ps = (base + field) * resolution_ps
        if not special:
            tags.append((time_ps, r >> 28 if pico else (r >> 25) + 1))
        elif source == 63:
            turns = (field or 1) if variant == "generic" else 1
            overflows += turns
            base += turns * TURN[variant]
        elif source == 0:
            tags.append((time_ps, 0))
        else:
            marks.append((time_ps, source))
    return tags, marks, overflows, base


def dense(seed, variant, share_special, count):
    """Many records, so that whole groups of 64 and their ends take part."""
    random = np.random.default_rng(seed)
    records = random.integers(0, 2**28 if variant == "picoharp" else 2**31, count, np.uint32)
    if variant == "picoharp":
        records |= random.integers(0, 15, count, np.uint32) << np.uint32(28)
    special = random.random(count) < share_special
    kinds = random.choice([0, 1, 5, 62, 63], count).astype(np.uint32)
    small = random.integers(0, 9, count, np.uint32)
    if variant == "picoharp":
        made = np.uint32(0xF << 28) | small << np.uint32(4) | (kinds & np.uint32(15))
    else:
        made = np.uint32(1 << 31) | kinds << np.uint32(25) | small
    return np.where(special, made, records).astype(np.uint32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(VARIANTS),
    st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    st.sampled_from([0, 1, 63, 64, 79, 80, 81, 144, 145, 400]),
    st.sampled_from([1, 4, 25, 2**31 - 1]),
    st.sampled_from(available_paths()),
)
def test_t2_is_the_reference(seed, variant, share, count, resolution_ps, path):
    records = dense(seed, variant, share, count)
    tags, marks, overflows, base = t2_reference(records, resolution_ps, variant)
    if base * resolution_ps > 2**62:
        with pytest.raises(ValueError, match="beyond 2\\^62 ps"):
            decode_picoquant_t2(records, resolution_ps, variant, path=path)
        return
    found = decode_picoquant_t2(records, resolution_ps, variant, path=path)
    assert list(zip(found[0].tolist(), found[1].tolist(), strict=True)) == tags
    assert list(zip(found[2].tolist(), found[3].tolist(), strict=True)) == marks
    assert found[4:] == (overflows, base)
    room = np.full(count + 3, -1, np.int64), np.full(count + 3, 255, np.uint8)
    again = decode_picoquant_t2(records, resolution_ps, variant, out=room, path=path)
    assert again[0].tolist() == found[0].tolist()
    assert again[1].tolist() == found[1].tolist()
    assert again[0].base is room[0]
    # Nothing is written behind the place for the last record.
    assert room[0][count:].tolist() == [-1] * 3
    assert room[1][count:].tolist() == [255] * 3


def t3_reference(records, period_ps, resolution_ps, variant):
    pico = variant == "picoharp"
    fixed = -((-(2**64) * Fraction(period_ps)) // 1)
    base, overflows, tags, marks = 0, 0, [], []
    for r in map(int, records):
        field = r & (2**16 - 1 if pico else 2**10 - 1)
        dtime = r >> 16 & 0xFFF if pico else r >> 10 & 0x7FFF
        pulse_ps = (base + field) * fixed >> 64
        if pico:
            special, source = r >> 28 == 15, dtime & 15 if dtime else 63
        else:
            special, source = r >> 31, r >> 25 & 63
        if not special:
            channel = r >> 28 if pico else (r >> 25) + 1
            tags.append((pulse_ps + dtime * resolution_ps, channel, base + field, dtime))
        elif source == 63:
            turns = (field or 1) if variant == "generic" else 1
            overflows += turns
            base += turns * (2**16 if pico else 2**10)
        else:
            marks.append((pulse_ps, source))
    return tags, marks, overflows, base


records_t3 = st.lists(
    st.one_of(st.integers(0, 2**32 - 1), st.integers(0xF << 28, 2**32 - 1)), max_size=40
).map(lambda v: np.array(v, np.uint32))
periods = st.one_of(
    st.integers(1, 10**6),
    st.floats(1, 1e6),
    st.integers(1, 10**9).map(lambda hz: Fraction(10**12, hz)),
)


@given(records_t3, periods, st.sampled_from([1, 4, 25, 80]), st.sampled_from(VARIANTS))
def test_t3_is_the_reference(records, period_ps, resolution_ps, variant):
    tags, marks, overflows, base = t3_reference(records, period_ps, resolution_ps, variant)
    found = decode_picoquant_t3(records, period_ps, resolution_ps, variant)
    assert list(zip(*(a.tolist() for a in found[:4]), strict=True)) == tags
    assert list(zip(*(a.tolist() for a in found[4:6]), strict=True)) == marks
    assert found[6:] == (overflows, base)
    assert [a.dtype.str for a in found[:6]] == ["<i8", "|u1", "<i8", "<u2", "<i8", "|u1"]


@given(records_t3, st.lists(st.integers(0, 40), max_size=5).map(sorted), st.sampled_from(VARIANTS))
def test_t3_does_not_depend_on_the_chunks(records, cuts, variant):
    whole = decode_picoquant_t3(records, 12500.078125, 4, variant)
    syncs = total = 0
    parts = []
    for chunk in np.split(records, cuts):
        *arrays, overflows, syncs = decode_picoquant_t3(chunk, 12500.078125, 4, variant, syncs)
        parts.append(arrays)
        total += overflows
    for k in range(6):
        assert np.concatenate([p[k] for p in parts]).tolist() == whole[k].tolist()
    assert (total, syncs) == whole[6:]


def test_a_period_that_is_no_binary_number_gives_whole_seconds_exactly():
    rate_hz = 79_999_500
    hours = 10
    pulse = rate_hz * 3600 * hours
    syncs, rest = divmod(pulse, 2**10)
    found = decode_picoquant_t3(
        np.array([rest], np.uint32), Fraction(10**12, rate_hz), 1, "generic", syncs * 2**10
    )
    assert found[0].tolist() == [3600 * hours * 10**12]


def test_t3_times_beyond_the_range_are_refused_not_wrapped():
    records = np.full(3, 1 << 31 | 63 << 25 | 1023, np.uint32)
    with pytest.raises(ValueError, match="overflow record 2 brings the time beyond"):
        decode_picoquant_t3(records, 2**40 - 1, 1, "generic", 2**22 - 2**21 - 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: decode_picoquant_t3(r, float("nan"), 1), "sync period nan ps"),
        (lambda r: decode_picoquant_t3(r, 0.5, 1), "sync period 0.5 ps"),
        (lambda r: decode_picoquant_t3(r, 1000, 0), "resolution 0 ps"),
        (lambda r: decode_picoquant_t3(r, 1000, 1, "t2"), "unknown variant 't2'"),
        (lambda r: decode_picoquant_t3(r, 1000, 1, "generic", -1), "overflow_syncs -1"),
        (lambda r: decode_picoquant_t3(r, 1000, 1, "generic", 2**61), "overflow_syncs"),
        (lambda r: decode_picoquant_t3(r[::2], 1000, 1), "not contiguous"),
        (lambda r: decode_picoquant_t3(r.view(np.int32), 1000, 1), "dtype int32"),
        (lambda r: decode_picoquant_t2(r, 1, "generic", 2**62 + 1), "overflow_ticks"),
        (lambda r: decode_picoquant_t2(r, 1, out=(np.empty(9, "i8"), np.empty(9, "i1"))), "out.1"),
        (lambda r: decode_picoquant_t2(r, 1, out=(np.empty(9, "i8"), np.empty(7, "u1"))), "room"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros(8, np.uint32))
