"""Recordings of real instruments, and synthetic ones of every T2 kind, beside ptufile."""

import os
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import ptufile
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cext.decode import decode_tdc2
from cext.histogram import difference_histogram
from timing.conditioning import OrderRepair
from timing.packed import pack_tags
from timing.recordings import open_recording

DATA = Path(os.environ.get("QNODEOS_DATA", Path(__file__).parents[3] / "shared" / "data"))
HBT = "200204_HH400_T2_320MHz_HBT.timeres"
REAL_T2 = ["v30_t2.ptu", HBT]
LOW_FIRST = "timestamp7_c1234.Aa1.ts"
HIGH_FIRST = "timestamp7_c14_rollover.Aa1fX.ts"


def data(name):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no recording {path}; set QNODEOS_DATA to the folder that holds it")
    return path


def entry(name, kind, value, index=-1, payload=b""):
    return struct.pack("<32siI8s", name.encode(), index, kind, value) + payload


def ptu(
    record_type, records, resolution_s=1e-12, mode=2, stated=None, stop_reason=0, delay_step_s=None
):
    def integer(name, value):
        return entry(name, 0x10000008, struct.pack("<q", value))

    return (
        b"PQTTTR\0\0"
        + b"1.0.00\0\0"
        + entry("File_Comment", 0x4001FFFF, struct.pack("<q", 8), payload=b"test\0\0\0\0")
        + entry("File_CreatingTime", 0x21000008, struct.pack("<d", 45000.5))
        + integer("Measurement_Mode", mode)
        + integer("Measurement_SubMode", 0)
        + integer("TTResultFormat_TTTRRecType", record_type)
        + integer("TTResultFormat_BitsPerRecord", 32)
        + entry("MeasDesc_GlobalResolution", 0x20000008, struct.pack("<d", resolution_s))
        + entry("MeasDesc_Resolution", 0x20000008, struct.pack("<d", delay_step_s or resolution_s))
        + integer("TTResult_StopReason", stop_reason)
        + integer("TTResult_NumberOfRecords", len(records) if stated is None else stated)
        + entry("Header_End", 0xFFFF0008, bytes(8))
        + np.asarray(records, "<u4").tobytes()
    )


@pytest.mark.parametrize("name", REAL_T2)
def test_real_t2_equals_ptufile_tag_for_tag(name):
    recording = open_recording(data(name))
    with ptufile.PtuFile(data(name)) as peer:
        records = peer.decode_records()
        acquisition_ps = peer.global_acquisition_time
    tags = records[records["channel"] >= 0]
    assert np.array_equal(recording.time_ps, tags["time"])
    assert np.array_equal(recording.channel, tags["channel"] + 1)
    assert len(recording.marker_ps) == 0
    assert recording.gaps == 0
    assert abs(recording.stop_ps - acquisition_ps) <= 1
    assert recording.resolution_ps == 1
    assert recording.batch().of(1)[0] == tags["time"][tags["channel"] == 0][0]


@pytest.mark.parametrize(("first", "second", "expected"), [(1, 2, "hist1"), (2, 1, "hist2")])
def test_the_histograms_of_the_hanbury_brown_twiss_recording(first, second, expected):
    # hist1 holds delays of channel 2 after 1, hist2 of 1 after 2. The program that made them drops
    # one start in a hundred, so no bin may exceed ours and few pairs may be missing from it.
    recording = open_recording(data(HBT))
    theirs = np.load(data("200204_HH400_T2_320MHz_HBT_g2.npz"))[expected]
    ours = difference_histogram(recording.of(first), recording.of(second), 0, 16, 10_000)
    missing = ours - theirs
    assert missing.min() == 0
    assert missing.max() <= 3
    assert 0.98 < theirs.sum() / ours.sum() < 1.0
    # Starts dropped without regard to their delay are missing from every part alike.
    for part in np.split(missing, 4):
        assert 0.15 < part.sum() / missing.sum() < 0.35


def test_real_tdc2_low_word_first():
    recording = open_recording(data(LOW_FIRST))
    words = np.fromfile(data(LOW_FIRST), "<u4").reshape(-1, 2)
    assert len(words) == 2000
    assert sum(recording.counts().values()) == sum(int(w & 15).bit_count() for w in words[:, 0])
    assert set(recording.counts()) == {1, 2, 3, 4}
    assert (recording.overflows, recording.gaps) == (0, 0)
    assert recording.resolution_ps == Fraction(125, 32)
    assert recording.bin_grid_ps == 125
    assert 2.0e6 < len(recording) / recording.span_s < 2.6e6
    assert not recording.header["high_word_first"]


