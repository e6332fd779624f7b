"""What is no recording, or a broken one, is refused with one message and never guessed at."""

import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from timing.packed import pack_tags
from timing.recordings import (
    NotATagFile,
    RecordingDamaged,
    RecordingError,
    RecordingTruncated,
    RecordingUnreadable,
    WrongMode,
    open_recording,
)

RANDOM = np.random.default_rng(11)


def entry(name, kind, value):
    return struct.pack("<32siIq", name, -1, kind, value)


def ptu(record_type=0x01010204, records=4, resolution_s=1e-12, stated=None):
    resolution = struct.unpack("<q", struct.pack("<d", resolution_s))[0]
    return (
        b"PQTTTR\0\x001.0.00\0\0"
        + entry(b"TTResultFormat_TTTRRecType", 0x10000008, record_type)
        + entry(b"MeasDesc_GlobalResolution", 0x20000008, resolution)
        + entry(b"TTResult_NumberOfRecords", 0x10000008, records if stated is None else stated)
        + entry(b"Header_End", 0xFFFF0008, 0)
        + np.arange(records, dtype="<u4").tobytes()
    )


def tdc2(events=200, high_first=False, seed=3):
    random = np.random.default_rng(seed)
    ticks = 10**15 + np.cumsum(random.integers(1, 5 * 10**8, events))
    events = ticks.astype(np.uint64) << np.uint64(10) | np.uint64(0x300)
    words = (events | np.uint64(1) << random.integers(0, 4, len(ticks)).astype(np.uint64)).view(
        "<u4"
    )
    return (words.reshape(-1, 2)[:, ::-1] if high_first else words).tobytes()


def refused(tmp_path, content, kind):
    path = tmp_path / "recording.ptu"
    path.write_bytes(content)
    with pytest.raises(kind) as caught:
        open_recording(path)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith(f"{path}: byte {caught.value.at_byte}: found ")
    assert "expected" in message
    assert "\n" not in message
    return caught.value


def test_the_synthetic_files_are_good(tmp_path):
    path = tmp_path / "x"
    for content, count in ((ptu(), 4), (tdc2(), 200), (tdc2(high_first=True), 200)):
        path.write_bytes(content)
        assert len(open_recording(path)) == count


def test_missing_folder_empty_and_pipe(tmp_path):
    for path, words in (
        (tmp_path / "none", "no such file"),
        (tmp_path, "a folder"),
        (tmp_path / "empty", "an empty file"),
        (tmp_path / "pipe", "a pipe or a device"),
        (tmp_path / "empty" / "below", "Not a directory"),
    ):
        (tmp_path / "empty").touch()
        if path.name == "pipe":
            os.mkfifo(path)
        with pytest.raises(RecordingUnreadable, match=words):
            open_recording(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG image"),
        (b"time,channel\n1,2\n" * 20, "text"),
        ("Zeit µs\n".encode() * 2000, "text"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"PicoHarp 300\0\0\0\0" + bytes(100), "before PTU"),
        (b"PQHISTO\0" + bytes(100), "PicoQuant histogram"),
        (bytes(8000), "no TDC2 events"),
        (b"\xff" * 8000, "no TDC2 events"),
        (RANDOM.bytes(80_000), "no TDC2 events"),
        (np.arange(10_000, dtype="<i8").tobytes(), "no TDC2 events"),
        (np.arange(10_000, dtype="<u4").tobytes(), "no TDC2 events"),
        (np.sort(RANDOM.random(10_000)).tobytes(), "no TDC2 events"),
        (np.sort(RANDOM.integers(0, 10**12, 10_000)).tobytes(), "no TDC2 events"),
        (np.sort(RANDOM.integers(0, 10**12, 10_000) * 4).tobytes(), "no TDC2 events"),
        (np.sort(RANDOM.integers(0, 10**12, 9999) << 4 | 1).tobytes(), "no TDC2 events"),
        (tdc2(5), "too few to be sure"),
        (b"\x01", "no TDC2 events"),
    ],
)
def test_other_kinds_are_not_guessed_at(tmp_path, content, words):
    assert words in refused(tmp_path, content, NotATagFile).found


@settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(content=st.binary(max_size=300))
def test_no_short_binary_is_taken_for_a_recording(tmp_path, content):
    path = tmp_path / "random"
    path.write_bytes(content)
    with pytest.raises(RecordingError):
        open_recording(path)


def test_every_truncation_of_a_ptu_file_is_told(tmp_path):
    whole = ptu()
    for size in range(1, len(whole)):
        error = refused(tmp_path, whole[:size], RecordingTruncated)
        assert error.at_byte <= size


def test_a_cut_record_of_a_broken_off_run_is_told(tmp_path):
    error = refused(tmp_path, ptu(stated=0) + b"\x01", RecordingTruncated)
    assert "4 whole records and 1 bytes" in error.found


