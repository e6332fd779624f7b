"""Every kernel gives in several threads, to the bit, what it gives in one."""

import ast
import inspect
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cext import decode, pattern
from cext import threads as in_parts
from cext.coincidence import all_pairs, count_pairs, count_pairs_at
from cext.condition import NEVER_PS, delay_channels, find_disorder, merge_two, select_tags
from cext.condition_gate import (
    gate_after_marker,
    gate_between_markers,
    keep_one_in,
    veto_after_clicks,
)
from cext.histogram import difference_histogram
from cext.pattern import classify_attempts
from cext.phase import phase_histogram

CEXT = Path(decode.__file__).parent


@pytest.fixture(scope="module", autouse=True)
def _threads_for_short_streams():
    """Streams of any length are shared out, so that small examples are cut at many places."""
    before = in_parts.TAGS_A_THREAD
    in_parts.TAGS_A_THREAD = 1
    yield
    in_parts.TAGS_A_THREAD = before


def stream(rng, in_order=True):
    """A stream of few channels, one of them rare, from bursts to long pauses."""
    n = int(rng.choice([0, 1, 2, 50, 700, 4000]))
    times = np.cumsum(rng.choice([0, 1, 7, 100, 5000], n)) - int(rng.choice([0, 10**6, 2**61]))
    if not in_order:
        times = times - rng.integers(0, 300, n) * (rng.random(n) < 0.1)
    channels = rng.choice([0, 1, 2, 3, 9], n, p=[0.3, 0.3, 0.2, 0.197, 0.003]).astype(np.uint8)
    return times.astype(np.int64), channels


def table(rng, values):
    return rng.choice(np.array(values, np.int64), 256)


def tdc1(rng):
    n = int(rng.choice([0, 1, 30, 3000]))
    words = rng.integers(0, 2**32, n, np.uint32)
    return (np.sort(words) if rng.random() < 0.3 else words), int(rng.integers(9)), 77


def tdc2(rng):
    n = int(rng.choice([0, 1, 30, 3000]))
    raw = rng.integers(0, 2**54, n).astype(np.uint64) >> np.uint64(rng.choice([0, 1, 9]))
    events = raw << np.uint64(10) | rng.integers(0, 32, n).astype(np.uint64)
    last = None if rng.random() < 0.5 else int(rng.integers(-(2**58), 2**58))
    return events.view(np.uint32).copy(), bool(rng.integers(2)), last


def id900(rng):
    n = 2 * int(rng.choice([0, 1, 30, 3000]))
    return rng.integers(0, 2**30, n).astype(np.uint64), 3, 1000, 4, bool(rng.integers(2))


def picoquant(rng):
    variant = str(rng.choice(["picoharp", "hydraharp1", "generic"]))
    n = int(rng.choice([0, 1, 80, 200, 9000]))
    records = rng.integers(0, 2**31, n, np.uint32)
    special = rng.random(n) < rng.choice([0.001, 0.05, 0.6])
    mark = rng.choice(np.array([0xF0000000, 0xFE000001, 0x82000005, 0x80000003], np.uint32), n)
    return np.where(special, mark, records).astype(np.uint32), variant


def t2(rng):
    records, variant = picoquant(rng)
    return records, 4, variant, 12345


def t3(rng):
    records, variant = picoquant(rng)
    return records, Fraction(10**12, 79_999_500), 4, variant, 99


def attempts(rng):
    places = np.full((256, 2), -1, np.int64)
    places[1], places[2] = (0, 2), (1, 3)
    outcomes = np.array([0, 0, 0, 3, 0, 1, 2, 3, 0, 2, 1, 3, 3, 3, 3, 3], np.uint8)
    windows = np.array([[0, 60], [60, 120]])
    clock = int(rng.choice([-1, 0, 9]))
    times, channels = stream(rng)
    choice = (None, 1) if clock < 0 else (clock, int(rng.choice([1, 5, 2000])))
    until = int(times[-1]) + int(rng.integers(200)) if len(times) else None
    state = (4, 1, False, NEVER_PS + 3, NEVER_PS + 120, NEVER_PS + 3, -(2**62), 4)
    start = state if rng.random() < 0.3 else pattern.START
    return times, channels, places, windows, outcomes, 130, 0, *choice, until, start


def two_streams(rng):
    return stream(rng)[0], stream(rng)[0], -500, int(rng.choice([-500, 0, 3000]))


KERNELS = {
    decode.decode_tdc1: tdc1,
    decode.decode_tdc2: tdc2,
    decode.decode_id900: id900,
    decode.decode_picoquant_t2: t2,
    decode.decode_picoquant_t3: t3,
    classify_attempts: attempts,
    merge_two: lambda rng: (*stream(rng), *stream(rng)),
    find_disorder: lambda rng: (
        stream(rng, in_order=False)[0],
        int(rng.choice([0, 100, 2000])),
        *rng.choice([[NEVER_PS, NEVER_PS], [5, 900]]).tolist(),
    ),
    delay_channels: lambda rng: (*stream(rng), table(rng, [0, 50, -3000])),
    select_tags: lambda rng: (*(s := stream(rng)), rng.random(len(s[0])) < rng.random()),
    veto_after_clicks: lambda rng: (
        *stream(rng),
        table(rng, [0, 1, 7, 300, 9000, 2**62]),
        table(rng, [NEVER_PS, NEVER_PS, -(10**6) - 3, -(2**61) - 5]),
        bool(rng.integers(2)),
    ),
    gate_after_marker: lambda rng: (
        *stream(rng),
        int(rng.choice([0, 9])),
        int(rng.choice([0, 50])),
        int(rng.choice([0, 10, 8000])),
        np.array([-(2**61) - 4, -(2**61) - 2]) if rng.random() < 0.5 else np.empty(0, np.int64),
    ),
    gate_between_markers: lambda rng: (*stream(rng), 9, 3, bool(rng.integers(2))),
    keep_one_in: lambda rng: (stream(rng)[1], table(rng, [0, 1, 2, 7]), table(rng, [0, 1, 5, 60])),
    phase_histogram: lambda rng: (stream(rng, in_order=False)[0], 977, 10, 5),
    count_pairs: two_streams,
    all_pairs: two_streams,
    count_pairs_at: lambda rng: (*two_streams(rng), (0, 9000, -7000)),
    difference_histogram: lambda rng: (stream(rng)[0], stream(rng)[0], -1000, 10, 200),
}