def test_real_tdc2_high_word_first_with_roll_overs_and_steps_back():
    recording = open_recording(data(HIGH_FIRST))
    assert recording.counts() == {1: 431, 4: 431}
    assert recording.overflows == 1000 - 862
    assert recording.gaps == 4
    assert "4 tags lay before their predecessor" in recording.notes[0]
    assert recording.batch().lost
    assert (np.diff(recording.time_ps) >= 0).all()
    assert recording.header["high_word_first"]


def test_the_real_disorder_is_repaired_within_its_bound_in_any_pieces():
    words = np.fromfile(data(HIGH_FIRST), "<u4").astype(np.uint32)
    time_ps, channel, _, _ = decode_tdc2(words, True)
    whole = open_recording(data(HIGH_FIRST))
    for bound_ps, piece in ((10**9, 1000), (10**9, 7), (10**6, 7)):
        repair = OrderRepair(bound_ps)
        cuts = np.arange(piece, len(time_ps), piece)
        parts = zip(np.split(time_ps, cuts), np.split(channel, cuts), strict=True)
        out = [repair.feed(*part) for part in parts] + [repair.finish()]
        times = np.concatenate([part[0] for part in out])
        assert repair.steps_back == whole.gaps == 4
        assert (np.diff(times) >= 0).all()
        assert len(times) == len(whole) - repair.late
        if bound_ps >= repair.worst_ps:
            assert repair.late == 0
            assert np.array_equal(times, whole.time_ps)
        else:
            assert repair.late > 0


def test_the_delayed_copy_in_the_roll_over_file():
    recording = open_recording(data(HIGH_FIRST))
    counts = difference_histogram(recording.of(1), recording.of(4), -200_000, 125, 3200)
    peak = int(np.argmax(counts))
    delay_ps = -200_000 + 125 * peak
    assert 138_000 < delay_ps < 140_000
    assert counts[peak - 8 : peak + 9].sum() == 431


T2_TYPES = [0x00010203, 0x00010204, 0x01010204, 0x00010205, 0x00010206, 0x00010207]


@st.composite
def t2_records(draw, record_type):
    """Records that a device can write: tags, overflows and markers with plain fields."""
    records = []
    if record_type == 0x00010203:
        for kind in draw(st.lists(st.sampled_from("tttom"), min_size=1, max_size=40)):
            if kind == "t":
                records.append(draw(st.integers(0, 4)) << 28 | draw(st.integers(0, 2**28 - 1)))
            elif kind == "o":
                records.append(0xF << 28)
            else:
                records.append(0xF << 28 | draw(st.integers(1, 15)))
        return records
    for kind in draw(st.lists(st.sampled_from("tttoms"), min_size=1, max_size=40)):
        field = draw(st.integers(0, 2**25 - 1))
        if kind == "t":
            records.append(draw(st.integers(0, 15)) << 25 | field)
        elif kind == "o":
            # ptufile multiplies in 32 bits, so its times are wrong from 128 turns a record on.
            records.append(1 << 31 | 63 << 25 | draw(st.integers(0, 127)))
        elif kind == "m":
            records.append(1 << 31 | draw(st.integers(1, 15)) << 25 | field)
        else:
            records.append(1 << 31 | field)
    return records


@pytest.mark.parametrize("record_type", T2_TYPES)
@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(choice=st.data())
def test_every_t2_kind_equals_ptufile(record_type, choice, tmp_path):
    records = choice.draw(t2_records(record_type))
    path = tmp_path / "made.ptu"
    path.write_bytes(ptu(record_type, records, 4e-12))
    recording = open_recording(path)
    with ptufile.PtuFile(path) as peer:
        theirs = peer.decode_records()
    tags = theirs[theirs["channel"] >= 0]
    shift = 0 if record_type == 0x00010203 else 1
    raw = np.array(records, np.uint32)
    sync = raw >> 25 == 64 if shift else np.zeros(len(raw), bool)
    numbers = np.where(sync, 0, theirs["channel"] + shift)[(theirs["channel"] >= 0) | sync]
    times = theirs["time"][(theirs["channel"] >= 0) | sync].astype(np.int64) * 4
    order = np.argsort(times, kind="stable")
    assert len(tags) <= len(times)
    assert recording.time_ps.tolist() == times[order].tolist()
    assert recording.channel.tolist() == numbers[order].tolist()
    assert recording.gaps == np.count_nonzero(np.diff(times) < 0)
    marked = theirs["marker"] > 0
    assert recording.marker_ps.tolist() == (theirs["time"][marked & ~sync] * 4).tolist()
    assert recording.marker.tolist() == theirs["marker"][marked & ~sync].tolist()


T3_TYPES = [0x00010303, 0x00010304, 0x01010304, 0x00010305, 0x00010306, 0x00010307]