def test_a_cut_event_of_a_tdc2_file_is_told(tmp_path):
    for cut in range(1, 8):
        error = refused(tmp_path, tdc2()[:-cut], RecordingTruncated)
        assert error.at_byte == 199 * 8


@pytest.mark.parametrize(("record_type", "mode"), [(0x00010303, 2), (0x01010304, 2), (0x10207, 3)])
def test_a_mode_that_the_records_do_not_have_is_named(tmp_path, record_type, mode):
    end = entry(b"Header_End", 0xFFFF0008, 0)
    stated = entry(b"Measurement_Mode", 0x10000008, mode)
    content = ptu(record_type).replace(end, stated + end)
    error = refused(tmp_path, content, WrongMode)
    assert f"Measurement_Mode {mode} with T{5 - mode} records" in error.found


@pytest.mark.parametrize("special", [1 << 31, 1 << 31 | 16 << 25])
def test_a_special_t3_record_without_meaning_is_placed(tmp_path, special):
    whole = ptu(0x01010304, 4, 12.5e-9).replace(
        entry(b"Header_End", 0xFFFF0008, 0),
        entry(b"MeasDesc_Resolution", 0x20000008, 0x3D719799812DEA11)  # 1e-12
        + entry(b"Header_End", 0xFFFF0008, 0),
    )
    whole = whole[:-4] + struct.pack("<I", special)
    assert refused(tmp_path, whole, RecordingDamaged).at_byte == len(whole) - 4


@pytest.mark.parametrize("period_s", [0.0, -1e-9, float("nan"), 2.0])
def test_an_impossible_sync_period_is_named(tmp_path, period_s):
    whole = ptu(0x01010304, 4, period_s).replace(
        entry(b"Header_End", 0xFFFF0008, 0),
        entry(b"MeasDesc_Resolution", 0x20000008, 0x3D719799812DEA11)
        + entry(b"Header_End", 0xFFFF0008, 0),
    )
    assert "the time between SYNC pulses" in refused(tmp_path, whole, RecordingDamaged).expected


def test_an_unknown_record_type_is_named(tmp_path):
    assert "0x00990204" in refused(tmp_path, ptu(0x00990204), NotATagFile).found


@pytest.mark.parametrize("resolution_s", [0.0, -1e-12, float("nan"), 1e30, 2.5e-12, 1.0])
def test_an_impossible_resolution_is_named(tmp_path, resolution_s):
    error = refused(tmp_path, ptu(resolution_s=resolution_s), RecordingDamaged)
    assert "MeasDesc_GlobalResolution" in error.found


def test_damage_in_the_ptu_header(tmp_path):
    whole = bytearray(ptu())
    whole[16] = 0xFE
    assert refused(tmp_path, bytes(whole), RecordingDamaged).at_byte == 16
    whole = bytearray(ptu())
    whole[16 + 48 + 36 : 16 + 48 + 40] = b"\1\2\3\4"
    assert "unknown type 0x04030201" in refused(tmp_path, bytes(whole), RecordingDamaged).found


def test_a_special_record_without_meaning_is_placed(tmp_path):
    whole = ptu() + struct.pack("<I", 1 << 31 | 40 << 25)
    whole = whole.replace(
        entry(b"TTResult_NumberOfRecords", 0x10000008, 4),
        entry(b"TTResult_NumberOfRecords", 0x10000008, 5),
    )
    assert refused(tmp_path, whole, RecordingDamaged).at_byte == len(whole) - 4


@pytest.mark.parametrize("lost", range(1, 8))
def test_lost_bytes_in_a_tdc2_file_are_placed(tmp_path, lost):
    whole = tdc2(9000)
    at = 6000 * 8 + 3
    broken = whole[:at] + whole[at + lost :]
    broken = broken[: len(broken) // 8 * 8]
    error = refused(tmp_path, broken, RecordingDamaged)
    # Where only the low bits give the loss away, the block of 512 events is all that is known.
    assert (6000 - 512) * 8 <= error.at_byte <= 6010 * 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_file_is_told(tmp_path):
    path = tmp_path / "closed"
    path.write_bytes(tdc2())
    path.chmod(0)
    with pytest.raises(RecordingUnreadable, match="Permission denied"):
        open_recording(path)


def test_damage_and_truncation_of_packed_tags_are_told(tmp_path):
    whole = pack_tags(np.arange(100) * 7, np.ones(100, np.uint8))
    for size in range(4, len(whole)):
        refused(tmp_path, whole[:size], RecordingTruncated)
    error = refused(tmp_path, whole[:60] + b"\xff" + whole[61:], RecordingDamaged)
    assert error.at_byte == 0
