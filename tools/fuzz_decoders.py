"""Feeds random and mutated bytes to every decoder: `python tools/fuzz_decoders.py MINUTES [SEED]`.

A decoder must give arrays of the length that the bytes hold, the same for any cut, or raise its
own error. A case is made from (seed, number) alone; what is printed at a failure repeats it, with
`--case SEED NUMBER`. After a crash the case stands in fuzz_decoders.PID.case in the folder for
temporary files. A case of more than a minute ends the run with its traceback.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cext import threads as in_parts
from cext.decode import (
    decode_id900,
    decode_picoquant_t2,
    decode_picoquant_t3,
    decode_tdc1,
    decode_tdc2,
)
from cext.decode_packed import pack_payload, unpack_payload
from timing.packed import PackedError, TagUnpacker, pack_tags, pack_times, unpack_times
from timing.recordings import RecordingError, open_recording

Random = np.random.Generator
VARIANTS = ["picoharp", "hydraharp1", "generic"]
# One a run: a second run that cut the file short would crash the first.
CASE_FILE = Path(tempfile.gettempdir()) / f"fuzz_decoders.{os.getpid()}.case"


def words(random: Random, dtype: type[np.generic]) -> np.ndarray:
    """Words with fields that matter set more often than chance would."""
    count = int(random.choice([0, 1, 2, 63, 64, 79, 80, 81, 160, int(random.integers(2000))]))
    found = np.frombuffer(random.bytes(count * np.dtype(dtype).itemsize), dtype).copy()
    bits = 8 * np.dtype(dtype).itemsize
    for _ in range(int(random.integers(4))):
        # Set or clear a run of bits in some of the words.
        low, high = sorted(random.integers(0, bits + 1, 2).tolist())
        mask = dtype((1 << high) - (1 << low))
        some = random.random(count) < random.random()
        found[some] = found[some] | mask if random.random() < 0.5 else found[some] & ~mask
    return found


def mutated(random: Random, data: bytes) -> bytes:
    """Some bytes changed, taken out, put in or cut off."""
    changed = bytearray(data)
    for _ in range(int(random.integers(0, 6))):
        at = int(random.integers(0, len(changed) + 1))
        what = int(random.integers(4))
        if what == 0 and at < len(changed):
            changed[at] = int(random.choice([0, 1, 127, 128, 255, int(random.integers(256))]))
        elif what == 1:
            del changed[at : at + int(random.integers(1, 9))]
        elif what == 2:
            changed[at:at] = random.bytes(int(random.integers(1, 9)))
        elif random.random() < 0.2:
            del changed[at:]
    return bytes(changed)


def tried(decode: Callable[..., tuple], stream: np.ndarray, start: tuple, threads: int) -> tuple:
    """(arrays, state), or None and what is refused."""
    try:
        return decode(stream, *start, threads=threads)
    except ValueError as error:
        return None, str(error)


def same_in_pieces(
    random: Random, stream: np.ndarray, width: int, decode: Callable[..., tuple], start: tuple
) -> list[np.ndarray] | None:
    """The whole's arrays, after a check that pieces and threads give the same; None where it is
    refused.

    `decode(piece, *state, threads=1)` gives (arrays, state).
    """
    whole, end = tried(decode, stream, start, 1)
    if random.random() < 0.1:
        shared, shared_end = tried(decode, stream, start, 2)
        assert shared_end == end, f"two threads end with {shared_end}, one with {end}"
        for k, array in enumerate(whole or ()):
            assert np.array_equal(array, shared[k]), f"array {k} of two threads"
    if whole is None:
        return None
    cuts = np.sort(random.integers(0, len(stream) // width + 1, int(random.integers(4)))) * width
    parts, state = [], start
    for piece in np.split(stream, cuts):
        arrays, state = decode(piece, *state)
        parts.append(arrays)
    assert state == end, f"state {state} of the pieces is not {end}"
    for k, array in enumerate(whole):
        assert np.array_equal(array, np.concatenate([part[k] for part in parts])), f"array {k}"
    return whole


def bits_set(pattern: np.ndarray) -> int:
    """Tags that the channel patterns hold."""
    return int(sum((pattern >> bit & 1).sum() for bit in range(4)))


def tdc1(random: Random) -> None:
    """TDC1 words."""
    stream = words(random, np.uint32)

    def decode(piece: np.ndarray, wraps: int, last: int, threads: int = 1) -> tuple:
        time_ps, channel, *state = decode_tdc1(piece, wraps, last, threads=threads)
        return (time_ps, channel), tuple(state)

    tags = same_in_pieces(random, stream, 1, decode, (int(random.integers(2**24)), 0))
    if tags:
        assert len(tags[0]) == len(tags[1]) == bits_set(stream[stream & 16 == 0])


def tdc2(random: Random) -> None:
    """TDC2 events in both orders of words."""
    stream = words(random, np.uint32)
    stream = stream[: len(stream) // 2 * 2]
    high_first = bool(random.integers(2))

    def decode(piece: np.ndarray, last: int | None, threads: int = 1) -> tuple:
        time_ps, channel, _, state = decode_tdc2(piece, high_first, last, threads=threads)
        return (time_ps, channel), (state,)

    tags = same_in_pieces(random, stream, 2, decode, (None,))
    low = stream[int(high_first) :: 2]
    if tags:
        assert len(tags[0]) == len(tags[1]) == bits_set(low[low & 16 == 0])


def picoquant(random: Random) -> None:
    """T2 and T3 records of each variant."""
    stream = words(random, np.uint32)
    variant = VARIANTS[int(random.integers(3))]
    resolution_ps = int(random.choice([1, 4, 80, 2**31 - 1]))
    period_ps = float(random.choice([1.0, 12500.078, 2.0**39, 3.3e6]))
    t3 = bool(random.integers(2))

    def decode(piece: np.ndarray, base: int, threads: int = 1) -> tuple:
        if t3:
            *arrays, _, base = decode_picoquant_t3(
                piece, period_ps, resolution_ps, variant, base, threads=threads
            )
        else:
            *arrays, _, base = decode_picoquant_t2(
                piece, resolution_ps, variant, base, threads=threads
            )
        return arrays, (base,)

    tags = same_in_pieces(random, stream, 1, decode, (int(random.integers(2**20)),))
    if tags is None:
        return
    if variant == "picoharp":
        special = stream >> 28 == 15
        overflow = special & ((stream >> 16 & 0xFFF if t3 else stream & 15) == 0)
    else:
        special = stream >> 31 == 1
        overflow = stream >> 25 == 127
        special &= t3 | (stream >> 25 != 64)
    assert len(tags[0]) == len(tags[1]) == int((~special).sum())
    assert len(tags[-1]) == len(tags[-2]) == int((special & ~overflow).sum())


def id900(random: Random) -> None:
    """ID900 words, with and without reference index."""
    stream = words(random, np.uint64)
    with_index = bool(random.integers(2))
    stream = stream[: len(stream) // 2 * 2] if with_index else stream
    if random.random() < 0.7:
        stream &= np.uint64(2**40 - 1)

    def decode(piece: np.ndarray, index: int, threads: int = 1) -> tuple:
        time_ps, channel, index = decode_id900(piece, 3, 10**6, index, with_index, threads=threads)
        return (time_ps, channel), (index,)

    tags = same_in_pieces(random, stream, 1 + with_index, decode, (5,))
    if tags:
        assert len(tags[0]) == len(tags[1]) == len(stream) // (1 + with_index)


def some_tags(random: Random) -> tuple[np.ndarray, np.ndarray]:
    """A stream to pack, in order or not."""
    count = int(random.choice([0, 1, 5, 300]))
    largest = int(random.choice([3, 10**6, 2**61]))
    time_ps = random.integers(-largest, largest, count) // 4 * int(random.choice([1, 4]))
    if random.random() < 0.7:
        time_ps.sort()
    return time_ps, random.integers(0, 256, count).astype(np.uint8)


def packed(random: Random) -> None:
    """Packed tags, damaged: what is wrong must be noticed."""
    time_ps, channel = some_tags(random)
    good = pack_tags(time_ps, channel)
    data = mutated(random, good)
    unpacker = TagUnpacker()
    found = 0
    try:
        for start in range(0, len(data), 97):
            found += len(unpacker.feed(data[start : start + 97])[0])
        unpacker.finish()
    except PackedError:
        return
    assert data == good, "damage that went unnoticed"
    assert found == len(time_ps)


def times(random: Random) -> None:
    """Times of an exchange, damaged, by a sender who claims what it likes."""
    time_ps = np.sort(some_tags(random)[0])
    good = pack_times(time_ps)
    data = mutated(random, good)
    try:
        found = unpack_times(data, int(random.choice([4, 300, 400_000])))
    except PackedError:
        return
    assert data == good or not data, "damage that went unnoticed"
    assert found.tolist() == (time_ps.tolist() if data else [])


def payload(random: Random) -> None:
    """The bits behind the check sum, with values of the header that do not belong to them."""
    time_ps, channel = some_tags(random)
    if len(time_ps) and random.random() < 0.7:
        bits, *rest = pack_payload(time_ps, channel)
        count = len(time_ps)
        header = [count, int(time_ps[0]), *rest]
        for at in random.integers(0, len(bits), int(random.integers(4))):
            bits[at] ^= 1 << int(random.integers(8))
        if random.random() < 0.3:
            header[2] = int(random.choice([1, 80, 2**32 - 1]))
    else:
        bits = words(random, np.uint8)
        count = int(random.choice([1, 2, 60, 65536]))
        first_ps = int(random.integers(-(2**62) + 1, 2**62))
        channels = int(random.choice([1, 2, 5, 256]))
        header = [count, first_ps, 80, channels, int(random.integers(49)), bool(random.integers(2))]
    try:
        time_ps, channel = unpack_payload(bits, *header)
    except ValueError:
        return
    assert len(time_ps) == len(channel) == count
    assert (np.abs(time_ps) < 2**62).all()


def entry(name: str, kind: int, value: bytes) -> bytes:
    """One entry of a PTU header."""
    return struct.pack("<32siI8s", name.encode(), -1, kind, value)


def ptu(random: Random) -> bytes:
    """A PTU file of random records."""
    record_type = int(random.choice([0x10203, 0x10303, 0x10204, 0x1010304, 0x1010204, 0x10307]))
    records = words(random, np.uint32)
    return (
        b"PQTTTR\0\x001.0.00\0\0"
        + entry("TTResultFormat_TTTRRecType", 0x10000008, struct.pack("<q", record_type))
        + entry("MeasDesc_GlobalResolution", 0x20000008, struct.pack("<d", 1e-9))
        + entry("MeasDesc_Resolution", 0x20000008, struct.pack("<d", 4e-12))
        + entry("TTResult_NumberOfRecords", 0x10000008, struct.pack("<q", len(records)))
        + entry("Header_End", 0xFFFF0008, bytes(8))
        + records.astype("<u4").tobytes()
    )


def recording(random: Random) -> None:
    """Whole files, damaged."""
    if random.random() < 0.7:
        data = ptu(random)
    else:
        ticks = np.cumsum(random.integers(1, 10**8, 300)).astype(np.uint64)
        channels = np.uint64(1) << random.integers(0, 4, 300).astype(np.uint64)
        data = (ticks << np.uint64(10) | channels).tobytes()
    with tempfile.NamedTemporaryFile() as file:
        file.write(mutated(random, data))
        file.flush()
        try:
            found = open_recording(file.name)
        except RecordingError:
            return
    assert len(found.time_ps) == len(found.channel)
    assert (np.diff(found.time_ps) >= 0).all()
    assert len(found.marker_ps) == len(found.marker)
    assert found.pulses is None or len(found.pulses.sync) == len(found) == len(found.pulses.dtime)


TARGETS = [tdc1, tdc2, picoquant, picoquant, id900, packed, payload, recording, times]


def run_case(seed: int, number: int) -> None:
    """One case; raises whatever a decoder should not."""
    random = np.random.default_rng((seed, number))
    TARGETS[number % len(TARGETS)](random)


def main(arguments: list[str]) -> int:
    """The command; exit status 1 where a case failed."""
    # Short streams too are shared out to threads.
    in_parts.TAGS_A_THREAD = 16
    faulthandler.enable()
    if arguments[:1] == ["--case"]:
        run_case(int(arguments[1]), int(arguments[2]))
        return 0
    minutes = float(arguments[0]) if arguments else 1.0
    seed = int(arguments[1]) if len(arguments) > 1 else time.time_ns() % 2**32
    stop = time.monotonic() + 60 * minutes
    number = 0
    with CASE_FILE.open("w+b") as file:
        file.write(bytes(64))
        file.flush()
        case = mmap.mmap(file.fileno(), 64)
        while time.monotonic() < stop:
            if number % 100 == 0:  # a timer a case would cost more than most cases
                faulthandler.dump_traceback_later(60, exit=True)
            case[:64] = f"--case {seed} {number}".encode().ljust(64)
            try:
                run_case(seed, number)
            except Exception:
                print(f"failed: python tools/fuzz_decoders.py --case {seed} {number}", flush=True)
                raise
            number += 1
    faulthandler.cancel_dump_traceback_later()
    CASE_FILE.unlink(missing_ok=True)
    print(f"seed {seed}: {number} cases in {minutes:g} min, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