def plain(value):
    """Arrays as lists with their types, so that == compares all."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    return value


def outcome(kernel, arguments, **choices):
    """What the kernel gives, or what it says is wrong."""
    try:
        return plain(kernel(*arguments, **choices))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), threads=st.sampled_from([2, 3]))
def test_threads_change_nothing(kernel, seed, threads):
    arguments = KERNELS[kernel](np.random.default_rng(seed))
    assert outcome(kernel, arguments, threads=threads) == outcome(kernel, arguments)


def test_a_time_too_late_is_named_the_same_by_any_threads():
    turns = np.full(500, 0xFE000000 | 0x1FFFFFF, np.uint32)
    jump = np.zeros((3000, 2), np.uint32)
    jump[:, 1] = np.cumsum(np.full(3000, 0x70000000, np.uint64)).astype(np.uint32)
    for kernel, arguments in (
        (decode.decode_picoquant_t2, (np.repeat(turns, 20), 2**20)),
        (decode.decode_picoquant_t3, (np.full(90000, 0xFE0003FF, np.uint32), 2**39, 1)),
        (decode.decode_tdc2, (jump.reshape(-1),)),
        (decode.decode_tdc1, (np.array([64, 32] * 400, np.uint32), 17179869 - 99)),
        (decode.decode_id900, (np.arange(900, dtype=np.uint64) << np.uint64(53), 1)),
    ):
        messages = set()
        for threads in (1, 2, 3):
            with pytest.raises(ValueError, match=r"beyond \+?-?2\^62 ps") as found:
                kernel(*arguments, threads=threads)
            messages.add(str(found.value))
        assert len(messages) == 1


@given(st.integers(0, 10**9), st.integers(1, 8))
def test_parts_cover_all_and_the_last_are_small(tags, threads):
    parts = in_parts.spans(tags, threads)
    assert [part[0] for part in parts] == [0, *(part[1] for part in parts[:-1])]
    assert parts[-1][1] == tags
    sizes = [stop - start for start, stop in parts]
    assert sizes == sorted(sizes, reverse=True)
    if threads > 1:
        assert sizes[-1] <= max(1, tags // 100)


def test_what_the_first_part_raises_is_raised():
    def work(part):
        if part in (3, 5):
            raise ValueError(f"part {part}")
        return part

    assert in_parts.in_threads(lambda part: part, 9, 3) == list(range(9))
    for threads in (1, 3):
        with pytest.raises(ValueError, match="part 3"):
            in_parts.in_threads(work, 9, threads)


WITHOUT_THREADS = {
    "count_pairs_plainly",  # what benchmarks compare with
    "difference_histogram_plainly",
    "pack_payload",  # one block of at most 65536 tags; `timing.packed` shares out the blocks
    "unpack_payload",
    "merge_id900",  # of one sub-acquisition, which its driver hands to a thread
}


def test_every_kernel_that_takes_a_stream_takes_threads():
    seen = set()
    for stub in sorted(CEXT.glob("*.pyi")):
        tree = ast.parse(stub.read_text())
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                methods = {part.name: part for part in node.body if hasattr(part, "args")}
                if "__init__" not in methods:
                    continue  # it has its parent's
                arguments = methods["__init__"].args
            elif isinstance(node, ast.FunctionDef) and "NDArray" in ast.unparse(tree):
                arguments = node.args
            else:
                continue
            seen.add(node.name)
            has = "threads" in [argument.arg for argument in arguments.kwonlyargs]
            assert has != (node.name in WITHOUT_THREADS | {"fold_rank"}), (stub.name, node.name)
    assert seen >= {kernel.__name__ for kernel in KERNELS} | {"FoldFinder", "FoldMatcher"}


def test_no_loop_over_tags_holds_the_interpreter():
    # What walks only on the way to an error is let off.
    let_off = {"too_late"}
    loop = re.compile(r"for k in range\((n|start, stop)\):|while .*< n\b")
    blocks = 0
    for source in sorted(CEXT.glob("*.pyx")):
        for block in re.split(r"\n(?=(?:    )?(?:cdef|def|cpdef) )", source.read_text()):
            name = block[: block.find("(")].split()[-1] if "(" in block else ""
            if loop.search(block) and name not in let_off:
                blocks += 1
                assert "with nogil:" in block or "nogil:" in block, (source.name, name)
    assert blocks > 20


def test_the_signature_of_threads_is_one():
    for kernel in KERNELS:
        parameter = inspect.signature(kernel).parameters["threads"]
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default == 1
