"""What one end of a photonic link sends to the other: how much, what of it, and who may ask."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from link_layer.messages import MOST_REPORT_BYTES, ClockReport, KeepTime, Message, TagReport
from qnodeos.exchange import BURST_S, MESSAGE_BYTES, MOST_REPORT_TAGS, TagExchange
from qnodeos.outcome_delay import OutcomeDelays
from timing.packed import pack_tags, pack_times, unpack_times
from timing.tags import PS_PER_S

from .test_photonic import Taker, assert_correlated, on_virtual_time, pairs_of, seen, until

MS = 10**9


class Bench:
    """An exchange with a clock that a test turns."""

    def __init__(self, bytes_per_s: int):
        self.now_s = 100.0
        self.counters: Counter[str] = Counter()
        self.told: list[bool] = []
        self.exchange = TagExchange(
            bytes_per_s, lambda: self.now_s, self.counters, self.told.append
        )

    def run(self, rate_cps: float, seconds: float, seed: int = 1) -> list[Any]:
        """Batches of 50 ms of a stream: (all times, slice)."""
        rng = np.random.default_rng(seed)
        parts = []
        for k in range(round(seconds / 0.05)):
            self.now_s += 0.05
            times = np.sort(rng.integers(0, 50 * MS, rng.poisson(rate_cps * 0.05))) + k * 50 * MS
            parts.append((times, self.exchange.slice(times, (k + 1) * 50 * MS)))
        return parts


def sent_bytes(parts: Iterable[Any]) -> int:
    return sum(len(part.data) + MESSAGE_BYTES for _, part in parts)


def test_within_its_bandwidth_everything_is_sent() -> None:
    bench = Bench(4_000_000)
    for times, part in bench.run(1e6, 2.0):
        assert np.array_equal(unpack_times(part.data, MOST_REPORT_TAGS), times)
    assert bench.counters["tags_thinned"] == bench.counters["reports_thinned"] == 0
    assert bench.told == []
    status = bench.exchange.status()
    # 2.68 bytes a tag, and the messages.
    assert status["exchange_bytes_per_s"] == pytest.approx(2.7e6, rel=0.05)
    assert status["exchange_thinned"] is False


@pytest.mark.parametrize("bytes_per_s", [20_000, 300_000, 2_000_000])
def test_above_it_whole_slices_of_time_are_left_out(bytes_per_s: int) -> None:
    bench = Bench(bytes_per_s)
    parts = bench.run(1e6, 4.0)
    for k, (times, part) in enumerate(parts):
        # What is sent is all there is up to an instant; so every coincidence there survives.
        kept = times[times < part.until_ps]
        assert np.array_equal(unpack_times(part.data, MOST_REPORT_TAGS), kept)
        assert len(kept) == part.tags
        assert k * 50 * MS <= part.until_ps <= (k + 1) * 50 * MS
    assert sent_bytes(parts) <= bytes_per_s * (4.0 + BURST_S)
    assert sent_bytes(parts) > 0.9 * bytes_per_s * 4.0
    everything = sum(len(times) for times, _ in parts)
    assert bench.counters["tags_sent"] + bench.counters["tags_thinned"] == everything
    assert bench.told == [True]
    assert bench.exchange.status()["exchange_thinned"] is True
    bench.run(100.0, 6.0)
    assert bench.told == [True, False]


def test_a_batch_after_a_stall_is_cut_to_what_a_message_holds() -> None:
    bench = Bench(100_000_000)
    times = np.arange(MOST_REPORT_TAGS + 5) * 2000
    part = bench.exchange.slice(times, 10**12)
    assert part.tags == MOST_REPORT_TAGS
    assert part.until_ps == times[part.tags]
    wide = np.cumsum(np.random.default_rng(3).integers(0, 2**40, MOST_REPORT_TAGS))
    part = bench.exchange.slice(wide, int(wide[-1]) + 1)
    assert 0.9 * MOST_REPORT_BYTES < len(part.data) <= MOST_REPORT_BYTES
    report = TagReport("x" * 32, -(2**63), 2**63 - 1, 2**61, 2**61, 2**61, -(2**63), b"", True)
    envelope = 40
    assert len(msgspec.msgpack.encode(report)) + envelope <= MESSAGE_BYTES


def test_no_tags_at_all_are_nothing_left_out() -> None:
    bench = Bench(10_000)
    bench.run(1e6, 1.0)
    _, part = bench.run(0.0, 0.05)[0]
    assert (part.tags, part.until_ps) == (0, 50 * MS)


@on_virtual_time
async def test_a_narrow_wire_gives_fewer_pairs_of_the_same_quality(
    network: Any, tmp_path: Path
) -> None:
    limit = 15_000
    async with network(
        tmp_path, photonic=True, test_fraction=0.4, link={"tag_bytes_per_s": limit}
    ) as net:
        taker = Taker(net, "bob")
        got = await pairs_of(net.ask("alice", number=4000, minimum_fidelity=0.9, within_s=90))
        bob, alice = net.photonic("bob").status(), net.photonic("alice").status()
        assert bob["tags_thinned"] > 0.3 * bob["tags_sent"]
        assert bob["exchange_thinned"] is True
        assert bob["exchange_bytes_per_s"] < 1.3 * limit
        assert alice["reports_thinned"] == bob["reports_thinned"] > 0
        assert alice["clock"] == "tracking"
        sent = [m for name, _, m in net.wire.sent if name == "bob" and isinstance(m, TagReport)]
        span_s = (sent[-1].stop_ps - sent[0].start_ps) / PS_PER_S
        size = sum(len(msgspec.msgpack.encode(m)) for m in sent)
        assert size < limit * (span_s + 2 * BURST_S)
        assert_correlated(seen(got), seen(taker.got))
    events = net.journal("bob").of_kind("tag-exchange")
    assert [event.data["thinned"] for event in events] == [True]


@on_virtual_time
async def test_what_is_sent_are_few_bytes_and_no_channel(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        Taker(net, "bob")
        await pairs_of(net.ask("alice", number=1000, within_s=60))
        sent = [m for *_, m in net.wire.sent if isinstance(m, TagReport)]
        tags, size = 0, 0
        for k, report in enumerate(sent):
            times = unpack_times(report.tags, MOST_REPORT_TAGS)
            assert not np.any(times % 2000 - times[:1] % 2000)
            assert np.all(np.diff(times) >= 100_000)
            tags += len(times)
            size += len(msgspec.msgpack.encode(report))
            assert report.sequence == k + 1
            assert report.sent_until_ps == report.stop_ps
        # About 11 kcps on a grid of 2 ns; exponential gaps of mean m hold log2(e m) bits.
        mean_steps = sum(report.stop_ps - report.start_ps for report in sent) / tags / 2000
        entropy_bytes = np.log2(np.e * mean_steps) / 8
        assert entropy_bytes < size / tags < 1.10 * entropy_bytes


@pytest.mark.parametrize("alike", [0.03, 0.5, 0.9])
def test_delays_of_both_ends_are_told_apart_though_outcomes_agree(alike: float) -> None:
    rng = np.random.default_rng(4)
    delays = OutcomeDelays()
    assert delays.status() == {}
    for _ in range(30):
        own = rng.integers(0, 2, 400).astype(np.uint8)
        far = np.where(rng.random(400) < alike, own, 1 - own).astype(np.uint8)
        delays.add(rng.normal(50, 300, 400) + 700.0 * own + 400.0 * far, own, far)
    status = delays.status()
    for name, delay_ps in (("outcome", 700), ("far_outcome", -400)):
        error_ps = status[f"{name}_delay_error_ps"]
        assert isinstance(error_ps, float)
        assert 300 / 12_000**0.5 < error_ps < 300 * 2 / (12_000 * 0.1) ** 0.5
        assert status[f"{name}_delay_ps"] == pytest.approx(delay_ps, abs=4 * error_ps)


@pytest.mark.parametrize("wrong_ps", [0, 2000])
@on_virtual_time
async def test_what_is_left_of_a_detectors_delay_is_measured(
    network: Any, tmp_path: Path, wrong_ps: int
) -> None:
    """A correction of detectors that are equally late makes one of them late."""
    async with network(
        tmp_path, photonic=True, test_fraction=0.9, link={"outcome_delays_ps": (0, wrong_ps)}
    ) as net:
        Taker(net, "bob")
        await pairs_of(net.ask("alice", number=1500, within_s=60))
        status = net.photonic("alice").status()
        for name in ("outcome", "far_outcome"):
            error_ps = status[f"{name}_delay_error_ps"]
            assert 2 < error_ps < 60
            # The window of 6 ns cuts a little off the tails.
            assert status[f"{name}_delay_ps"] == pytest.approx(
                -wrong_ps, abs=5 * error_ps + 0.15 * wrong_ps
            )


@pytest.mark.parametrize("asker", ["alice", "bob"])
@on_virtual_time
async def test_either_end_may_ask_for_the_clocks_alone(
    network: Any, tmp_path: Path, asker: str
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        link = net.photonic(asker)
        assert link.keep_time(9.0)
        alice, bob = net.photonic("alice"), net.photonic("bob")
        await until(lambda: bob.status().get("clock") == "tracking", 8)
        assert alice.status()["clock"] == "tracking"
        assert bob.status()["skew_ppm"] == pytest.approx(7.7, abs=0.05)
        assert bob.status()["offset_s"] == pytest.approx(alice.status()["offset_s"], abs=1e-4)
        assert 0 < bob.status()["clock_uncertainty_ps"] < 1000
        assert link.keep_time(20.0, afresh=True)
        await until(lambda: alice.status()["acquisitions"] == 2, 8)
        await until(lambda: bob.status().get("clock") == "tracking", 3)
        # It ends by itself.
        await until(lambda: alice.status()["resting"] and bob.status()["resting"], 40)
        assert "clock" not in bob.status() or net.node("bob").clock() > 20
        assert alice.counters["delivered"] == 0


@on_virtual_time
async def test_nobody_keeps_time_with_an_end_that_is_away(network: Any, tmp_path: Path) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        for wrong in (0.0, 1e6, float("nan")):
            with pytest.raises(ValueError, match="at most a day"):
                net.photonic("alice").keep_time(wrong)
        await net.die("bob")
        assert not net.photonic("alice").keep_time(5.0)
        assert net.photonic("alice").status()["resting"]


REPORT = {
    "type": "tag-report",
    "link": "p",
    "stream": 1,
    "sequence": 1,
    "start_ps": 5,
    "sent_until_ps": 7,
    "stop_ps": 9,
    "epoch": 1,
    "tags": b"",
}
CLOCK = {"type": "clock-report", "link": "p", "stream": 1, "state": "tracking", "epoch_ps": 5}


@pytest.mark.parametrize(
    "wrong",
    [
        REPORT | {"stop_ps": 6},
        REPORT | {"sent_until_ps": 4},
        REPORT | {"stop_ps": 2**62},
        REPORT | {"sequence": -1},
        REPORT | {"tags": bytes(MOST_REPORT_BYTES + 1)},
        {"type": "keep-time", "link": "p", "for_s": 0.0},
        {"type": "keep-time", "link": "p", "for_s": 1e9},
        {"type": "keep-time", "link": "p", "for_s": float("nan")},
        CLOCK | {"skew": 0.5},
        CLOCK | {"state": "fine"},
        CLOCK | {"offset_ps": float("inf")},
        CLOCK | {"uncertainty_ps": float("nan")},
    ],
)
def test_what_no_sender_may_say_is_refused_at_the_border(wrong: dict[str, Any]) -> None:
    for right in (REPORT, CLOCK, {"type": "keep-time", "link": "p", "for_s": 3.0}):
        decoded = msgspec.convert(right, Message)
        assert isinstance(decoded, TagReport | ClockReport | KeepTime)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(wrong), type=Message)


@on_virtual_time
async def test_reports_that_claim_too_much_or_name_channels_are_refused(
    network: Any, tmp_path: Path
) -> None:
    async with network(tmp_path, photonic=True, test_fraction=0.5) as net:
        Taker(net, "bob")
        await pairs_of(net.ask("alice", number=200, within_s=60))
        alice = net.photonic("alice")
        report = next(m for *_, m in reversed(net.wire.sent) if isinstance(m, TagReport))
        bomb = pack_times(np.zeros(3_000_000, np.int64))
        assert len(bomb) < MOST_REPORT_BYTES
        times = unpack_times(report.tags, MOST_REPORT_TAGS)
        named = pack_tags(times, np.ones(len(times), np.uint8))
        ended = pack_tags(times, np.zeros(len(times), np.uint8))
        twice = report.tags + report.tags
        wrong = (bomb, named, ended, twice, report.tags[:-3], report.tags + b"Q")
        for number, tags in enumerate(wrong, 1):
            change = msgspec.structs.replace(report, sequence=report.sequence + 1, tags=tags)
            alice.handle("bob", change)
            assert alice.status()["reports_malformed"] == number
    (event,) = net.journal("alice").of_kind("tag-report-malformed")
    assert f"expected at most {MOST_REPORT_TAGS}" in event.data["reason"]
