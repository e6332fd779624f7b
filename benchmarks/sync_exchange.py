"""What one end sends the other to be synchronised: bytes a tag over the entropy, and speed.

The entropy is that of the gaps: of an exponential gap of mean m steps log2(e m) bits, of a mixture
its integral, of a rate that swings slowly the mean over the swings. The bytes are those of whole
reports as they cross the wire, envelope included.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.frame import Row, benchmark, best_of
from cext.decode_packed import MOST_TAGS
from link_layer.messages import TagReport
from qnodeos.envelope import PROTOCOL_VERSION, Envelope
from qnodeos.photonic_follower import REPORT_PS, REPORT_TAGS
from timing.packed import pack_times, unpack_times

Times = NDArray[np.int64]

SPAN_S = 2.0
CURVE_BYTES = 33
"""What a CURVE message adds: 17 of name and nonce, 16 of authentication (ZeroMQ RFC 26)."""

REPEATS = 60
SPEED_TAGS = 3 * MOST_TAGS
PUBLISHED_BYTES = 3.8


@benchmark("sync-exchange", "tags sent to a far end: bytes a tag over the entropy, pack and unpack")
def exchange_rows() -> list[Row]:
    """Streams of several rates, steps and shapes; targets are those of live synchronisation."""
    rng = np.random.default_rng(7)
    rows = []
    for name, times, entropy_bits in (
        _steady(rng, 1e6, 1),
        _steady(rng, 1e6, 2000),
        _steady(rng, 20e3, 1),
        _steady(rng, 20e3, 2000),
        _swinging(rng, 1),
        _swinging(rng, 2000),
        _afterpulsing(rng),
    ):
        size = 8 * _wire_bytes(times) / len(times)
        rows.append(Row(f"{name}: bytes a tag", size / 8, "bytes"))
        rows.append(Row(f"{name}: over the entropy", size / entropy_bits, "x", at_most=1.10))
    rows[0] = Row(rows[0].what, rows[0].value, "bytes", at_most=PUBLISHED_BYTES)
    _, times, _ = _steady(rng, 1e6, 1, SPEED_TAGS / 1e6)
    packed, pack_s = best_of(REPEATS, lambda: pack_times(times))
    unpacked, unpack_s = best_of(REPEATS, lambda: unpack_times(packed, len(times)))
    _, coarse, _ = _steady(rng, 1e6, 2000, SPEED_TAGS / 1e6)
    coarse_packed, coarse_pack_s = best_of(REPEATS, lambda: pack_times(coarse))
    _, coarse_unpack_s = best_of(REPEATS, lambda: unpack_times(coarse_packed, len(coarse)))
    return [
        *rows,
        Row("tags that differ after the way", _differ(times, unpacked), "tags", at_most=0),
        Row("pack, 1 Mcps in 1 ps", len(times) / pack_s / 1e6, "Mtags/s", at_least=50),
        Row("unpack, 1 Mcps in 1 ps", len(times) / unpack_s / 1e6, "Mtags/s", at_least=50),
        Row("pack, 1 Mcps in 2 ns", len(coarse) / coarse_pack_s / 1e6, "Mtags/s", at_least=50),
        Row("unpack, 1 Mcps in 2 ns", len(coarse) / coarse_unpack_s / 1e6, "Mtags/s", at_least=50),
    ]


def _steady(
    rng: np.random.Generator, rate_cps: float, step_ps: int, span_s: float = SPAN_S
) -> tuple[str, Times, float]:
    mean_ps = 1e12 / rate_cps
    times = np.cumsum(rng.exponential(mean_ps, round(rate_cps * span_s)))
    name = f"{rate_cps / 1e3:g} kcps in {step_ps} ps"
    return name, _in_steps(times, step_ps), float(np.log2(np.e * mean_ps / step_ps))


def _swinging(rng: np.random.Generator, step_ps: int) -> tuple[str, Times, float]:
    """Bursts of 5 ms at 3 Mcps, 45 ms at 30 kcps between: a rate that swings by 100."""
    means = np.concatenate([np.full(15_000, 1e12 / 3e6), np.full(1350, 1e12 / 30e3)])
    means = np.tile(means, round(SPAN_S / 0.05))
    times = np.cumsum(rng.exponential(means))
    name = f"bursts, 3 Mcps and 30 kcps, in {step_ps} ps"
    return name, _in_steps(times, step_ps), float(np.mean(np.log2(np.e * means / step_ps)))


def _afterpulsing(rng: np.random.Generator) -> tuple[str, Times, float]:
    """Every twentieth gap is that of an after-pulse, 100 ns on average, at 500 kcps of light."""
    share, short_ps, long_ps = 0.05, 1e5, 2e6
    count = round(5e5 * SPAN_S)
    means = np.where(rng.random(count) < share, short_ps, long_ps)
    at = np.logspace(0, 9, 100_000)
    density = share / short_ps * np.exp(-at / short_ps) + (1 - share) / long_ps * np.exp(
        -at / long_ps
    )
    density = np.maximum(density, 1e-300)
    terms = -density * np.log2(density)
    entropy = float(np.sum((terms[1:] + terms[:-1]) / 2 * np.diff(at)))
    return "5 % after-pulses, 500 kcps in 1 ps", _in_steps(rng.exponential(means).cumsum()), entropy


def _in_steps(times_ps: NDArray[np.float64], step_ps: int = 1) -> Times:
    return times_ps.astype(np.int64) // step_ps * step_ps


def _wire_bytes(times: Times) -> int:
    """All bytes of the reports that carry a stream, cut as a node cuts it."""
    total, start = 0, 0
    while start < len(times):
        stop = int(np.searchsorted(times, times[start] + REPORT_PS))
        stop = min(max(stop, start + 1), start + REPORT_TAGS, len(times))
        first, last = int(times[start]), int(times[stop - 1]) + 1
        part = pack_times(times[start:stop])
        report = TagReport("photonic", 2**40, 10**6, first, last, last, 2**40, part)
        body = msgspec.Raw(msgspec.msgpack.encode(report))
        total += len(msgspec.msgpack.encode(Envelope(PROTOCOL_VERSION, 2**60, 10**6, body)))
        total += CURVE_BYTES
        start = stop
    return total


def _differ(sent: Times, received: Times) -> int:
    if len(sent) != len(received):
        return max(len(sent), len(received))
    return int(np.count_nonzero(sent != received))