@st.composite
def t3_records(draw, record_type):
    """T3 records that a device can write: pulses ascend, roll-overs come in time."""
    picoharp = record_type == 0x00010303
    wrap = 2**16 if picoharp else 2**10
    records, last = [], 0
    for kind in draw(st.lists(st.sampled_from("tttom"), min_size=1, max_size=40)):
        if kind == "o":
            turns = draw(st.integers(0, 3))
            records.append(0xF << 28 if picoharp else 1 << 31 | 63 << 25 | turns)
            last = 0
            continue
        last = draw(st.integers(last, wrap - 1))
        if kind == "t" and picoharp:
            dtime, channel = draw(st.integers(0, 2**12 - 1)), draw(st.integers(1, 4))
            records.append(channel << 28 | dtime << 16 | last)
        elif kind == "t":
            dtime, channel = draw(st.integers(0, 2**15 - 1)), draw(st.integers(0, 7))
            records.append(channel << 25 | dtime << 10 | last)
        elif picoharp:
            records.append(0xF << 28 | draw(st.integers(1, 15)) << 16 | last)
        else:
            records.append(1 << 31 | draw(st.integers(1, 15)) << 25 | last)
    return records


@pytest.mark.parametrize("record_type", T3_TYPES)
@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(choice=st.data())
def test_every_t3_kind_equals_ptufile(record_type, choice, tmp_path):
    records = choice.draw(t3_records(record_type))
    path = tmp_path / "made.ptu"
    path.write_bytes(ptu(record_type, records, 1 / 79_999_500, mode=3, delay_step_s=4e-12))
    recording = open_recording(path)
    with ptufile.PtuFile(path) as peer:
        theirs = peer.decode_records()
    tags = theirs[theirs["channel"] >= 0]
    period_ps = Fraction(10**12, 79_999_500)
    assert recording.pulses.period_ps == period_ps
    times = [int(n * period_ps) for n in tags["time"].tolist()]
    times = np.array(times, np.int64) + 4 * tags["dtime"].astype(np.int64)
    order = np.argsort(times, kind="stable")
    assert recording.time_ps.tolist() == times[order].tolist()
    assert recording.pulses.sync.tolist() == tags["time"][order].tolist()
    assert recording.pulses.dtime.tolist() == tags["dtime"][order].tolist()
    # ptufile counts channels from 0 here, also those of the PicoHarp, where its T2 does not.
    assert recording.channel.tolist() == (tags["channel"][order] + 1).tolist()
    assert recording.gaps == 0
    marks = theirs[theirs["marker"] > 0]
    assert recording.marker_ps.tolist() == [int(n * period_ps) for n in marks["time"].tolist()]
    assert recording.marker.tolist() == marks["marker"].tolist()
    assert recording.format == "PicoQuant T3 (PTU)"


def test_a_t3_pulse_that_steps_back_is_a_gap(tmp_path):
    path = tmp_path / "back.ptu"
    path.write_bytes(ptu(0x00010307, [9, 1 << 10 | 5], 1e-8, mode=3, delay_step_s=5e-12))
    recording = open_recording(path)
    assert recording.time_ps.tolist() == [50_005, 90_000]
    assert recording.pulses.sync.tolist() == [5, 9]
    assert recording.gaps == 1
    assert "1 tags lay in a pulse before" in recording.notes[0]


def test_header_facts(tmp_path):
    path = tmp_path / "no_ending_needed"
    path.write_bytes(ptu(0x00010207, [5, 9], 80e-12, stop_reason=-2))
    recording = open_recording(path)
    assert recording.time_ps.tolist() == [400, 720]
    assert recording.header["File_Comment"] == "test"
    assert recording.header["File_CreatingTime"] == "2023-03-15T12:00:00"
    assert recording.gaps == 1
    assert "FIFO of the instrument overran" in recording.notes[0]


def test_bytes_after_the_stated_records_are_told(tmp_path):
    path = tmp_path / "more.ptu"
    path.write_bytes(ptu(0x00010207, [5, 9]) + b"abc")
    recording = open_recording(path)
    assert len(recording) == 2
    assert recording.notes == ("3 bytes after the last stated record were not read",)


def test_a_recording_without_tags_is_empty_not_an_error(tmp_path):
    path = tmp_path / "dark.ptu"
    path.write_bytes(ptu(0x01010204, [1 << 31 | 63 << 25 | 3]))
    recording = open_recording(path)
    assert (len(recording), recording.overflows, recording.counts()) == (0, 3, {})
    assert recording.stop_ps == 3 * 2**25


def test_a_real_recording_packed_is_the_same_in_about_three_bytes_a_tag(tmp_path):
    whole = open_recording(data(HBT))
    path = tmp_path / "hbt.packed"
    path.write_bytes(pack_tags(whole.time_ps, whole.channel))
    packed = open_recording(path)
    assert np.array_equal(packed.time_ps, whole.time_ps)
    assert np.array_equal(packed.channel, whole.channel)
    assert packed.gaps == 0
    assert path.stat().st_size < 3.1 * len(whole)
